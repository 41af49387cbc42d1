"""The best words of all beams."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.model.t5.beams import top_words


@given(
    seed=st.integers(0, 1000),
    pictures=st.integers(1, 4),
    beams=st.integers(1, 5),
    words=st.integers(6, 200),
    count=st.integers(1, 6),
)
def test_the_best_words_are_those_of_a_whole_sort(seed: int, pictures: int, beams: int, words: int, count: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logp = torch.randn(pictures, beams, words, generator=generator)
    scores = torch.randn(pictures, beams, generator=generator)
    values, beam, word = top_words(logp, scores, count)
    expected, index = (logp + scores[..., None]).flatten(1).topk(count)
    assert torch.equal(values, expected)
    assert torch.equal(beam * words + word, index)


def test_equal_words_are_found_once_each() -> None:
    values, beam, word = top_words(torch.zeros(1, 2, 32), torch.zeros(1, 2), 6)
    assert torch.equal(values, torch.zeros(1, 6))
    assert len(set(zip(beam[0].tolist(), word[0].tolist(), strict=True))) == 6


def test_nan_is_among_the_best() -> None:
    logp = torch.zeros(2, 3, 64)
    logp[1, 2, 17] = torch.nan
    assert top_words(logp, torch.zeros(2, 3), 4)[0].isnan().any(1).tolist() == [False, True]
