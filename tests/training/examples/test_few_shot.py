"""Few-shot sampling: counts, sides, blocks, and what may not change a draw."""

from __future__ import annotations

import logging
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.errors import InputError
from bimors_cli.labels import Labels
from bimors_cli.training.examples.base import Example, Examples
from bimors_cli.training.examples.few_shot import FewShotSplit, few_shot


class Painted:
    """Pictures of one pixel that tell their number; some cannot be read."""

    def __init__(self, broken: frozenset[int] = frozenset()) -> None:
        self.broken = broken
        self.tried: list[int] = []

    def read(self, index: int) -> np.ndarray | None:
        self.tried.append(index)
        return None if index in self.broken else np.full((3, 1, 1), index % 256, np.uint8)


def source(examples: list[Example], names: list[str], broken: frozenset[int] = frozenset(), **more: object) -> Examples:
    return Examples(Labels.of(names), tuple(examples), Painted(broken), "test", {}, **more)  # type: ignore[arg-type]


def plain(counts: dict[str, int], **more: object) -> Examples:
    examples = [
        Example(i, f"{name}/{k:03}.jpg") for i, (name, count) in enumerate(counts.items()) for k in range(count)
    ]
    return source(examples, list(counts), **more)  # type: ignore[arg-type]


def of_class(examples: Examples, rows: tuple[int, ...], name: str) -> list[str]:
    label = examples.labels.names.index(name)
    return [examples.examples[i].source_id for i in rows if examples.examples[i].label == label]


COUNTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 30), min_size=2)


