"""What finetune --head auto decides before it loads a model: which examples are drawn, and which views they have."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from bimors_cli.bundle.manifest import CAPTION_ENCODER, CAPTIONER, CLIP, Bundle
from bimors_cli.errors import InputError
from bimors_cli.options.views import PROMPTS, VIEWS
from bimors_cli.pipeline.scene_views import available_views
from bimors_cli.training.examples.base import Examples
from bimors_cli.training.examples.few_shot import FewShotSplit, draw_for_training
from bimors_cli.training.examples.scene_tiles import TileImages, tiles_of
from bimors_cli.training.options import FinetuneOptions

# With more examples the views of networks are left out unless --views asks for them: encoding them would take longer
# than all else, and with so many examples they add nothing that the bands do not say.
MOST_ENCODED: Final = 5000

log = logging.getLogger("bimors")


@dataclass(frozen=True)
class PreparedViews:
    """The examples of a run, and the views to compute for them.

    Attributes
    ----------
    examples, train : Examples
        All examples of the source, and those drawn for training.
    drawn : FewShotSplit
        Which ones are drawn.
    tiles : TileImages or None
        The drawn examples as tiles of scenes; None for image files.
    names : tuple of str
        The views to compute, in the order of `VIEWS`; prompts are not computed but trained.
    """

    examples: Examples
    train: Examples
    drawn: FewShotSplit
    tiles: TileImages | None
    names: tuple[str, ...]


def prepare_views(options: FinetuneOptions, bundle: Bundle, examples: Examples) -> PreparedViews:
    """Draw the examples and choose their views.

    Raises
    ------
    InputError
        A class has no examples; a view is not available.
    """
    drawn = draw_for_training(examples, options.shots, options.seed)
    train = examples.take(drawn.train)
    tiles = tiles_of(train)
    return PreparedViews(examples, train, drawn, tiles, _names(options, bundle, tiles, len(train)))


def _names(options: FinetuneOptions, bundle: Bundle, tiles: TileImages | None, count: int) -> tuple[str, ...]:
    """Return the views to compute, in the order of `VIEWS`; prompts are not computed but trained."""
    available = {"image"} if tiles is None else set(available_views(tiles.scenes))
    if not bundle.has_part(CLIP):
        available -= {name for name in available if VIEWS[name].inputs}
        if not available:
            raise InputError(
                f"the bundle {bundle.name} has no CLIP, and {'a scene with a palette' if tiles else 'an image file'} "
                "has no bands to classify by",
                "use another --model",
            )
    elif "image" in available:
        available.add("names")
        if bundle.has_part(CAPTION_ENCODER):
            available.add("captions")
            if bundle.has_part(CAPTIONER):
                available.add(PROMPTS)
    if options.views:
        missing = [name for name in options.views if name not in available]
        if missing:
            raise InputError(
                f"--views {missing[0]}: not available here",
                f"use one of {', '.join(name for name in VIEWS if name in available)}",
            )
        return tuple(name for name in VIEWS if name in options.views and name != PROMPTS)
    # Captions are made for each tile of a map: only who asks for them gets them. Prompts are trained where the other
    # views let expect something of them, see `prompts_may_help`.
    available -= {"captions", PROMPTS}
    networks = {name for name in available if VIEWS[name].inputs}
    if count > MOST_ENCODED and available - networks:
        log.info("%d examples: the views of networks are left out; --views computes them", count)
        available -= networks
    return tuple(name for name in VIEWS if name in available)
