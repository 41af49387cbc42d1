"""When graphs are captured, and for which batches; without a GPU, with a search in their place."""

from __future__ import annotations

import pytest
import torch

from bimors_cli.model.t5 import graphs
from bimors_cli.model.t5.beams import Beams, read_captions
from bimors_cli.model.t5.decoder import T5Decoder
from bimors_cli.model.t5.graphs import GraphedSearch
from bimors_cli.model.t5.search import T5Search
from tests.model.t5.small import settings, small_t5


class SearchInPlace:
    """As captured graphs: of one number of pictures, with tensors that the next call overwrites."""

    captured: list[int]

    def __init__(self, search: T5Search, states: torch.Tensor) -> None:
        self.images = len(states)
        self.captured.append(self.images)
        self._search, self._states = search, states.clone()
        self._found: list[Beams] = []

    def replay(self, states: torch.Tensor) -> list[Beams]:
        self._states[: len(states)].copy_(states)
        for beams in self._found:
            beams.tokens.zero_()
            beams.origins.zero_()
        self._found = self._search.run(self._states)
        return self._found


@pytest.mark.parametrize(
    ("counts", "captured"),
    [
        ([8, 64, 64, 64, 40], [64]),
        ([8, 8, 64, 64, 20, 64], [8, 64]),
        ([64, 64, 33, 32, 31, 64, 1, 1], [64, 1]),
        ([5, 6, 7], []),
    ],
)
def test_a_number_of_pictures_that_repeats_is_captured(
    counts: list[int], captured: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = settings(3, 5)
    decoder = T5Decoder(small_t5(1))
    monkeypatch.setattr(SearchInPlace, "captured", [], raising=False)
    monkeypatch.setattr(graphs, "_Graphs", SearchInPlace)
    search = T5Search(decoder, wanted)
    graphed = GraphedSearch(search)
    states = [torch.randn(count, 6, 32) for count in counts]
    found = [graphed.run(part) for part in states]
    assert SearchInPlace.captured == captured
    for part, steps in zip(states, found, strict=True):
        tokens = read_captions(steps, wanted, decoder.words)
        expected = read_captions(search.run(part), wanted, decoder.words)
        assert len(tokens) == len(part)
        assert torch.equal(tokens[:, : expected.shape[1]], expected)
