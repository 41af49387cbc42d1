"""What a probability sample says of a map."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bimors_cli.evaluation.areas.design import SampleDesign, Stratum
from bimors_cli.evaluation.areas.estimators import Estimate
from bimors_cli.evaluation.areas.intervals import LEVEL, METHOD


@dataclass(frozen=True)
class ClassEstimates:
    """What a sample says of a class.

    Attributes
    ----------
    label : str
        Its name.
    mapped_ha : float
        Area that the map gives it, in hectares on the ground; NaN if it is unknown.
    area_ha : Estimate
        Its estimated area, in hectares on the ground.
    users, producers : Estimate
        User's and producer's accuracy, 0..1.
    """

    label: str
    mapped_ha: float
    area_ha: Estimate
    users: Estimate
    producers: Estimate


class SampledTiles(NamedTuple):
    """Numbers of finished tiles: of a class on the map, of it in the reference, and of both."""

    mapped: int
    reference: int
    right: int


@dataclass(frozen=True)
class StratumCounts:
    """A stratum of the draw, and how many of its tiles have a class in the reference."""

    stratum: Stratum
    finished: int

    @property
    def is_alone(self) -> bool:
        """Whether it has several tiles and one finished: its variance is unknown."""
        return self.finished == 1 < self.stratum.tiles


@dataclass(frozen=True)
class SampleAssessment:
    """What a sample says of a map with K classes.

    Attributes
    ----------
    path : Path
        The file of the sample.
    design : SampleDesign
        How it was drawn.
    layer_file : Path or None
        The file of the map; None for the map that the sample was drawn from, as it was then.
    hectares : float
        Area of all tiles of the population on the ground; those of the classes sum to it.
    overall : Estimate
        Overall accuracy, by area, 0..1.
    classes : tuple of ClassEstimates
        In the order of the labels.
    confusion : tuple of tuple of int
        [K + 1, K], numbers of tiles: rows are classes of the map, the last one tiles without a label; columns are
        classes of the reference.
    proportions : tuple of tuple of float
        [K + 1, K], estimated fractions of the area, in the same order; they sum to 1.
    strata : tuple of StratumCounts
        In the order of the design.
    unfinished, cannot_tell, deleted : int
        Numbers of drawn tiles without a reference, with the reference ``cannot tell``, and that were deleted from the
        layer. They are not used.
    warnings : tuple of str
        What makes the figures doubtful, and what to do.
    """

    path: Path
    design: SampleDesign
    layer_file: Path | None
    hectares: float
    overall: Estimate
    classes: tuple[ClassEstimates, ...]
    confusion: tuple[tuple[int, ...], ...]
    proportions: tuple[tuple[float, ...], ...]
    strata: tuple[StratumCounts, ...]
    unfinished: int
    cannot_tell: int
    deleted: int
    warnings: tuple[str, ...] = ()

    @property
    def finished(self) -> int:
        """Number of tiles with a class in the reference."""
        return sum(one.finished for one in self.strata)

    @property
    def alone(self) -> tuple[str, ...]:
        """Names of the strata whose variance is unknown."""
        return tuple(one.stratum.name for one in self.strata if one.is_alone)

    def sampled(self, index: int) -> SampledTiles:
        """Count the finished tiles of a class."""
        return SampledTiles(
            sum(self.confusion[index]), sum(row[index] for row in self.confusion), self.confusion[index][index]
        )

    def as_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file; an unknown number is null."""
        return {
            "overall": _estimate("accuracy", self.overall),
            "classes": {one.label: self._class(index) for index, one in enumerate(self.classes)},
            "interval": {"level": LEVEL, "method": METHOD},
            "hectares": self.hectares,
            "confusion": {
                "labels": [one.label for one in self.classes],
                "rows": [list(row) for row in self.confusion],
                "proportions": [list(row) for row in self.proportions],
            },
            "strata": [asdict(one.stratum) | {"finished": one.finished} for one in self.strata],
            "tiles": {
                "finished": self.finished,
                "unfinished": self.unfinished,
                "cannot_tell": self.cannot_tell,
                "deleted": self.deleted,
            },
            "strata_without_variance": list(self.alone),
            "sample": str(self.path),
            "layer_file": None if self.layer_file is None else str(self.layer_file),
            "design": self.design.to_json(),
            "warnings": list(self.warnings),
        }

    def _class(self, index: int) -> dict[str, float | None]:
        one, tiles = self.classes[index], self.sampled(index)
        area = {
            "area_ha": one.area_ha.value,
            "area_se_ha": one.area_ha.se,
            "area_low_ha": one.area_ha.low,
            "area_high_ha": one.area_ha.high,
        }
        return {
            "mapped_ha": _number(one.mapped_ha),
            **{name: _number(value) for name, value in area.items()},
            **_estimate("users", one.users),
            **_estimate("producers", one.producers),
            "tiles_mapped": tiles.mapped,
            "tiles_reference": tiles.reference,
            "tiles_right": tiles.right,
        }


def _estimate(name: str, value: Estimate) -> dict[str, float | None]:
    se = "se" if name == "accuracy" else f"{name}_se"
    numbers = {name: value.value, se: value.se, f"{name}_low": value.low, f"{name}_high": value.high}
    return {key: _number(number) for key, number in numbers.items()}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
