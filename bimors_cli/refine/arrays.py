"""The features and text answers of all tiles of a run, checked, and read block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SMALLEST: Final = 1e-12  # a text probability that was rounded to 0 is doubt, not proof
BLOCK: Final = 8192  # tiles at a time: 16 MiB of float32 features with D = 512
_SUM: Final = 1e-3  # how far a row of float16 probabilities can be from 1 by rounding
_PLAIN: Final = 1e30  # features no longer, and no shorter than the inverse, are divided in float32


@dataclass(frozen=True)
class Features:
    """The tiles' features, read block by block: each scaled to unit length, the mean of all taken off."""

    rows: NDArray[Any]
    length: NDArray[np.floating[Any]]
    mean: NDArray[np.float32]

    @classmethod
    def of(cls, rows: NDArray[Any]) -> Features:
        length, total = np.empty(len(rows)), np.zeros(rows.shape[1])
        for part in parts(len(rows)):
            block = np.array(rows[part], np.float64)  # a copy: the next lines write into it
            if not np.isfinite(block).all():
                raise ValueError("image features hold a number that is not finite")
            largest = np.abs(block).max(axis=1, keepdims=True)
            block /= np.where(largest > 0, largest, 1)  # squares of very large or small features would leave float64
            norm = np.linalg.norm(block, axis=1)
            length[part] = np.where(norm > 0, norm * largest[:, 0], 1)
            total += (block / np.where(norm > 0, norm, 1)[:, None]).sum(axis=0)
        plain = rows.dtype.itemsize <= 4 and bool(((length < _PLAIN) & (length > 1 / _PLAIN)).all())
        return cls(rows, length.astype(np.float32) if plain else length, (total / len(rows)).astype(np.float32))

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        for part in parts(len(self.rows)):
            # float32 before the division where it can be: four times as fast as float64
            block = np.array(self.rows[part], self.length.dtype)
            block /= self.length[part, None]
            centred = block.astype(np.float32, copy=False)
            centred -= self.mean
            yield part, centred


def check(rows: NDArray[Any], text: NDArray[Any]) -> None:
    """Refuse, with a ValueError, what are not features [N, D] and probabilities [N, K]; D and K are at least 1."""
    if rows.ndim != 2 or text.ndim != 2 or len(rows) != len(text) or not rows.shape[1] or not text.shape[1]:
        raise ValueError(f"image features {rows.shape} do not fit text probabilities {text.shape}: [N, D] and [N, K]")
    for name, values in (("image features", rows), ("text probabilities", text)):
        if values.dtype.kind != "f":
            raise ValueError(f"{name} are {values.dtype}, not floating-point numbers")
    for part in parts(len(text)):
        block = np.asarray(text[part], np.float64)
        if not np.isfinite(block).all():
            raise ValueError("text probabilities hold a number that is not finite")
        if (block < 0).any() or (np.abs(block.sum(axis=1) - 1) > _SUM).any():
            raise ValueError("text probabilities are none: a number is negative, or a row does not sum to 1")


def parts(count: int) -> Iterator[slice]:
    """Cut ``count`` tiles into blocks."""
    for start in range(0, count, BLOCK):
        yield slice(start, min(start + BLOCK, count))


def softmax(score: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities of the scores in each row, written over them."""
    score -= score.max(axis=1, keepdims=True)
    np.exp(score, out=score)
    score /= score.sum(axis=1, keepdims=True)
    return score
