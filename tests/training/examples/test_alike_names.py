"""Classes whose names differ by one letter."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.labels import Labels
from bimors_cli.training.examples.alike_names import alike, warn_of_alike_names
from bimors_cli.training.examples.base import Example, Examples

ALIKE = [
    ("forest", "forrest"),
    ("Forest", "forets"),
    ("bare land", "bare lands"),
    ("dense residential", "dense residental"),
    ("wasser", "vasser"),
]
DIFFERENT = [
    ("port", "fort"),
    ("port", "part"),
    ("dense residential", "sparse residential"),
    ("class 1", "class 2"),
    ("field A", "field B"),
    ("forest1", "forest2"),
    ("forest", "forest edge"),
    ("river", "rivulet"),
    ("forest", "frost"),
]


@pytest.mark.parametrize("names", [*ALIKE, *(pair[::-1] for pair in ALIKE)])
def test_misspelt(names: tuple[str, str]) -> None:
    assert list(alike(("other", *names))) == [(1, 2)]


@pytest.mark.parametrize("names", DIFFERENT)
def test_other_words(names: tuple[str, str]) -> None:
    assert not list(alike(names))


WORDS = st.text(string.ascii_lowercase, min_size=5, max_size=9)


@given(WORDS, st.data())
def test_any_single_mistake_is_found(word: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(word) - 1))
    letter = data.draw(st.sampled_from(string.ascii_lowercase))
    mistakes = {
        word[:at] + letter + word[at:],
        word[:at] + letter + word[at + 1 :],
        word[:at] + word[at + 1 : at + 2] + word[at] + word[at + 2 :],
    } - {word}
    assert all(list(alike((word, wrong))) == [(0, 1)] for wrong in mistakes)


class NoImages:
    def read(self, index: int) -> None:
        raise AssertionError(index)


def test_the_warning_counts_the_examples(caplog: pytest.LogCaptureFixture) -> None:
    labels = Labels.of(["forest", "river", "forrest"])
    rows = tuple(Example(label, f"tile {row}") for row, label in enumerate([0] * 12 + [1] * 5 + [2]))
    warn_of_alike_names(Examples(labels, rows, NoImages(), "towns", {}))
    assert caplog.messages == [
        "towns: the classes 'forest' (12 examples) and 'forrest' (1 example) differ by one letter: correct the spelling"
        " if they are the same"
    ]
