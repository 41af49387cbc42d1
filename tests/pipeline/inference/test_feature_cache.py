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
FEATURES = HeadFeatures(torch.randn(4, 5), torch.randn(4, 2, 3))


@pytest.fixture
def memory(tmp_path: Path) -> FeatureCache:
    cache = CaptionCacheFile(tmp_path / "captions.sqlite", 10**9)
    cache.put(SOURCE, dict(zip(KEYS, "abcd", strict=True)))
    return FeatureCache(cache, FeatureSpec(b"clip", (5,)), FeatureSpec(b"adapter", (2, 3)))


def test_what_is_found_is_what_was_kept_to_the_bit(memory: FeatureCache) -> None:
    memory.put(KEYS[:3], FEATURES.part(slice(0, 3)))
    known, captions, features = memory.get([KEYS[3], KEYS[2], KEYS[0]], CPU)
    assert known == [1, 2] and captions == ["c", "a"] and features is not None and features.context is not None
    assert torch.equal(features.image_feature, FEATURES.image_feature[[2, 0]])
    assert FEATURES.context is not None and torch.equal(features.context, FEATURES.context[[2, 0]])
    assert memory.cache.hits == 2


def test_nothing_known_is_nothing_found(memory: FeatureCache) -> None:
    assert memory.get(KEYS, CPU) == ([], [], None)
    assert memory.get([], CPU) == ([], [], None)


def test_another_adapter_has_the_image_features_alone(memory: FeatureCache) -> None:
    memory.put(KEYS, FEATURES)
    assert memory.get(KEYS, CPU)[0] == [0, 1, 2, 3]
    assert replace(memory, context=FeatureSpec(b"another adapter", (2, 3))).get(KEYS, CPU)[0] == []
    known, _, features = replace(memory, context=None).get(KEYS, CPU)
    assert known == [0, 1, 2, 3] and features is not None and features.context is None
    assert torch.equal(features.image_feature, FEATURES.image_feature)
    assert replace(memory, feature=FeatureSpec(b"another CLIP", (5,))).get(KEYS, CPU)[0] == []


def test_a_gist_of_another_size_is_not_taken(memory: FeatureCache) -> None:
    memory.put(KEYS, FEATURES)
    assert replace(memory, feature=FeatureSpec(b"clip", (4,))).get(KEYS, CPU)[0] == []


def test_a_gist_without_its_caption_is_not_taken(memory: FeatureCache) -> None:
    other = [bytes([9]) * 32]
    memory.put(other, FEATURES.part(slice(0, 1)))
    assert memory.get(other, CPU)[0] == []


def test_gists_make_room_before_captions(tmp_path: Path) -> None:
    with CaptionCacheFile(tmp_path / "captions.sqlite", 300_000) as cache:
        cache.put(SOURCE, dict(zip(KEYS, "abcd", strict=True)))
        memory = FeatureCache(cache, FeatureSpec(b"clip", (500,)), None)
        many = [i.to_bytes(32, "big") for i in range(400)]
        memory.put(many, HeadFeatures(torch.randn(400, 500)))
        assert not cache.get_features({memory.feature.cache_key(key) for key in many})
        assert len(cache.get(KEYS)) == 4


def test_what_is_not_finite_is_not_kept(memory: FeatureCache) -> None:
    broken = FEATURES.image_feature.clone()
    broken[1, 2] = float("nan")
    memory.put(KEYS, HeadFeatures(broken, FEATURES.context))
    assert memory.get(KEYS, CPU)[0] == [0, 2, 3]
