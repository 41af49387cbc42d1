"""The options of `bimors suggest`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from bimors_cli.errors import InputError
from bimors_cli.options.common import OVERWRITE
from bimors_cli.options.option import Option, Options
from bimors_cli.options.view import LAYER_FILE, LAYER_NAME

MOST_TILES: Final = 1000


@dataclass(frozen=True, kw_only=True)
class SuggestOptions(Options):
    """The options of `bimors suggest`. ``output`` None is the stem of the file with ``_suggestions.gpkg``."""

    file: Annotated[Path, LAYER_FILE] = Path()
    output: Annotated[
        Path | None,
        Option(
            "-o --output",
            "Output file, a GeoPackage. Default: the layer's name with _suggestions.gpkg.",
            metavar="FILE",
        ),
    ] = None
    layer: Annotated[str | None, LAYER_NAME] = None
    tiles: Annotated[
        int, Option("-n --tiles", "Number of tiles to suggest.", metavar="N", minimum=1, maximum=MOST_TILES)
    ] = 20  # fmt: skip
    min_distance: Annotated[
        float,
        Option("--min-distance", "Least distance between the centres of two tiles.", metavar="METRES", minimum=0),
    ] = 0.0
    examples: Annotated[
        tuple[str, ...],
        Option(
            "--examples",
            "Vector file of examples besides those that the layer records of its adapter. Their tiles are not "
            "suggested, and tiles like them only after others. Repeat the option for several.",
            metavar="FILE[:LAYER]",
        ),
    ] = ()
    exclude: Annotated[
        tuple[str, ...],
        Option(
            "--exclude",
            "Suggest no tile under a feature of this file: a sample of bimors sample, which must stay apart from "
            "training, or any other vector file. Repeat the option for several.",
            metavar="FILE[:LAYER]",
        ),
    ] = ()
    seed: Annotated[
        int,
        Option("--seed", "Seed of the draw of the tiles that are compared, in a large layer.", metavar="N", minimum=0),
    ] = 1
    overwrite: Annotated[bool, OVERWRITE] = False

    def check_combination(self) -> None:
        super().check_combination()
        if self.path.suffix.lower() != ".gpkg":
            raise InputError(f"-o {self.path}: only a GeoPackage can be corrected", "use a name with .gpkg")
        if self.path.resolve() == self.file.resolve():
            raise InputError(f"{self.path} is the layer itself", "use another -o")

    @property
    def path(self) -> Path:
        """The output file."""
        return self.output or self.file.parent / f"{self.file.stem}_suggestions.gpkg"
