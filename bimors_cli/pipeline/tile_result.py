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
NOVELTY_DECIMALS = 4
PROBABILITY_DECIMALS = 6

# Data type of `TileResult.probability_bytes`. The byte order is that of the file, not of the machine.
PROBABILITIES: Final = np.dtype("<f4")

# Reasons for which a tile that was classified has no label.
LOW_CONFIDENCE, UNLIKE_EXAMPLES = UNCERTAIN = "low_confidence", "unlike_examples"


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

    ``novelty`` is how unlike the examples or training images the tile is, 0 to 1, if the options ask for it;
    ``label_set`` are the indices of the labels in its set, most probable first, empty if it is unlike all examples.
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
    novelty: float | None = None
    label_set: tuple[int, ...] | None = None

    def to_json(self) -> list[Any]:
        """Make a JSON array."""
        value = [self.scene, self.index, self.reason, self.ranking, self.caption, self.probabilities]
        binary = (self.feature, self.probability_bytes, self.valid_cells)
        encoded = [None if data is None else base64.b64encode(data).decode() for data in binary]
        added: list[Any] = [*encoded, self.novelty, self.label_set]
        while added and added[-1] is None:
            added.pop()
        return [*value, *added]

    @classmethod
    def from_json(cls, value: Sequence[Any]) -> TileResult:
        """Parse the result of `to_json`. Raises ValueError or TypeError for anything else."""
        scene, index, reason, ranking, caption, probabilities, *added = value
        # Fields are added at the end, and left out there if they are None.
        missing: list[Any] = [None] * (5 - len(added))
        feature, probability_bytes, valid_cells, novelty, label_set = [*added, *missing]
        return cls(
            int(scene),
            int(index),
            reason,
            tuple((int(label), float(p)) for label, p in ranking),
            caption,
            None if probabilities is None else tuple(map(float, probabilities)),
            _decoded(feature),
            _decoded(probability_bytes),
            _decoded(valid_cells),
            None if novelty is None else float(novelty),
            None if label_set is None else tuple(map(int, label_set)),
        )


def _decoded(data: Any) -> bytes | None:
    return None if data is None else base64.b64decode(data)


def is_doubtful(result: TileResult, below: float) -> bool:
    """Tell whether the label of a tile is doubtful: its confidence is below ``below``, or is too low for a label.

    So is a tile without a label that is unlike all examples, but not one that could not be read or computed.
    """
    if result.reason is None:
        return result.ranking[0][1] < below
    return result.reason in UNCERTAIN


def rank_labels(result: TileResult, probabilities: npt.NDArray[np.floating], options: ClassifyOptions) -> TileResult:
    """Return a result with the ranking that its probabilities, float [K], give; its other fields stay.

    The earlier label wins a tie, on every machine.
    """
    values = probabilities.astype(np.float64)
    order = np.argsort(-values, kind="stable")[: options.top_k]
    low = values[order[0]] < options.min_confidence
    return replace(
        result,
        reason=LOW_CONFIDENCE if low else None,
        ranking=() if low else tuple((int(i), round(float(values[i]), CONFIDENCE_DECIMALS)) for i in order),
        probabilities=tuple(np.round(values, PROBABILITY_DECIMALS).tolist()) if options.probabilities else None,
    )
