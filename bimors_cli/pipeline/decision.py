"""From the probabilities of all labels to a tile's answer, when it was looked at and again when it was settled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bimors_cli.pipeline.options import ClassifyOptions
from bimors_cli.pipeline.record import CONFIDENCE_DECIMALS, PROBABILITY_DECIMALS, TileRecord


def decide(record: TileRecord, shares: npt.NDArray[np.floating], options: ClassifyOptions) -> TileRecord:
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
