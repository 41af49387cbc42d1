"""Templates: sentences around a class name, as CLIP reads it without training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bimors_cli.errors import InputError

# Where the name goes.
GAP: Final = "{}"
MOST, MAX_CHARACTERS = 100, 1000

# For a bundle that names none. How people speak of pictures from above; a large CLIP has read all of it.
REMOTE_SENSING: Final = (
    "a photo of a {}.",
    "a satellite photo of a {}.",
    "a satellite image of a {}.",
    "a satellite image showing a {}.",
    "an aerial photo of a {}.",
    "an aerial image of a {}.",
    "an aerial view of a {}.",
    "an overhead view of a {}.",
    "a bird's-eye view of a {}.",
    "a remote sensing image of a {}.",
    "a {} seen from above.",
    "a {} seen from space.",
)


def check_templates(templates: Sequence[str], where: str) -> None:
    """Check templates that a user or a manifest gives.

    Raises
    ------
    InputError
        One has no gap for the name, or several; is there twice, far too long, or has a control character; there are
        too many of them. ``where`` begins the message.
    """
    if len(templates) > MOST:
        raise InputError(f"{where}: {len(templates)} templates; at most {MOST}")
    for place, template in enumerate(templates):
        shown = repr(template if len(template) <= 60 else template[:57] + "...")
        if template.count(GAP) != 1:
            how = "has no {}" if GAP not in template else "has more than one {}"
            raise InputError(f"{where} {shown}: {how}", 'mark where the label goes, once: "a satellite photo of a {}."')
        if len(template) > MAX_CHARACTERS:
            raise InputError(f"{where} {shown}: {len(template):,} characters", "no model reads as much")
        if not template.isprintable():
            raise InputError(f"{where} {shown}: a control character", "remove it")
        if template in templates[:place]:
            raise InputError(f"{where} {shown}: the same twice", "give each once")
