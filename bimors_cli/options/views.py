"""The views of a tile, one row each: what a classifier of few examples can be given of it.

To add a view, add a row here, and compute it in `bimors_cli.pipeline.inference.view_encoder` (of a network) or in
`bimors_cli.scene.tile_views` (of pixels).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal

CAPTION: Final = "caption"
PROMPTS: Final = "prompts"
# Inputs that a network has to process for each tile. The loss has to fall by its price before a view that needs it is
# used: an image costs some milliseconds of a processor, a caption ten of them.
INPUT_PRICES: Final = {"image": 0.02, "false-colour": 0.02, "around": 0.02, CAPTION: 0.05}


@dataclass(frozen=True)
class ViewEntry:
    """A view.

    Attributes
    ----------
    name : str
        Value of ``finetune --views``, and in adapters.
    help : str
        What it is, for tables and completion.
    kind : {"statistics", "features", "answers"}
        What its values are, see `bimors_cli.fewshot.view_classifier.Kind`.
    inputs : frozenset of str
        Inputs of a network that it needs, of `INPUT_PRICES`.
    around : bool
        Whether it shows the ground around a tile: then the tiles nearby are known.
    """

    name: str
    help: str
    kind: Literal["statistics", "features", "answers"]
    inputs: frozenset[str] = frozenset()
    around: bool = False


VIEWS: Final[dict[str, ViewEntry]] = {
    entry.name: entry
    for entry in (
        ViewEntry("bands", "statistics of all bands of a tile", "statistics"),
        ViewEntry("bands-around", "these, and those of the ground around it", "statistics", around=True),
        ViewEntry("image", "CLIP's image feature", "features", frozenset({"image"})),
        ViewEntry("false-colour", "CLIP's image feature in false colours", "features", frozenset({"false-colour"})),
        ViewEntry("around", "CLIP's image feature of the ground around it", "features", frozenset({"around"}), True),
        ViewEntry("names", "CLIP's zero-shot answer for the class names", "answers", frozenset({"image"})),
        ViewEntry("captions", "the embedding of the caption", "features", frozenset({CAPTION})),
        ViewEntry(
            PROMPTS, "the answer of BiMoRS prompts trained on the examples", "answers", frozenset({"image", CAPTION})
        ),
    )
}

# The views that are CLIP's features of an image: a text can be compared with them.
IMAGE_FEATURES: Final = ("image", "false-colour", "around")


def compared_view(names: Collection[str]) -> str:
    """Return the view by which tiles are compared, of an adapter's: CLIP's feature of an image if there is one."""
    return next((name for name in IMAGE_FEATURES if name in names), min(names))


# What a choice starts from: of scenes, and of images without further bands.
SCENE_START: Final = ("bands", "bands-around")
IMAGE_START: Final = ("image", "names")
