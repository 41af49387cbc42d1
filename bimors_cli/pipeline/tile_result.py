"""What is known of a finished tile: the journal's unit."""

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

# What `TileRecord.shares` is made of. The byte order is that of the file, not of the machine.
PROBABILITIES: Final = np.dtype("<f4")

# Tiles that ended so are tried again by --resume.
RETRIED = frozenset({"read_error", "model_error"})
# Tiles that were not looked at: no rows, unless --keep-empty.
EMPTY = frozenset({"nodata", "outside_aoi"})


@dataclass(frozen=True, slots=True)
class TileResult:
    """A finished tile.

    ``scene`` counts the run's scenes, ``index`` the grid's tiles row by row, both from 0. ``reason`` says why there is
    no answer. ``ranked`` are (label index, probability), best first, as many as ``--top-k``; ``probabilities`` those of
    all labels in their order, and ``feature`` the image feature (see `bimors_cli.output.image_features`), where asked
    for.

    A run that settles its tiles together (see `bimors_cli.pipeline.refine`) keeps what that takes: ``shares`` of an
    answered tile are the probabilities of all labels as `PROBABILITIES`, not rounded. ``cells`` of a tile that was read
    are packed bits, row by row, that tell which of the cells in it hold enough data; None where all do.
    """

    scene: int
    index: int
    reason: str | None = None
    ranked: tuple[tuple[int, float], ...] = ()
    caption: str | None = None
    probabilities: tuple[float, ...] | None = None
    feature: bytes | None = None
    shares: bytes | None = None
    cells: bytes | None = None

    def to_json(self) -> list[Any]:
        """Make a JSON array."""
        value = [self.scene, self.index, self.reason, self.ranked, self.caption, self.probabilities]
        kept = [None if data is None else base64.b64encode(data).decode() for data in self._kept()]
        while kept and kept[-1] is None:
            kept.pop()
        return [*value, *kept]

    def _kept(self) -> tuple[bytes | None, ...]:
        return self.feature, self.shares, self.cells

    @classmethod
    def from_json(cls, value: Sequence[Any]) -> TileResult:
        """Undo `to_json`. Raises ValueError or TypeError for anything else."""
        scene, index, reason, ranked, caption, probabilities, *kept = value
        return cls(
            int(scene),
            int(index),
            reason,
            tuple((int(label), float(p)) for label, p in ranked),
            caption,
            None if probabilities is None else tuple(map(float, probabilities)),
            *(None if data is None else base64.b64decode(data) for data in kept),
        )


def rank_labels(record: TileResult, shares: npt.NDArray[np.floating], options: ClassifyOptions) -> TileResult:
    """Give a tile the answer that its probabilities, float [K], are; what else its record holds stays.

    The earlier label wins a tie, on every machine.
    """
    values = shares.astype(np.float64)
    order = np.argsort(-values, kind="stable")[: options.top_k]
    low = values[order[0]] < options.min_confidence
    return replace(
        record,
        reason="low_confidence" if low else None,
        ranked=() if low else tuple((int(i), round(float(values[i]), CONFIDENCE_DECIMALS)) for i in order),
        probabilities=tuple(np.round(values, PROBABILITY_DECIMALS).tolist()) if options.probabilities else None,
    )
