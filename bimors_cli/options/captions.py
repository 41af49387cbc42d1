"""Which tiles classify captions: the options --captions and --doubtful-below."""

from __future__ import annotations

from typing import Final

from bimors_cli.options.option import MODEL, RESOLVED, Option

AUTO, ALL, NONE, DOUBTFUL = "auto", "all", "none", "doubtful"
CAPTION_MODES: Final = {
    AUTO: "where the head uses them, or the scene is like the training images",
    ALL: "every tile",
    NONE: "no tile",
    DOUBTFUL: "tiles with a low confidence or without a label",
}
CAPTION_MODE = Option(
    "--captions",
    "Which tiles are captioned. all: every tile. none: no tile, which is faster. auto: every tile, but not with an "
    "--adapter whose head does not use captions, and captions of scenes unlike the training images are not written. "
    "doubtful: after the labels, the tiles with a low confidence or without a label; needs a head that does not use "
    "captions.",
    metavar="MODE",
    panel=MODEL,
    rows=RESOLVED,
    choices=CAPTION_MODES,
    flag_for=("--no-captions", NONE),
)

DOUBTFUL_BELOW = Option(
    "--doubtful-below",
    "For --captions doubtful: confidence below which a tile is captioned, from 0 to 1.",
    metavar="P",
    panel=MODEL,
    rows=RESOLVED,
    minimum=0,
    maximum=1,
)
DEFAULT_DOUBTFUL_BELOW: Final = 0.5


def caption_mode(value: str | bool) -> str:
    """Return the mode that a value means: in Python True is ``all``, and False is ``none``."""
    return value if isinstance(value, str) else ALL if value else NONE
