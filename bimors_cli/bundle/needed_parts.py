"""Commands that need a part of a bundle refuse one without it, such as ``bands``, before any model is loaded."""

from __future__ import annotations

from typing import Final

from bimors_cli.bundle.locate import EMBEDDED, find_bundle
from bimors_cli.bundle.manifest import CAPTION_ENCODER, CAPTIONER, CLIP, Bundle, read_bundle
from bimors_cli.errors import InputError

_CALLED: Final = {CLIP: "CLIP", CAPTIONER: "captioner", CAPTION_ENCODER: "caption encoder"}
_HINT: Final = f"use --model {EMBEDDED}, or another of bimors models list"


def need_part(bundle: Bundle, part: str, user: str, hint: str = _HINT) -> None:
    """Refuse a bundle without a part, of `bimors_cli.bundle.manifest.PARTS`, that ``user`` needs. Raises InputError."""
    if not bundle.has_part(part):
        raise InputError(f"the bundle {bundle.name} has no {_CALLED[part]}, which {user} needs", hint)


def need_part_of(name: str, part: str, user: str, captioner: str | None = None) -> None:
    """Do the same by the name or folder of a bundle: only its manifest is read.

    Raises
    ------
    InputError
        The bundle is not found, or has no such part.
    BundleError
        Its manifest is damaged.
    """
    need_part(read_bundle(find_bundle(name, captioner)), part, user)
