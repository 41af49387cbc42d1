"""Groups of doubtful tiles: whatever the batches, no tile is lost and each gets its own caption."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import torch
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.model.batching import CAPTIONER
from bimors_cli.pipeline.inference.doubtful import BATCHES_AT_ONCE, DoubtfulCaptions
from bimors_cli.pipeline.inference.tile_batch import TileBatch
from bimors_cli.pipeline.tile_result import TileResult, is_doubtful

SIZE = 5
# Of each batch the confidences of its tiles in percent; None for a tile without data.
BATCHES = st.lists(st.lists(st.none() | st.integers(0, 99), max_size=8), max_size=30)


class Models:
    """Captions an image with its first number and its key."""

    def __init__(self) -> None:
        self.batches = SimpleNamespace(sizes={CAPTIONER: SIZE})
        self.counts: list[int] = []

    def caption(self, images: torch.Tensor, cache_keys: list[bytes] | None) -> list[str | None]:
        self.counts.append(len(images))
        keys = [b""] * len(images) if cache_keys is None else cache_keys
        return [f"{int(image[0, 0, 0])}{key.decode()}" for image, key in zip(images, keys, strict=True)]


@given(batches=BATCHES, keyed=st.booleans())
def test_every_doubtful_tile_gets_its_caption(batches: list[list[int | None]], keyed: bool) -> None:
    models = Models()
    doubtful = DoubtfulCaptions(models, 0.5)  # type: ignore[arg-type]
    labelled, index, expected = [], 0, {}
    for confidences in batches:
        results, indices = [], []
        for confidence in confidences:
            if confidence is None:
                results.append(TileResult(0, index, "nodata"))
            else:
                results.append(TileResult(0, index, ranking=((0, confidence / 100),)))
                indices.append(index)
                if confidence < 50:
                    expected[index] = f"{index}k{index}" if keyed else str(index)
            index += 1
        images = torch.tensor(indices).reshape(-1, 1, 1, 1) if indices else torch.empty((0, 3, 0, 0))
        keys = [f"k{i}".encode() for i in indices] if keyed and indices else None
        batch = TileBatch([], indices, [], images.to(torch.uint8 if index < 256 else torch.int32), keys)
        labelled.append(doubtful.choose(batch, results))
    groups = list(doubtful.groups(iter(labelled)))
    found = [result for group in groups for result in doubtful.caption(group)]
    assert [result.index for result in found] == list(range(index))
    assert {result.index: result.caption for result in found if result.caption is not None} == expected
    assert all(group.batches <= BATCHES_AT_ONCE for group in groups)
    assert all(count <= max(SIZE, len(max(batches, key=len))) for count in models.counts)
    # Two consecutive groups could not have been one.
    for one, other in pairwise(groups):
        assert len(one.images) + len(other.images) > SIZE or one.batches + other.batches > BATCHES_AT_ONCE


def test_a_tile_that_could_not_be_computed_is_not_doubtful() -> None:
    reasons = {"low_confidence": True, "unlike_examples": True, "nodata": False, "read_error": False,
               "model_error": False, "outside_aoi": False}  # fmt: skip
    assert {reason: is_doubtful(TileResult(0, 0, reason), 0.5) for reason in reasons} == reasons
    confidences = (0.4999, 0.5, 1.0)
    assert [is_doubtful(TileResult(0, 0, ranking=((0, p),)), 0.5) for p in confidences] == [True, False, False]
