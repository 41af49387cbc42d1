"""Figures of a bundle's speed: they are of the right stages, they add up, and operations are counted right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import DeviceError, InputError
from bimors_cli.labels import Labels
from bimors_cli.model.batching import ON_CPU, STAGES
from bimors_cli.model.frozen_models import FrozenModels
from bimors_cli.options.bench import BenchOptions
from bimors_cli.pipeline.bundles.benchmark import (
    Figures,
    _names,
    bench,
    best_rate,
    operations,
    peak_memory,
    random_images,
)


@pytest.fixture(scope="module")
def figures(tiny_bundle: Bundle) -> Figures:
    return bench(BenchOptions(model=str(tiny_bundle.folder), device="cpu", labels=5, tiles=40, scene_size="1000x500"))


def test_figures_add_up(figures: Figures) -> None:
    assert (figures.bundle, figures.device, figures.precision) == ("tiny", "cpu", "float32")
    assert (figures.labels, figures.tiles, figures.image_size) == (5, 40, 32)
    assert tuple(stage.name for stage in figures.stages) == STAGES
    assert {stage.name: stage.batch_size for stage in figures.stages} == ON_CPU
    stages = sum(stage.ms_per_tile for stage in figures.stages)
    assert stages == pytest.approx(1000 * figures.seconds / figures.tiles, rel=0.1)
    for stage in figures.stages:
        assert stage.gflop_per_tile > 0 and 0 < stage.fraction_of_ceiling < 1
        assert stage.fraction_of_ceiling == pytest.approx(
            1e12 * stage.gflop_per_tile / stage.ms_per_tile / figures.ceiling
        )
    assert 0 < figures.fraction_of_ceiling < 1
    assert figures.seconds_cached < figures.seconds
    assert figures.slowest.ms_per_tile == max(stage.ms_per_tile for stage in figures.stages)
    assert figures.memory is not None and figures.memory > 50e6 and figures.device_memory is None


def test_the_first_tiles_are_counted_apart_by_stage(figures: Figures) -> None:
    assert tuple(figures.first) == STAGES and all(seconds > 0 for seconds in figures.first.values())
    assert figures.to_json()["first_tiles_s"] == pytest.approx(dict(figures.first), abs=1e-4)


def test_a_scene_is_forecast_by_its_tiles(figures: Figures) -> None:
    scene = replace(figures, seconds=8.0, seconds_cached=2.0).to_json()["scene"]
    assert scene == {
        "width_px": 1000,
        "height_px": 500,
        "tile_size_px": 224,
        "tiles": 15,
        "seconds": 3.0,
        "seconds_captions_cached": 0.8,
    }


def test_without_a_number_of_tiles_it_takes_seconds(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bimors_cli.pipeline.bundles.benchmark.SECONDS", 0.2)
    found = bench(BenchOptions(model=str(tiny_bundle.folder), device="cpu", labels=2, batch_size=4))
    assert found.tiles >= 4 and found.tiles % 4 == 0 and found.seconds < 10
    assert {stage.batch_size for stage in found.stages} == {4}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"labels": 1}, "--labels 1: must be at least 2"),
        ({"tiles": 0}, "--tiles 0: must be at least 1"),
        ({"batch_size": 0}, "--batch-size 0: must be at least 1"),
        ({"tile_size": 0}, "--tile-size 0: must be at least 1"),
        ({"scene_size": "big"}, "--scene-size big: not a size"),
        ({"scene_size": "0x10"}, "--scene-size 0x10: the scene has no pixels"),
    ],
)
def test_what_cannot_be_measured_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        BenchOptions(**options)


def test_no_such_device(tiny_bundle: Bundle) -> None:
    with pytest.raises(DeviceError):
        bench(BenchOptions(model=str(tiny_bundle.folder), device="cuda:99"))


def test_made_up_labels_are_labels() -> None:
    assert len(Labels.of(_names(260))) == 260
    assert _names(25)[-1] == "wetland" and _names(26)[-1] == "airport 2" and len(_names(2)) == 2


def test_made_up_pictures_differ_and_are_the_same_each_time() -> None:
    pictures = random_images(6, 32)
    assert pictures.shape == (6, 3, 32, 32) and pictures.dtype == torch.uint8
    assert torch.equal(pictures, random_images(6, 32))
    assert len(torch.unique(pictures.flatten(1), dim=0)) == 6
    assert pictures.float().std() > 20


def test_operations_of_a_product_of_attention_and_of_a_tower(tiny_models: FrozenModels) -> None:
    assert operations(lambda: torch.rand(3, 5) @ torch.rand(5, 7)) == 2 * 3 * 5 * 7
    layer = torch.nn.MultiheadAttention(16, 2, batch_first=True).eval()
    x = torch.rand(1, 4, 16)
    # Query, keys, values and output: four products; scores and their sum: two more.
    assert operations(lambda: layer(x, x, x, need_weights=False)) == 4 * 2 * 4 * 16 * 16 + 2 * 2 * 4 * 4 * 16
    assert torch.backends.mha.get_fastpath_enabled()
    # research: layers (24 n D^2 + 4 n^2 D) of an encoder, the patches before it and the projection behind it.
    n, width, patch, out = 17, 48, 8, 32
    encoder = 2 * (24 * n * width**2 + 4 * n**2 * width)
    others = 2 * 16 * 3 * patch**2 * width + 2 * width * out
    assert operations(lambda: tiny_models.clip.encode_image(random_images(1, 32))) == encoder + others


def test_the_ceiling_is_a_rate_of_this_machine() -> None:
    assert 1e8 < best_rate(torch.device("cpu"), torch.float32) < 1e14


def test_the_peak_of_this_process() -> None:
    peak = peak_memory()
    assert peak is not None and 10e6 < peak < 1e12


@pytest.mark.gpu
def test_figures_of_a_gpu(tiny_bundle: Bundle) -> None:
    found = bench(BenchOptions(model=str(tiny_bundle.folder), device="cuda", labels=5, tiles=600))
    assert found.precision == "bfloat16" and found.device.startswith("cuda, ")
    assert found.device_memory is not None and found.device_memory > 0
    assert all(0 < stage.fraction_of_ceiling < 1 for stage in found.stages)
