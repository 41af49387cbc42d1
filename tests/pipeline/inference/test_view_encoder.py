"""Views that networks compute, with a tiny bundle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from bimors_cli.labels import Labels
from bimors_cli.model.frozen_models import FrozenModels
from bimors_cli.model.heads.base import HeadFeatures
from bimors_cli.model.heads.zero_shot import ZeroShotHead
from bimors_cli.pipeline.inference.caption_cache import CaptionCacheFile
from bimors_cli.pipeline.inference.view_encoder import ViewEncoder

LABELS = Labels.of(["forest", "river", "port"])
VIEWS = ("image", "names", "around")
IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32), dtype=np.uint8))


@pytest.fixture
def counted(tiny_models: FrozenModels, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of images of each call of CLIP."""
    calls: list[int] = []
    encode = tiny_models.clip.encode_image

    def count(images: torch.Tensor) -> object:
        calls.append(len(images))
        return encode(images)

    monkeypatch.setattr(tiny_models.clip, "encode_image", count)
    return calls


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[CaptionCacheFile]:
    with CaptionCacheFile(tmp_path / "captions.sqlite", 10**9) as cache:
        yield cache


def cached(models: FrozenModels, cache: CaptionCacheFile) -> FrozenModels:
    copy = replace(models)
    copy.feature_store = cache
    return copy


def test_features_are_those_of_clip(tiny_models: FrozenModels, counted: list[int]) -> None:
    encoder = ViewEncoder.create(tiny_models, VIEWS, LABELS)
    found = encoder.encode(VIEWS, {"image": IMAGES, "around": IMAGES.flip(0)}, {})
    assert counted == [5, 5]  # the view `names` has the features of `image`
    with torch.no_grad():
        expected = tiny_models.clip.encode_image(IMAGES)[0].numpy()
    np.testing.assert_allclose(found["image"], expected, atol=1e-6)
    np.testing.assert_allclose(found["around"], expected[::-1], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found["image"], axis=1), 1, atol=1e-5)
    assert all(values.dtype == np.float32 for values in found.values())


@pytest.mark.parametrize("templates", [(), ("a {}.", "{} from above.")])
def test_names_are_the_zero_shot_answers(templates: tuple[str, ...], tiny_models: FrozenModels) -> None:
    """By the templates that are given, such as those of the training, else by the bundle's."""
    encoder = ViewEncoder.create(tiny_models, ("names",), LABELS, templates)
    found = encoder.encode(("names",), {"image": IMAGES}, {})["names"]
    head = ZeroShotHead(tiny_models.clip, LABELS, templates or tiny_models.bundle.templates)
    with torch.no_grad():
        logits = head.logits(HeadFeatures(tiny_models.clip.encode_image(IMAGES)[0]))
    np.testing.assert_allclose(found, log_softmax(logits.numpy(), axis=1), atol=1e-5)


def test_the_cache_saves_clip(tiny_models: FrozenModels, cache: CaptionCacheFile, counted: list[int]) -> None:
    encoder = ViewEncoder.create(cached(tiny_models, cache), VIEWS, LABELS)
    assert encoder.cache is not None
    first = encoder.encode(VIEWS, {"image": IMAGES, "around": IMAGES}, {})
    assert counted == [5]  # equal images are looked up, whichever view they are of
    again = encoder.encode(VIEWS, {"image": IMAGES, "around": IMAGES.flip(0)}, {})
    assert counted == [5]
    for view in ("image", "names"):
        np.testing.assert_array_equal(first[view], again[view])
    np.testing.assert_array_equal(again["around"], first["image"][::-1])
    more = torch.cat((IMAGES[3:], 255 - IMAGES[:2]))
    np.testing.assert_array_equal(encoder.encode(("image",), {"image": more}, {})["image"][:2], first["image"][3:])
    assert counted == [5, 2]


def test_equal_images_are_encoded_once(tiny_models: FrozenModels, cache: CaptionCacheFile, counted: list[int]) -> None:
    encoder = ViewEncoder.create(cached(tiny_models, cache), ("image",), LABELS)
    found = encoder.encode(("image",), {"image": IMAGES[[0, 1, 0, 0, 1]]}, {})["image"]
    assert counted == [2]
    np.testing.assert_array_equal(found, found[[0, 1, 0, 0, 1]])
    assert not np.array_equal(found[0], found[1])


def test_features_that_are_not_finite_are_not_kept(
    tiny_models: FrozenModels, cache: CaptionCacheFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = ViewEncoder.create(cached(tiny_models, cache), ("image",), LABELS)
    broken = torch.full((5, 32), torch.nan)
    with monkeypatch.context() as patch:
        patch.setattr(tiny_models.clip, "encode_image", lambda images: (broken[: len(images)], None))
        assert np.isnan(encoder.encode(("image",), {"image": IMAGES}, {})["image"]).all()
    assert np.isfinite(encoder.encode(("image",), {"image": IMAGES}, {})["image"]).all()


def test_images_of_other_shapes_are_others(tiny_models: FrozenModels, cache: CaptionCacheFile) -> None:
    encoder = ViewEncoder.create(cached(tiny_models, cache), ("image",), LABELS)
    assert encoder.cache is not None
    flat = np.zeros((3, 4, 4), np.uint8)
    assert encoder.cache.key(flat) != encoder.cache.key(flat.reshape(3, 2, 8))


def test_captions_and_numbers(tiny_models: FrozenModels, counted: list[int]) -> None:
    views = ("captions", "bands")
    encoder = ViewEncoder.create(tiny_models, views, LABELS)
    numbers = np.float32([[1, np.nan], [2, 3], [4, 5]])
    found = encoder.encode(views, {}, {"bands": numbers}, ["many green trees", None, "a river"])
    assert counted == [] and found["bands"] is numbers
    captions = found["captions"]
    assert np.isnan(captions[1]).all()
    np.testing.assert_allclose(np.linalg.norm(captions[[0, 2]], axis=1), 1, atol=1e-5)
    with torch.no_grad():
        alone = tiny_models.caption_encoder.embed(["a river"]).numpy()[0]
    np.testing.assert_allclose(captions[2], alone / np.linalg.norm(alone), atol=1e-5)


def test_large_batches_are_divided(tiny_models: FrozenModels, counted: list[int]) -> None:
    models = replace(tiny_models)
    models.limit_batches(2)
    encoder = ViewEncoder.create(models, ("image", "captions"), LABELS)
    found = encoder.encode(("image", "captions"), {"image": IMAGES}, {}, ["a", "b", "c", "a", "b"])
    assert counted == [2, 2, 1] and len(found["captions"]) == 5
