"""Shards: a run's tiles in a number of equal parts, which machines that know nothing of each other can look at."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bimors_cli.errors import InputError

# More than any cluster has tasks in an array.
MOST_SHARDS = 1_000_000

_WRITTEN = re.compile(r"(\d{1,9})/(\d{1,9})", re.ASCII)


@dataclass(frozen=True, order=True)
class Shard:
    """The ``number``-th of ``count`` parts, from 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def suffix(self) -> str:
        """What its journal's name has before the journal's own suffix."""
        return f".{self.number}-of-{self.count}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``3/16``.

        Raises
        ------
        InputError
            It is written otherwise, or there is no such part.
        """
        match = _WRITTEN.fullmatch(text.strip())
        if match is None:
            raise InputError(f"--shard {text}: not a part of a number of parts", "write the third of sixteen as 3/16")
        number, count = map(int, match.groups())
        if not 1 <= number <= count <= MOST_SHARDS:
            most = f"; at most {MOST_SHARDS:,} shards" if count > MOST_SHARDS else ""
            raise InputError(f"--shard {text}: shards count from 1 to their number{most}", "1/16 is the first of 16")
        return cls(number, count)

    def bounds(self, total: int) -> tuple[int, int]:
        """Return where its part of ``total`` things in a row begins and ends; sizes of parts differ by one at most."""
        return total * (self.number - 1) // self.count, total * self.number // self.count

    def of(self, todo: tuple[npt.NDArray[np.int64], ...]) -> tuple[npt.NDArray[np.int64], ...]:
        """Return its tiles of a `bimors_cli.pipeline.plan.TileIndices`: contiguous in the order of scenes and grid."""
        begin, end = self.bounds(sum(map(len, todo)))
        share, before = [], 0
        for places in todo:
            share.append(places[max(0, begin - before) : max(0, end - before)])
            before += len(places)
        return tuple(share)
