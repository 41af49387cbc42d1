"""The options of `bimors evaluate` for a classified layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from bimors_cli.errors import InputError
from bimors_cli.options.common import MIN_OVERLAP, POINTS_CRS
from bimors_cli.options.option import ACCURACY, Option, Options


@dataclass(frozen=True, kw_only=True)
class AssessOptions(Options):
    """A layer that `bimors classify` wrote, and the reference samples that it is compared with, in any CRS."""

    layer_file: str = ""
    reference: Annotated[
        str | None,
        Option(
            "--reference",
            "Polygons or points with the true class: a vector file, or a CSV table of points.",
            metavar="FILE",
            panel=ACCURACY,
        ),
    ] = None
    points_crs: Annotated[str | None, replace(POINTS_CRS, panel=ACCURACY)] = None
    sample: Annotated[
        str | None,
        Option(
            "--sample",
            "Sample of bimors sample, with references: assess a newer map of its tiles, with areas.",
            metavar="FILE",
            panel=ACCURACY,
        ),
    ] = None
    field: Annotated[
        str | None,
        Option("--field", "Field of the reference that holds the class name.", metavar="NAME", panel=ACCURACY),
    ] = None
    reference_layer: Annotated[
        str | None,
        Option("--reference-layer", "Layer of the reference, if it has several.", metavar="NAME", panel=ACCURACY),
    ] = None
    layer: Annotated[
        str | None,
        Option("--layer", "Layer to assess, if the file has several.", metavar="NAME", panel=ACCURACY),
    ] = None
    answers: Annotated[
        tuple[str, ...],
        Option(
            "--answers",
            "For a sample: a CSV file of references, as the page of bimors report saves it. Repeat it for several "
            "interpreters.",
            metavar="FILE",
            panel=ACCURACY,
        ),
    ] = ()
    min_overlap: Annotated[float, replace(MIN_OVERLAP, panel=ACCURACY)] = 0.5

    def check_combination(self) -> None:
        super().check_combination()
        if self.reference is not None and self.sample is not None:
            raise InputError("--reference and --sample are two ways to assess a layer", "use one of them")
        if self.points_crs is not None and self.reference is None:
            raise InputError("--points-crs needs --reference", "bimors evaluate out.gpkg --reference points.csv …")

    def samples(self) -> tuple[str, str]:
        """Return the reference and its field. Raises InputError if one of them is missing."""
        if self.reference is None or self.field is None:
            missing = "--reference" if self.reference is None else "--field"
            raise InputError(f"{missing} is missing", "bimors evaluate out.gpkg --reference truth.gpkg --field class")
        return self.reference, self.field
