"""Features and text probabilities of all tiles of a run: validated, and read in blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SMALLEST: Final = 1e-12  # lower bound of a text probability: one that was rounded to 0 excludes nothing
BLOCK: Final = 8192  # tiles in a block: 16 MiB of float32 features with D = 512
_SUM_TOLERANCE: Final = 1e-3  # rounding error of the sum of a row of float16 probabilities
_FLOAT32_RANGE: Final = 1e30  # features with a norm below this, and above its inverse, are divided in float32

# Called before each block of features is read; it may raise to stop the computation.
Check = Callable[[], None]


@dataclass(frozen=True)
class Features:
    """Features of all tiles, read in blocks: scaled to unit length, then centred on the mean of all."""

    rows: NDArray[Any]
    length: NDArray[np.floating[Any]]
    mean: NDArray[np.float32]
    check: Check | None = None

    @classmethod
    def of(cls, rows: NDArray[Any], check: Check | None = None) -> Features:
        length, total = np.empty(len(rows)), np.zeros(rows.shape[1])
        for part in parts(len(rows)):
            if check is not None:
                check()
            block = np.array(rows[part], np.float64)  # a copy: the next lines write into it
            if not np.isfinite(block).all():
                raise ValueError("image features contain a value that is not finite")
            largest = np.abs(block).max(axis=1, keepdims=True)
            block /= np.where(largest > 0, largest, 1)  # squares of very large or small features would overflow float64
            norm = np.linalg.norm(block, axis=1)
            length[part] = np.where(norm > 0, norm * largest[:, 0], 1)
            total += (block / np.where(norm > 0, norm, 1)[:, None]).sum(axis=0)
        single = rows.dtype.itemsize <= 4 and bool(((length < _FLOAT32_RANGE) & (length > 1 / _FLOAT32_RANGE)).all())
        return cls(rows, length.astype(np.float32) if single else length, (total / len(rows)).astype(np.float32), check)

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        for part in parts(len(self.rows)):
            if self.check is not None:
                self.check()
            # float32 before the division if possible: four times as fast as float64
            block = np.array(self.rows[part], self.length.dtype)
            block /= self.length[part, None]
            centred = block.astype(np.float32, copy=False)
            centred -= self.mean
            yield part, centred


def check_arrays(rows: NDArray[Any], text: NDArray[Any]) -> None:
    """Raise ValueError unless these are features [N, D] and probabilities [N, K], with D and K at least 1."""
    if rows.ndim != 2 or text.ndim != 2 or len(rows) != len(text) or not rows.shape[1] or not text.shape[1]:
        raise ValueError(f"image features {rows.shape} and text probabilities {text.shape} must be [N, D] and [N, K]")
    if rows.dtype.kind != "f":
        raise ValueError(f"image features must be floating point, not {rows.dtype}")
    check_probabilities(text)


def check_probabilities(text: NDArray[Any]) -> None:
    """Raise ValueError unless these are probabilities [N, K], with K at least 1."""
    if text.ndim != 2 or not text.shape[1]:
        raise ValueError(f"text probabilities {text.shape} must be [N, K]")
    if text.dtype.kind != "f":
        raise ValueError(f"text probabilities must be floating point, not {text.dtype}")
    for part in parts(len(text)):
        block = np.asarray(text[part], np.float64)
        if not np.isfinite(block).all():
            raise ValueError("text probabilities contain a value that is not finite")
        if (block < 0).any() or (np.abs(block.sum(axis=1) - 1) > _SUM_TOLERANCE).any():
            raise ValueError("text probabilities contain a negative value or a row that does not sum to 1")


def parts(count: int) -> Iterator[slice]:
    """Split ``count`` tiles into blocks."""
    for start in range(0, count, BLOCK):
        yield slice(start, min(start + BLOCK, count))


def softmax(score: NDArray[np.float32]) -> NDArray[np.float32]:
    """Softmax of each row, in place."""
    score -= score.max(axis=1, keepdims=True)
    np.exp(score, out=score)
    score /= score.sum(axis=1, keepdims=True)
    return score
