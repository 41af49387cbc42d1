"""The result of a finished tile: one entry of the journal."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bimors_cli.options.classify import ClassifyOptions

# Confidence has four decimals and a class's probability six: less than float noise of another batch or machine.
CONFIDENCE_DECIMALS = 4
PROBABILITY_DECIMALS = 6

# Data type of `TileResult.probability_bytes`. The byte order is that of the file, not of the machine.
PROBABILITIES: Final = np.dtype("<f4")

# --resume computes tiles with these reasons again.
RETRIED = frozenset({"read_error", "model_error"})
# Tiles that no model has processed: they get no row, unless --keep-empty is given.
EMPTY = frozenset({"nodata", "outside_aoi"})


@dataclass(frozen=True, slots=True)
class TileResult:
    """A finished tile.

    ``scene`` counts the scenes of the run, ``index`` the tiles of its grid row by row, both from 0. ``reason`` says why
    there is no label or caption. ``ranking`` holds (label index, probability), best first, as many as ``--top-k``;
    ``probabilities`` those of all labels in their order, and ``feature`` the image feature (see
    `bimors_cli.output.image_features`), if the options ask for them.

    A run that refines all tiles together (see `bimors_cli.pipeline.refine`) also stores its input:
    ``probability_bytes`` of a labelled tile are the probabilities of all labels as `PROBABILITIES`, not rounded.
    ``valid_cells`` of a tile that was read are packed bits, row by row, one per cell of the tile: whether the cell has
    enough valid data; None if all have.
    """

    scene: int
    index: int
    reason: str | None = None
    ranking: tuple[tuple[int, float], ...] = ()
    caption: str | None = None
    probabilities: tuple[float, ...] | None = None
    feature: bytes | None = None
    probability_bytes: bytes | None = None
    valid_cells: bytes | None = None

    def to_json(self) -> list[Any]:
        """Make a JSON array."""
        value = [self.scene, self.index, self.reason, self.ranking, self.caption, self.probabilities]
        binary = (self.feature, self.probability_bytes, self.valid_cells)
        encoded = [None if data is None else base64.b64encode(data).decode() for data in binary]
        while encoded and encoded[-1] is None:
            encoded.pop()
        return [*value, *encoded]

    @classmethod
    def from_json(cls, value: Sequence[Any]) -> TileResult:
        """Parse the result of `to_json`. Raises ValueError or TypeError for anything else."""
        scene, index, reason, ranking, caption, probabilities, *encoded = value
        return cls(
            int(scene),
            int(index),
            reason,
            tuple((int(label), float(p)) for label, p in ranking),
            caption,
            None if probabilities is None else tuple(map(float, probabilities)),
            *(None if data is None else base64.b64decode(data) for data in encoded),
        )


def rank_labels(result: TileResult, probabilities: npt.NDArray[np.floating], options: ClassifyOptions) -> TileResult:
    """Return a result with the ranking that its probabilities, float [K], give; its other fields stay.

    The earlier label wins a tie, on every machine.
    """
    values = probabilities.astype(np.float64)
    order = np.argsort(-values, kind="stable")[: options.top_k]
    low = values[order[0]] < options.min_confidence
    return replace(
        result,
        reason="low_confidence" if low else None,
        ranking=() if low else tuple((int(i), round(float(values[i]), CONFIDENCE_DECIMALS)) for i in order),
        probabilities=tuple(np.round(values, PROBABILITY_DECIMALS).tolist()) if options.probabilities else None,
    )
