"""The query of tiles of the wanted kind and of others, in arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from bimors_cli.results.search_query import relative, rocchio, unit
from tests.benchmarks.search_by_example import compare


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(0, 5))
def test_the_query_does_not_depend_on_the_order(seed: int, wanted: int, others: int) -> None:
    random = np.random.default_rng(seed)
    like, unlike = random.normal(size=(wanted, 8)), random.normal(size=(others, 8))
    query = rocchio(unit(like), unit(unlike))
    assert query.dtype == np.float32 and np.linalg.norm(query) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(rocchio(unit(like)[::-1], unit(unlike)[::-1]), query, atol=1e-5)


def test_a_tile_of_another_kind_turns_the_query_away() -> None:
    axes = np.eye(3)
    assert rocchio(axes[:1], axes[1:2]) @ axes[1] < 0 < rocchio(axes[:1], axes[1:2]) @ axes[0]


def test_what_all_tiles_have_in_common_does_not_count() -> None:
    """Two kinds that differ little from a large common part are opposite once it is subtracted."""
    common = np.array([10.0, 0, 0])
    features = common + np.array([[0, 1, 0], [0, -1, 0]])
    units = unit(features)
    assert units[0] @ units[1] > 0.98
    one, two = relative(features, units.mean(axis=0))
    assert one @ two == pytest.approx(-1, abs=1e-5)


def test_equal_tiles_have_no_direction() -> None:
    features = np.ones((4, 3), np.float16)
    assert not relative(features, unit(features).mean(axis=0)).any()


@pytest.mark.slow
@pytest.mark.shared
def test_the_choice_pays_on_real_features(shared: Path) -> None:
    """WHU-RS19 by OpenAI's CLIP: better than the mean of the features, and better with tiles of another kind."""
    stored = load_file(shared / "features" / "whurs19_clip_vit_b_32.safetensors")
    found = compare(stored["image_features"].astype(np.float32), stored["labels"].astype(np.intp), draws=3)
    for count in (1, 3, 5):
        assert found["Rocchio", count, 0] > found["mean", count, 0]
        assert found["Rocchio", count, 3] > found["Rocchio", count, 0] + 0.01
        assert found["Rocchio", count, 3] >= found["nearest", count, 3] - 0.01
