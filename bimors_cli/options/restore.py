"""The options of `bimors restore`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from bimors_cli.errors import InputError
from bimors_cli.options.common import OVERWRITE
from bimors_cli.options.option import Option, Options


@dataclass(frozen=True, kw_only=True)
class RestoreOptions(Options):
    """The options of `bimors restore`. ``copy`` is ``file`` or ``file:layer``."""

    copy: Annotated[
        str,
        Option(
            "",
            "The exported copy: a GeoPackage, GeoJSON, FlatGeobuf or shapefile, in any CRS.",
            metavar="COPY[:LAYER]",
            required=True,
        ),
    ] = ""
    original: Annotated[
        Path,
        Option(
            "--original",
            "The GeoPackage of bimors that the copy was exported from. It is not changed.",
            metavar="FILE",
            required=True,
        ),
    ] = Path()
    output: Annotated[Path, Option("-o --output", "Output GeoPackage.", metavar="FILE", required=True)] = Path()
    field: Annotated[
        str | None,
        Option(
            "--field",
            "Field of the copy that holds the labels, if it is not label, such as one of a joined table. Where it is "
            "null the label stays as it was.",
            metavar="NAME",
        ),
    ] = None
    layer: Annotated[
        str | None, Option("--layer", "Layer of the original, if bimors wrote several.", metavar="NAME")
    ] = None  # fmt: skip
    overwrite: Annotated[bool, OVERWRITE] = False

    def check_combination(self) -> None:
        super().check_combination()
        if self.output != Path() and self.output.suffix.lower() != ".gpkg":
            raise InputError(f"-o {self.output}: only a GeoPackage holds the record of a run", "use a name with .gpkg")
        if self.output != Path() and self.output.resolve() in (Path(self.copy).resolve(), self.original.resolve()):
            raise InputError(f"{self.output} is an input", "use another -o")