@given(COUNTS, st.integers(0, 20), st.integers(0, 9))
def test_sides_are_disjoint_and_as_large_as_asked(counts: dict[str, int], shots: int, seed: int) -> None:
    examples = plain(counts)
    sample = few_shot(examples, shots, seed)
    rows = sample.train + sample.validation
    assert len(set(rows)) == len(rows) and not sample.skipped
    for name, count in counts.items():
        train, held = (len(of_class(examples, rows, name)) for rows in (sample.train, sample.validation))
        assert train >= 1 and (held >= 1) == (count > 1)
        if shots == 0:
            assert train + held == count and held == (max(1, count // 10) if count > 1 else 0)
        else:
            assert train == shots or sample.short[name] == train
            assert (name in sample.short) == (train < shots) and held <= min(shots, 4)
            if count >= shots + min(shots, 4):
                assert (train, held) == (shots, min(shots, 4))
            elif count > shots:
                assert train == shots


@given(COUNTS, st.integers(0, 20), st.integers(0, 2**40))
def test_a_class_is_drawn_alone(counts: dict[str, int], shots: int, seed: int) -> None:
    """Another class, or another order of classes and files, changes nothing; the same seed gives the same."""
    one, other = plain(counts), plain({"zebra": 7, **{name: counts[name] for name in reversed(counts)}})
    shuffled = other.take(np.random.default_rng(seed).permutation(len(other)).tolist())
    drawn = few_shot(one, shots, seed)
    for more in (other, shuffled):
        sample = few_shot(more, shots, seed)
        for name in counts:
            assert of_class(one, drawn.train, name) == of_class(more, sample.train, name)
            assert of_class(one, drawn.validation, name) == of_class(more, sample.validation, name)
    assert few_shot(plain(counts), shots, seed) == drawn


def test_the_draw_is_the_same_on_every_machine() -> None:
    """Written down once: another numpy, platform or Python may not change what a seed means."""
    examples = plain({"forest": 12, "river": 12})
    sample = few_shot(examples, 3, 7)
    assert sample.train == (10, 7, 0, 18, 21, 13)
    assert sample.validation == (6, 1, 11, 14, 19, 12)
    assert few_shot(examples, 3, 8) != sample


@st.composite
def in_blocks(draw: st.DrawFn) -> Examples:
    names = list("abcd")[: draw(st.integers(2, 4))]
    places = draw(st.lists(st.tuples(st.integers(0, len(names) - 1), st.integers(0, 5)), min_size=2, max_size=60))
    tiles = [(i, 0) for i in range(len(names))] + places
    return source([Example(label, f"s/{i}", f"s/{block}") for i, (label, block) in enumerate(tiles)], names)


@given(in_blocks(), st.integers(0, 8), st.integers(0, 5))
def test_blocks_are_whole_unless_warned(examples: Examples, shots: int, seed: int) -> None:
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("bimors").addHandler(handler)
    try:
        sample = few_shot(examples, shots, seed)
    finally:
        logging.getLogger("bimors").removeHandler(handler)
    flattered = {
        name
        for name in examples.labels.names
        if any(f"class {name!r}: training and validation share" in text for text in records)
    }
    rows = [examples.examples[i] for i in sample.validation]
    if not flattered:
        assert not {examples.examples[i].spatial_block for i in sample.train} & {
            example.spatial_block for example in rows
        }
    blocks = Counter(label for label, _ in {(e.label, e.spatial_block) for e in examples.examples})
    held = {example.label for example in rows}
    for label, name in enumerate(examples.labels.names):
        assert any(examples.examples[i].label == label for i in sample.train)
        count = sum(example.label == label for example in examples.examples)
        assert (label in held) == (count > 1)
        if blocks[label] == 1 and count > 1:
            assert name in flattered


@given(st.integers(0, 20), st.integers(1, 16), st.integers(2, 12))
def test_classes_in_blocks_of_their_own_are_always_parted(seed: int, shots: int, blocks: int) -> None:
    tiles = [(label, block, k) for label in range(3) for block in range(blocks) for k in range(4)]
    examples = source([Example(n, f"s/{n}/{b}/{k}", f"s/{n}/{b}") for n, b, k in tiles], list("abc"))
    sample = few_shot(examples, shots, seed)
    sides = [{examples.examples[i].spatial_block for i in rows} for rows in (sample.train, sample.validation)]
    assert not sides[0] & sides[1]
    assert {examples.examples[i].label for i in sample.validation} == {0, 1, 2}
    if blocks * 4 >= 2 * shots + 4:
        assert not sample.short


def test_a_single_block_is_said_and_split(caplog: pytest.LogCaptureFixture) -> None:
    tiles = [Example(0, f"s/0/{i}", "s/0/0") for i in range(9)] + [Example(1, f"s/{i}/9", f"s/{i}/9") for i in range(9)]
    sample = few_shot(source(tiles, ["pond", "field"]), 4, 0)
    assert sum(i < 9 for i in sample.train) == 4 and sum(i < 9 for i in sample.validation) == 4
    assert (
        "class 'pond': training and validation share one spatial block" in caplog.text and "'field'" not in caplog.text
    )


def test_parts_are_kept_and_test_is_never_touched() -> None:
    rows = [(label, part) for part in ("train", "val", "test") for label in (0, 1) for _ in range(10)]
    examples = source([Example(n, f"{part}/{n}/{i}", split=part) for i, (n, part) in enumerate(rows)], ["a", "b"])
    for shots, train, held in ((3, 6, 6), (8, 16, 8), (0, 20, 20)):
        sample = few_shot(examples, shots, 1)
        assert (len(sample.train), len(sample.validation)) == (train, held)
        assert {examples.examples[i].split for i in sample.train} == {"train"}
        assert {examples.examples[i].split for i in sample.validation} == {"val"}
        assert max(examples.images.tried) < 40  # type: ignore[attr-defined]


def test_without_a_validation_part_it_comes_from_train() -> None:
    rows = [(label, part) for part in ("train", "test") for label in (0, 1) for _ in range(10)]
    examples = source([Example(n, f"{part}/{n}/{i}", split=part) for i, (n, part) in enumerate(rows)], ["a", "b"])
    sample = few_shot(examples, 6, 1)
    assert (len(sample.train), len(sample.validation)) == (12, 8)
    assert {examples.examples[i].split for i in sample.train + sample.validation} == {"train"}


def test_unreadable_pictures_are_named_and_replaced() -> None:
    counts = {"a": 30, "b": 30}
    first = few_shot(plain(counts), 10, 3)
    gone = first.train[2]
    sample = few_shot(plain(counts, broken=frozenset({gone})), 10, 3)
    assert sample.skipped == (f"a/{gone:03}.jpg",)
    assert len(sample.train) == 20 and len(sample.validation) == 8 and gone not in sample.train
    assert sample.train[:2] == first.train[:2] and sample.train[2:9] == first.train[3:10]


def test_too_many_unreadable_pictures_are_refused() -> None:
    counts = {"a": 30, "b": 30}
    order = few_shot(plain(counts), 10, 3).train
    with pytest.raises(InputError, match=r"^4 of \d+ images cannot be read: a/\d+.jpg, a/\d+.jpg, a/\d+.jpg$"):
        few_shot(plain(counts, broken=frozenset(order[:4])), 10, 3)
    assert len(few_shot(plain(counts, broken=frozenset(order[:4])), 10, 3, max_unreadable=0.2).skipped) == 4
    everything = plain({"a": 1000, "b": 1000}, broken=frozenset(range(2000)))
    with pytest.raises(InputError, match="images cannot be read"):
        few_shot(everything, 0, 3)
    assert len(everything.images.tried) == 201  # type: ignore[attr-defined]  # it stops when nothing can mend it


def test_a_class_without_examples() -> None:
    missing = source([Example(0, "a"), Example(0, "b"), Example(1, "c")], ["a", "b", "moor"])
    with pytest.raises(InputError, match="class 'moor' has no example"):
        few_shot(missing, 1, 0)
    only_test = source([Example(0, "a"), Example(1, "c", split="test")], ["a", "b"])
    with pytest.raises(InputError, match="class 'b' has no example"):
        few_shot(only_test, 1, 0)
    kept = source(
        [Example(0, "a"), Example(0, "b"), Example(1, "c")], ["a", "b", "moor"], optional=frozenset({0, 1, 2})
    )
    sample = few_shot(kept, 1, 0)
    assert "moor" not in sample.short and len(sample.train) == 2


def test_an_only_example_goes_to_training(caplog: pytest.LogCaptureFixture) -> None:
    sample = few_shot(plain({"a": 1, "b": 5}), 2, 0)
    assert sample == FewShotSplit(sample.train, sample.validation, (), {"a": 1})
    assert 0 in sample.train and "class 'a' has no example for validation" in caplog.text


@pytest.mark.parametrize(("shots", "seed"), [(-1, 0), (1, -1)])
def test_negative_numbers(shots: int, seed: int) -> None:
    with pytest.raises(InputError):
        few_shot(plain({"a": 2, "b": 2}), shots, seed)


def test_a_part_of_a_source_reads_its_own_pictures() -> None:
    examples = plain({"a": 10, "b": 10}).take([15, 3, 7]).take([2, 0])
    assert [example.source_id for example in examples.examples] == ["a/007.jpg", "b/005.jpg"]
    assert [int(examples.images.read(i)[0, 0, 0]) for i in range(2)] == [7, 15]  # type: ignore[index]
