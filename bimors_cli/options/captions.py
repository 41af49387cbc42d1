"""Which tiles classify captions: the option --captions."""

from __future__ import annotations

from typing import Final

from bimors_cli.options.option import MODEL, RESOLVED, Option

AUTO, ALL, NONE = "auto", "all", "none"
CAPTION_MODES: Final = {
    AUTO: "where the head uses them, or the scene is like the training images",
    ALL: "every tile",
    NONE: "no tile",
}
CAPTION_MODE = Option(
    "--captions",
    "Which tiles are captioned. all: every tile. none: no tile, which is faster. auto: every tile, but not with an "
    "--adapter whose head does not use captions, and captions of scenes unlike the training images are not written.",
    panel=MODEL,
    rows=RESOLVED,
    choices=CAPTION_MODES,
    flag_for=("--no-captions", NONE),
)


def caption_mode(value: str | bool) -> str:
    """Return the mode that a value means: in Python True is ``all``, and False is ``none``."""
    return value if isinstance(value, str) else ALL if value else NONE
