"""Shards: the tiles of a run in equal parts, processed independently, for example on several machines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bimors_cli.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# More than the task arrays of any cluster.
MAX_SHARDS = 1_000_000

_WRITTEN = re.compile(r"(\d{1,9})/(\d{1,9})", re.ASCII)


@dataclass(frozen=True, order=True)
class Shard:
    """Part ``number`` of ``count``, counted from 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def suffix(self) -> str:
        """Part of the name of its journal, before the journal's own suffix."""
        return f".{self.number}-of-{self.count}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Parse a shard such as ``3/16``.

        Raises
        ------
        InputError
            The text is not of the form K/N, or K is not in 1..N.
        """
        match = _WRITTEN.fullmatch(text.strip())
        if match is None:
            raise InputError(f"--shard {text}: not of the form K/N", "for the third of sixteen shards write 3/16")
        number, count = map(int, match.groups())
        if not 1 <= number <= count <= MAX_SHARDS:
            limit = f"; at most {MAX_SHARDS:,} shards are supported" if count > MAX_SHARDS else ""
            raise InputError(f"--shard {text}: K must be from 1 to N{limit}", "the first of 16 shards is 1/16")
        return cls(number, count)

    def bounds(self, total: int) -> tuple[int, int]:
        """Return start and end of its part of ``total`` items; the sizes of the parts differ by one at most."""
        return total * (self.number - 1) // self.count, total * self.number // self.count

    def of(self, pending: tuple[npt.NDArray[np.int64], ...]) -> tuple[npt.NDArray[np.int64], ...]:
        """Return its part of a `bimors_cli.pipeline.plan.TileIndices`: contiguous in the order of scenes and grid."""
        begin, end = self.bounds(sum(map(len, pending)))
        part, before = [], 0
        for indices in pending:
            part.append(indices[max(0, begin - before) : max(0, end - before)])
            before += len(indices)
        return tuple(part)
