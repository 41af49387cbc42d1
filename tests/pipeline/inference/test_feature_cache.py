"""Features in the cache: they are returned as they were added, and only for the same models and images."""

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
def feature_cache(tmp_path: Path) -> FeatureCache:
    cache = CaptionCacheFile(tmp_path / "captions.sqlite", 10**9)
    cache.put(SOURCE, dict(zip(KEYS, "abcd", strict=True)))
    return FeatureCache(cache, FeatureSpec(b"clip", (5,)), FeatureSpec(b"adapter", (2, 3)))


def test_features_are_returned_bit_by_bit(feature_cache: FeatureCache) -> None:
    feature_cache.put(KEYS[:3], FEATURES.part(slice(0, 3)))
    found, captions, features = feature_cache.get([KEYS[3], KEYS[2], KEYS[0]], CPU)
    assert found == [1, 2] and captions == ["c", "a"] and features is not None and features.context is not None
    assert torch.equal(features.image_feature, FEATURES.image_feature[[2, 0]])
    assert FEATURES.context is not None and torch.equal(features.context, FEATURES.context[[2, 0]])
    assert feature_cache.cache.hits == 2


def test_an_empty_cache(feature_cache: FeatureCache) -> None:
    assert feature_cache.get(KEYS, CPU) == ([], [], None)
    assert feature_cache.get([], CPU) == ([], [], None)


def test_another_adapter_has_the_image_features_alone(feature_cache: FeatureCache) -> None:
    feature_cache.put(KEYS, FEATURES)
    assert feature_cache.get(KEYS, CPU)[0] == [0, 1, 2, 3]
    assert replace(feature_cache, context=FeatureSpec(b"another adapter", (2, 3))).get(KEYS, CPU)[0] == []
    found, _, features = replace(feature_cache, context=None).get(KEYS, CPU)
    assert found == [0, 1, 2, 3] and features is not None and features.context is None
    assert torch.equal(features.image_feature, FEATURES.image_feature)
    assert replace(feature_cache, feature=FeatureSpec(b"another CLIP", (5,))).get(KEYS, CPU)[0] == []


def test_features_of_another_size_is_not_taken(feature_cache: FeatureCache) -> None:
    feature_cache.put(KEYS, FEATURES)
    assert replace(feature_cache, feature=FeatureSpec(b"clip", (4,))).get(KEYS, CPU)[0] == []


def test_features_without_its_caption_is_not_taken(feature_cache: FeatureCache) -> None:
    other = [bytes([9]) * 32]
    feature_cache.put(other, FEATURES.part(slice(0, 1)))
    assert feature_cache.get(other, CPU)[0] == []


def test_features_are_evicted_before_captions(tmp_path: Path) -> None:
    with CaptionCacheFile(tmp_path / "captions.sqlite", 300_000) as cache:
        cache.put(SOURCE, dict(zip(KEYS, "abcd", strict=True)))
        feature_cache = FeatureCache(cache, FeatureSpec(b"clip", (500,)), None)
        many = [i.to_bytes(32, "big") for i in range(400)]
        feature_cache.put(many, HeadFeatures(torch.randn(400, 500)))
        assert not cache.get_features({feature_cache.feature.cache_key(key) for key in many})
        assert len(cache.get(KEYS)) == 4


def test_features_that_are_not_finite_are_omitted(feature_cache: FeatureCache) -> None:
    broken = FEATURES.image_feature.clone()
    broken[1, 2] = float("nan")
    feature_cache.put(KEYS, HeadFeatures(broken, FEATURES.context))
    assert feature_cache.get(KEYS, CPU)[0] == [0, 2, 3]
