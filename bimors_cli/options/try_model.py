"""The options of `bimors models try`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from bimors_cli.options.common import BATCH_SIZE, DEVICE
from bimors_cli.options.option import MODEL, Option, Options


@dataclass(frozen=True, kw_only=True)
class TryOptions(Options):
    """The options of `bimors models try`."""

    model: Annotated[
        str,
        Option(
            "",
            "A bundle of the catalog; a CLIP as openclip:ARCHITECTURE/TAG, hf:OWNER/NAME or hf:OWNER/NAME@REVISION; or "
            "the folder of a bundle.",
            metavar="NAME|DIR",
            required=True,
            complete="bundles",
        ),
    ] = ""
    captioner: Annotated[
        str | None,
        Option(
            "--captioner",
            "Try the bundle with another captioner of the catalog, or without one: none.",
            metavar="NAME",
            panel=MODEL,
            complete="captioners",
        ),
    ] = None
    device: Annotated[str, DEVICE] = "auto"
    batch_size: Annotated[int | None, BATCH_SIZE] = None
