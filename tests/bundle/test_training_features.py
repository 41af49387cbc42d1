"""How unlike the training images of a bundle a tile is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bimors_cli.bundle.listing import bundle_info
from bimors_cli.bundle.locate import embedded_bundle
from bimors_cli.bundle.manifest import MANIFEST, read_bundle
from bimors_cli.bundle.schemas import check_schema
from bimors_cli.bundle.training_features import TrainingFeatures, measure_features, parse_training_features


@pytest.fixture
def training() -> np.ndarray:
    """Features in a plane of 3 of 16 dimensions, and a little beside it."""
    random = np.random.default_rng(0)
    return random.normal(0, 1, (2000, 3)) @ random.normal(0, 1, (3, 16)) + random.normal(0, 0.1, (2000, 16)) + 5


def test_novelty_is_the_fraction_of_training_images_that_are_less_unlike(training: np.ndarray) -> None:
    found = measure_features(training)
    novelty = found.novelty(training)
    assert np.quantile(novelty, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.01)
    away = training + np.random.default_rng(1).normal(0, 2, training.shape)
    assert np.median(found.novelty(away)) == 1 and found.novelty(away).max() == 1
    # Further along what the training images have in common is not unlike them.
    centred = training - training.mean(axis=0)
    main = np.linalg.svd(centred, full_matrices=False)[2][:3]
    along = training + 3 * centred @ main.T @ main
    assert found.novelty(along) == pytest.approx(novelty, abs=0.1)
    assert np.isnan(found.novelty(np.full((1, 16), np.nan))).all()
    assert found.novelty(training[:0]).shape == (0,)


def test_the_manifest_holds_all_of_it(training: np.ndarray) -> None:
    found = measure_features(training)
    assert parse_training_features(json.loads(json.dumps(found.as_json()))) == found
    assert len(found.distances) == 101 and found.width == 16
    assert measure_features(training * -1 + 10).distances == pytest.approx(found.distances, rel=1e-3)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"mean": []}, "mean"),
        ({"mean": [1, True]}, "mean"),
        ({"mean": [1.0] * 15}, "width"),
        ({"directions": "?"}, "base64"),
        ({"directions": ""}, "width"),
        ({"directions": "AHwAfAB8AHwAfAB8AHwAfAB8AHwAfAB8AHwAfAB8AHw="}, "finite"),
        ({"distances": [1.0]}, "ascending"),
        ({"distances": [2.0, 1.0]}, "ascending"),
        ({"distances": [0.0, float("nan")]}, "distances"),
    ],
)
def test_damaged_numbers_are_refused(training: np.ndarray, change: dict[str, Any], word: str) -> None:
    content = {**measure_features(training).as_json(), **change}
    with pytest.raises((TypeError, ValueError), match=word):
        parse_training_features(content)


def test_mini_states_its_training_images() -> None:
    domain = read_bundle(embedded_bundle()).training_domain
    assert domain is not None and isinstance(domain.image_feature, TrainingFeatures)
    assert domain.image_feature.width == 256
    path = embedded_bundle() / MANIFEST
    assert path.stat().st_size < 60_000
    check_schema(Path("x"), json.loads(path.read_text()), "manifest")
    assert bundle_info("mini")["training_domain"] == replace(domain, image_feature=None).as_json()
