"""Shards part a run's tiles: all of them, none twice, equally, in order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.errors import InputError
from bimors_cli.options.shard import MAX_SHARDS, Shard

TODOS = st.lists(st.lists(st.integers(0, 10_000), unique=True, max_size=40).map(sorted), min_size=1, max_size=5).map(
    lambda scenes: tuple(np.array(places, dtype=np.int64) for places in scenes)
)


def numbered(count: int) -> list[Shard]:
    return [Shard(number, count) for number in range(1, count + 1)]


@given(todo=TODOS, count=st.integers(1, 60))
def test_shards_are_a_partition_in_order(todo: tuple[np.ndarray, ...], count: int) -> None:
    shares = [shard.of(todo) for shard in numbered(count)]
    for scene, places in enumerate(todo):
        assert np.concatenate([share[scene] for share in shares]).tolist() == places.tolist()
        assert all(share[scene].dtype == np.int64 for share in shares)
    sizes = [sum(map(len, share)) for share in shares]
    assert sum(sizes) == sum(map(len, todo)) and max(sizes) - min(sizes) <= 1
    row = [(scene, int(place)) for scene, places in enumerate(todo) for place in places]
    for share, (begin, end) in zip(shares, [s.bounds(len(row)) for s in numbered(count)], strict=True):
        assert [(scene, int(place)) for scene, places in enumerate(share) for place in places] == row[begin:end]


@given(total=st.integers(0, 10**13), count=st.integers(1, MAX_SHARDS), number=st.integers(1, MAX_SHARDS))
def test_bounds_meet_and_differ_by_one_at_most(total: int, count: int, number: int) -> None:
    number = min(number, count)
    begin, end = Shard(number, count).bounds(total)
    assert end - begin in (total // count, -(-total // count))
    assert begin == (0 if number == 1 else Shard(number - 1, count).bounds(total)[1])
    assert number < count or end == total


@given(number=st.integers(1, 500), more=st.integers(0, 500))
def test_what_is_written_is_read(number: int, more: int) -> None:
    shard = Shard(number, number + more)
    assert Shard.parse(str(shard)) == shard == Shard.parse(f" {shard} ")


@pytest.mark.parametrize(
    "text",
    ["", "3", "a/b", "3/", "/16", "0/16", "17/16", "0/0", "-1/16", "1/1000001", "3/16/2", "1.5/3", "٣/١٦", "3 / 16"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--shard") as refused:
        Shard.parse(text)
    assert refused.value.hint is not None
