"""The options of `bimors change`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from bimors_cli.errors import InputError
from bimors_cli.options.common import OVERWRITE
from bimors_cli.options.option import Option, Options


def _parse_fraction(text: str) -> float:
    """Parse a fraction: ``5%`` or ``0.05``. Raises InputError."""
    number, percent, rest = text.strip().partition("%")
    try:
        if rest:
            raise ValueError
        return float(number) / (100 if percent else 1)
    except ValueError:
        raise InputError(f"--max-false {text}: not a fraction", "write it as 5% or 0.05") from None


@dataclass(frozen=True, kw_only=True)
class ChangeOptions(Options):
    """The options of `bimors change`.

    ``max_false`` is a fraction such as ``5%`` or ``0.05``. ``layer_before`` and ``layer_after`` are needed where a
    file has several layers.
    """

    before: Annotated[
        Path,
        Option("", "A GeoPackage that bimors classify wrote, of the earlier date.", metavar="BEFORE", required=True),
    ] = Path()
    after: Annotated[
        Path,
        Option("", "One of the same place at the later date, with the same labels.", metavar="AFTER", required=True),
    ] = Path()
    output: Annotated[Path, Option("-o --output", "Output GeoPackage.", metavar="FILE", required=True)] = Path()
    layer_before: Annotated[
        str | None, Option("--layer-before", "Layer of BEFORE, if it has several.", metavar="NAME")
    ] = None  # fmt: skip
    layer_after: Annotated[
        str | None, Option("--layer-after", "Layer of AFTER, if it has several.", metavar="NAME")
    ] = None  # fmt: skip
    max_false: Annotated[
        str,
        Option(
            "--max-false",
            "Largest probability that a tile called change did not change, and that one called no change did. Tiles "
            "between are doubtful.",
            metavar="FRACTION",
        ),
    ] = "5%"
    matrix: Annotated[
        Path | None,
        Option(
            "--matrix",
            "Also write a CSV table of the expected transitions in hectares: a row per label before, a column per "
            "label after.",
            metavar="FILE.csv",
        ),
    ] = None
    overwrite: Annotated[bool, OVERWRITE] = False

    def check_combination(self) -> None:
        super().check_combination()
        if not 0 < self.most_false < 0.5:
            raise InputError(f"--max-false {self.max_false}: must be above 0 and below 50%", "try 5%")
        if self.output != Path() and self.output.suffix.lower() != ".gpkg":
            raise InputError(f"{self.output}: change writes a GeoPackage", f"-o {self.output.with_suffix('.gpkg')}")
        for path in (self.output, self.matrix):
            if path not in (None, Path()) and Path(str(path)).resolve() in (
                self.before.resolve(),
                self.after.resolve(),
            ):
                raise InputError(f"{path} is one of the layers", "choose another output")

    @property
    def most_false(self) -> float:
        """``max_false`` as a number, 0..1."""
        return _parse_fraction(self.max_false)

    def check_required(self) -> None:
        super().check_required()
        same_layer = self.layer_before == self.layer_after
        if same_layer and self.before.resolve() == self.after.resolve():
            raise InputError("BEFORE and AFTER are the same layer", "give the layers of two dates")
