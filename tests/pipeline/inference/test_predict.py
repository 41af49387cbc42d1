"""From tiles to records: groups, keys, a device that runs out of memory, and runs that end early."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import DeviceError
from bimors_cli.labels import Labels
from bimors_cli.model.batching import CAPTIONER, IMAGE_TOWER
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.pipeline.inference.caption_cache import CachedCaptioner, open_caption_cache
from bimors_cli.pipeline.inference.load import Classifier, load_models, make_classifier
from bimors_cli.pipeline.inference.predict import WAITING_BYTES, classify_tiles, tile_batch_size
from bimors_cli.pipeline.make_plan import make_plan
from bimors_cli.pipeline.plan import Plan, all_tiles
from bimors_cli.pipeline.tile_result import TileResult
from tests.conftest import MakeRaster


def plan_of(scene: str, bundle: Bundle, **options: object) -> Plan:
    labels = Labels.of(["forest", "river", "bare land", "port"])
    chosen = {"model": str(bundle.folder), "tile_size": "32", "device": "cpu", "probabilities": True, **options}
    return make_plan(ClassifyOptions(scenes=(scene,), labels=labels, output="out.gpkg", **chosen))  # type: ignore[arg-type]


def classifier_of(plan: Plan) -> Classifier:
    return make_classifier(load_models(plan.bundle, "cpu"), plan.adapter, plan.options.labels)


def classify(plan: Plan, classifier: Classifier) -> list[TileResult]:
    return [record for group in classify_tiles(plan, classifier, all_tiles(plan), {}) for record in group]


@pytest.fixture
def scene(make_raster: MakeRaster) -> str:
    data = np.random.default_rng(0).integers(1, 256, (3, 160, 320), dtype=np.uint8)
    data[:, :32, 64:256] = 0
    return make_raster(data, nodata=0)


def fill(module: torch.nn.Module, most: int) -> list[int]:
    """Let a module run out of memory above ``most`` tiles; returns how many it was asked for each time."""
    asked: list[int] = []

    def refuse(_: torch.nn.Module, args: tuple[torch.Tensor, ...], kwargs: dict[str, torch.Tensor]) -> None:
        asked.append(len(args[0] if args else next(iter(kwargs.values()))))
        if asked[-1] > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    module.register_forward_pre_hook(refuse, with_kwargs=True)
    return asked


def assert_equal_records(found: list[TileResult], expected: list[TileResult]) -> None:
    assert [(r.index, r.reason, r.caption) for r in found] == [(r.index, r.reason, r.caption) for r in expected]
    for one, other in zip(found, expected, strict=True):
        assert [label for label, _ in one.ranking] == [label for label, _ in other.ranking]
        np.testing.assert_allclose(one.probabilities or (), other.probabilities or (), atol=2e-6, rtol=0)


def test_a_device_that_runs_full_gives_the_same_records(scene: str, tiny_bundle: Bundle) -> None:
    plan = plan_of(scene, tiny_bundle)
    expected = classify(plan, classifier_of(plan))
    assert len(expected) == 50 and sum(record.reason == "nodata" for record in expected) == 6
    full = classifier_of(plan)
    seen = fill(full.models.clip.model.visual, 5)
    described = fill(full.models.captioner.model.vision_model, 9)  # type: ignore[union-attr]
    assert_equal_records(classify(plan, full), expected)
    assert full.models.batches.sizes[IMAGE_TOWER] == 4 and full.models.batches.sizes[CAPTIONER] == 5
    # Once halved, a stage does not try larger batches again.
    assert max(seen[seen.index(4) :]) == 4 and max(described[described.index(5) :]) == 5


def test_a_device_too_small_for_a_tile_ends_the_run_and_its_threads(scene: str, tiny_bundle: Bundle) -> None:
    plan = plan_of(scene, tiny_bundle)
    classifier = classifier_of(plan)
    fill(classifier.models.clip.model.visual, 0)
    before = threading.active_count()
    with pytest.raises(DeviceError, match="image tower, batch of one tile"):
        classify(plan, classifier)
    assert threading.active_count() == before


def test_batch_size_bounds_every_stage_and_every_group(scene: str, tiny_bundle: Bundle) -> None:
    plan = plan_of(scene, tiny_bundle, batch_size=6)
    classifier = classifier_of(plan)
    seen = fill(classifier.models.clip.model.visual, 100)
    groups = list(classify_tiles(plan, classifier, all_tiles(plan), {}))
    assert max(seen) == 6 and set(classifier.models.batches.sizes.values()) == {6}
    assert max(sum(record.reason is None for record in group) for group in groups) == 6


def test_captions_are_looked_up_by_the_keys_of_the_reading_threads(
    scene: str, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(scene, tiny_bundle)
    threads = set()
    key = CachedCaptioner.cache_key

    def note(self: CachedCaptioner, image: np.ndarray) -> bytes:
        threads.add(threading.current_thread())
        return key(self, image)

    monkeypatch.setattr(CachedCaptioner, "cache_key", note)
    expected = classify(plan, classifier_of(plan))
    assert not threads
    for known in (0, 44):
        with open_caption_cache() as cache:
            models = load_models(plan.bundle, "cpu", caption_cache=cache)
            found = classify(plan, make_classifier(models, plan.adapter, plan.options.labels))
            assert (cache.hits, cache.misses) == (known, 44 - known)
        assert_equal_records(found, expected)
    assert threads and threading.main_thread() not in threads


def test_who_stops_early_leaves_no_thread(scene: str, tiny_bundle: Bundle) -> None:
    plan = plan_of(scene, tiny_bundle, batch_size=2)
    before = threading.active_count()
    groups = classify_tiles(plan, classifier_of(plan), all_tiles(plan), {})
    next(groups)
    assert threading.active_count() > before
    groups.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_a_scene_that_went_away_is_said(scene: str, tiny_bundle: Bundle) -> None:
    plan = plan_of(scene, tiny_bundle)
    classifier = classifier_of(plan)
    Path(scene).unlink()
    before = threading.active_count()
    with pytest.raises(Exception, match=r"scene\.tif"):
        classify(plan, classifier)
    assert threading.active_count() == before


def test_pictures_that_wait_are_bounded_by_bytes() -> None:
    assert tile_batch_size(64, (224, 224)) == 64
    assert tile_batch_size(512, (1024, 1024)) == WAITING_BYTES // (4 * 3 * 1024 * 1024) == 21
    assert tile_batch_size(512, (1024, 1024), num_workers=4) == 12
    assert tile_batch_size(512, (20_000, 20_000)) == 1
