"""What a comparison of two layers found, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

CHANGE: Final = "change"
NO_CHANGE: Final = "no change"
STRATA: Final = (CHANGE, NO_CHANGE, "doubtful")
ARROW: Final = " → "

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ChangeSummary:
    """Two layers compared.

    Attributes
    ----------
    path : Path
        The layer that was written.
    labels : tuple of str
        K labels, in the order of the layer before.
    tiles, hectares : mapping of str to int, float
        Tiles of each stratum, and their area on the ground.
    not_compared : int
        Tiles with a row that have no answer at one of the dates.
    expected : float64 array [K, K]
        Expected area of each transition in hectares: rows are labels before, columns labels after. It sums to the area
        of all compared tiles.
    called : float64 array [K, K]
        Area of the tiles that are called change or no change, by their most probable transition, in hectares.
    false_change, false_no_change : float
        Expected fraction of the area called change that did not change, and of that called no change that did; 0 where
        no tile is called so.
    shared_errors : float
        Correlation of the errors of the answers for the two dates, 0..1.
    max_false : float
        The limit of the two.
    warnings : tuple of str
        Why tiles may differ although nothing changed.
    """

    path: Path
    labels: tuple[str, ...]
    tiles: dict[str, int]
    hectares: dict[str, float]
    not_compared: int
    expected: Matrix
    called: Matrix
    false_change: float
    false_no_change: float
    shared_errors: float
    max_false: float
    warnings: tuple[str, ...]

    @property
    def expected_change_ha(self) -> float:
        """Expected area of all changes, in hectares."""
        return float(self.expected.sum() - np.trace(self.expected))

    def transitions(self, matrix: Matrix) -> list[tuple[str, str, float]]:
        """Return the changes of a matrix of areas, the largest first: label before, label after, and the area."""
        rows, cols = np.nonzero(matrix * (1 - np.eye(len(matrix))))
        found = [
            (self.labels[row], self.labels[col], float(matrix[row, col]))
            for row, col in zip(rows.tolist(), cols.tolist(), strict=True)
        ]
        return sorted(found, key=lambda each: -each[2])

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return {
            "path": str(self.path),
            "labels": list(self.labels),
            "tiles": {**self.tiles, "not compared": self.not_compared},
            "hectares": self.hectares,
            "change_ha": self.expected_change_ha,
            "transitions": {"expected_ha": self.expected.tolist(), "called_ha": self.called.tolist()},
            "expected_false": {CHANGE: self.false_change, NO_CHANGE: self.false_no_change},
            "max_false": self.max_false,
            "shared_errors": self.shared_errors,
            "warnings": list(self.warnings),
        }

    def csv_rows(self) -> list[list[str]]:
        """Return the expected areas as rows of a table with a header, in hectares with four decimals."""
        rows = [
            [label, *(f"{value:.4f}" for value in values)]
            for label, values in zip(self.labels, self.expected.tolist(), strict=True)
        ]
        return [["before \\ after", *self.labels], *rows]
