"""Gists in the cache: what is found is what was kept, and nothing else is taken for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bimors_cli.model.heads.base import HeadFeatures
from bimors_cli.pipeline.inference.cache_db import CaptionerId
from bimors_cli.pipeline.inference.caption_cache import CaptionCacheFile
from bimors_cli.pipeline.inference.feature_cache import FeatureCache, FeatureSpec

SOURCE = CaptionerId("tiny", "0" * 64, "4 beams")
CPU = torch.device("cpu")
KEYS = [bytes([i]) * 32 for i in range(4)]
GIST = HeadFeatures(torch.randn(4, 5), torch.randn(4, 2, 3))


@pytest.fixture
def memory(tmp_path: Path) -> FeatureCache:
    cache = CaptionCacheFile(tmp_path / "captions.sqlite", 10**9)
    cache.keep(SOURCE, dict(zip(KEYS, "abcd", strict=True)))
    return FeatureCache(cache, FeatureSpec(b"clip", (5,)), FeatureSpec(b"adapter", (2, 3)))


def test_what_is_found_is_what_was_kept_to_the_bit(memory: FeatureCache) -> None:
    memory.keep(KEYS[:3], GIST.part(slice(0, 3)))
    known, captions, gist = memory.find([KEYS[3], KEYS[2], KEYS[0]], CPU)
    assert known == [1, 2] and captions == ["c", "a"] and gist is not None and gist.context is not None
    assert torch.equal(gist.image_feature, GIST.image_feature[[2, 0]])
    assert GIST.context is not None and torch.equal(gist.context, GIST.context[[2, 0]])
    assert memory.cache.known == 2


def test_nothing_known_is_nothing_found(memory: FeatureCache) -> None:
    assert memory.find(KEYS, CPU) == ([], [], None)
    assert memory.find([], CPU) == ([], [], None)


def test_another_adapter_has_the_image_features_alone(memory: FeatureCache) -> None:
    memory.keep(KEYS, GIST)
    assert memory.find(KEYS, CPU)[0] == [0, 1, 2, 3]
    assert replace(memory, context=FeatureSpec(b"another adapter", (2, 3))).find(KEYS, CPU)[0] == []
    known, _, gist = replace(memory, context=None).find(KEYS, CPU)
    assert known == [0, 1, 2, 3] and gist is not None and gist.context is None
    assert torch.equal(gist.image_feature, GIST.image_feature)
    assert replace(memory, feature=FeatureSpec(b"another CLIP", (5,))).find(KEYS, CPU)[0] == []


def test_a_gist_of_another_size_is_not_taken(memory: FeatureCache) -> None:
    memory.keep(KEYS, GIST)
    assert replace(memory, feature=FeatureSpec(b"clip", (4,))).find(KEYS, CPU)[0] == []


def test_a_gist_without_its_caption_is_not_taken(memory: FeatureCache) -> None:
    other = [bytes([9]) * 32]
    memory.keep(other, GIST.part(slice(0, 1)))
    assert memory.find(other, CPU)[0] == []


def test_gists_make_room_before_captions(tmp_path: Path) -> None:
    with CaptionCacheFile(tmp_path / "captions.sqlite", 300_000) as cache:
        cache.keep(SOURCE, dict(zip(KEYS, "abcd", strict=True)))
        memory = FeatureCache(cache, FeatureSpec(b"clip", (500,)), None)
        many = [i.to_bytes(32, "big") for i in range(400)]
        memory.keep(many, HeadFeatures(torch.randn(400, 500)))
        assert not cache.get_features({memory.feature.key(key) for key in many})
        assert len(cache.find(KEYS)) == 4


def test_what_is_not_finite_is_not_kept(memory: FeatureCache) -> None:
    broken = GIST.image_feature.clone()
    broken[1, 2] = float("nan")
    memory.keep(KEYS, HeadFeatures(broken, GIST.context))
    assert memory.find(KEYS, CPU)[0] == [0, 2, 3]
