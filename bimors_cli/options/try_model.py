"""The options of `bimors models try`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from bimors_cli.options.common import BATCH_SIZE, CAPTIONER, DEVICE
from bimors_cli.options.option import Option, Options


@dataclass(frozen=True, kw_only=True)
class TryOptions(Options):
    """The options of `bimors models try`."""

    model: Annotated[
        str,
        Option(
            "",
            "A bundle of the catalog, openclip:ARCHITECTURE/TAG, hf:OWNER/NAME[@REVISION], or the folder of a bundle.",
            metavar="NAME|DIR",
            required=True,
            complete="bundles",
        ),
    ] = ""
    captioner: Annotated[str | None, CAPTIONER] = None
    device: Annotated[str, DEVICE] = "auto"
    batch_size: Annotated[int | None, BATCH_SIZE] = None
