"""Statistics of all bands, and what each mask leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bimors_cli.scene import band_statistics as module
from bimors_cli.scene import sample as sample_module
from bimors_cli.scene.band_statistics import SampledBands, _statistics, sample_bands
from bimors_cli.scene.bands import choose_bands
from bimors_cli.scene.mask import mask_rule, parse_nodata
from bimors_cli.scene.raster import open_scene
from bimors_cli.scene.sample import sample_scene
from tests.conftest import MakeRaster


def sampled(path: str, *nodata: str | None, masks: bool = True, bidx: tuple[int, ...] | None = None) -> SampledBands:
    first, *others = [parse_nodata(text, masks=masks) for text in nodata or (None,)]
    with open_scene(path) as scene:
        bands = choose_bands(scene.info, bidx)
        return sample_bands(scene.dataset, bands, first, [mask_rule(scene.dataset, bands, each) for each in others])


def noise(shape: tuple[int, ...], dtype: Any = np.uint16) -> npt.NDArray[Any]:
    return np.random.default_rng(0).integers(1, 5000, shape).astype(dtype)


@given(
    arrays.arrays(
        st.sampled_from([np.uint8, np.int16, np.uint32, np.float32, np.float64]), st.integers(1, 60),
        elements={"min_value": 0, "max_value": 100},
    )
)  # fmt: skip
def test_statistics_are_those_of_numpy(values: npt.NDArray[Any]) -> None:
    found = _statistics(values, 100)
    wide = values.astype(np.float64)
    assert (found.minimum, found.maximum) == (wide.min(), wide.max())
    assert found.mean == pytest.approx(wide.mean(), abs=1e-12) and found.deviation == pytest.approx(
        wide.std(), abs=1e-9
    )
    assert (found.low, found.high) == tuple(np.percentile(wide, (2, 98)))
    assert found.valid_fraction == values.size / 100
    assert found.minimum <= found.low <= found.high <= found.maximum


def test_of_a_small_scene_they_are_exact(make_raster: MakeRaster) -> None:
    data = noise((5, 70, 90))
    data[1, :7] = 0
    found = sampled(make_raster(data, nodata=0))
    assert found.exact and found.pixels == 70 * 90
    for band, own in zip(data, found.bands, strict=True):
        valid = band[band > 0]
        assert (own.minimum, own.maximum, own.mean) == (valid.min(), valid.max(), pytest.approx(valid.mean()))
        assert own.deviation == pytest.approx(valid.std()) and own.valid_fraction == valid.size / band.size
    assert found.fractions == (1.0,)  # a pixel is nodata in all bands or in none


def test_bands_without_valid_values(make_raster: MakeRaster) -> None:
    data = noise((3, 16, 16), np.float32)
    data[0] = np.nan
    data[1, :8] = np.inf
    data[2, 0, 0] = -np.inf
    first, second, third = sampled(make_raster(data)).bands
    assert first.valid_fraction == 0 and np.isnan([first.minimum, first.mean, first.deviation, first.low]).all()
    assert second.valid_fraction == 0.5 and second.maximum == data[1, 8:].max()
    assert third.valid_fraction == 255 / 256
    equal = sampled(make_raster(np.full((1, 16, 16), 0.1))).bands[0]
    assert (equal.deviation, equal.mean) == (0, 0.1)


def test_each_rule_leaves_its_part(make_raster: MakeRaster) -> None:
    data = noise((4, 20, 20), np.uint8)
    data[:3, :5] = 7
    data[3] = 255
    data[3, :, :10] = 0
    path = make_raster(data, colorinterp=["red", "green", "blue", "alpha"])
    found = sampled(path, "7", "none")
    assert found.fractions == (0.375, 0.5)
    assert found.bands[3].valid_fraction == 1 and found.bands[3].minimum == 0  # alpha as it is stored
    assert sampled(path, "7", masks=False).fractions == (0.75,)
    assert sampled(path, "none", bidx=(4,)).fractions == (1.0,)


def test_a_palette(make_raster: MakeRaster) -> None:
    data = np.array([[[0, 1], [2, 2]]], np.uint8)
    found = sampled(make_raster(data, palette={0: (0, 0, 0, 255), 1: (9, 9, 9, 255), 2: (1, 2, 3, 255)}, nodata=0))
    assert found.fractions == (0.75,) and found.bands[0].maximum == 2


def test_a_large_scene_is_sampled(make_raster: MakeRaster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fraction of valid pixels is that of the sample for the stretch, which reads the same windows."""
    monkeypatch.setattr(module, "SIDES", (64, 128))
    monkeypatch.setattr(sample_module, "SIDES", (64, 128))
    monkeypatch.setattr(sample_module, "_PATCH", 8)
    data = noise((3, 300, 400))
    data[:, :, :100] = 0
    path = make_raster(data, nodata=0, tiled=True, blockxsize=64, blockysize=64)
    for most in (10**9, 1000):  # decimated; in patches
        monkeypatch.setattr(sample_module, "DECIMATE_UP_TO", most)
        found = sampled(path)
        assert not found.exact and 3000 < found.pixels <= 2 * 64 * 64
        assert found.fractions[0] == pytest.approx(0.75, abs=0.02)
        assert found.bands[0].mean == pytest.approx(2500, rel=0.05)
        with open_scene(path) as scene:
            rule = parse_nodata(None)
            assert sample_scene(scene.dataset, choose_bands(scene.info), rule).valid_fraction == found.fractions[0]


def test_many_bands_have_a_smaller_sample(make_raster: MakeRaster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_VALUES", 40 * 32 * 32)
    found = sampled(make_raster(noise((40, 100, 100))))
    assert len(found.bands) == 40 and found.pixels <= 32 * 32 and not found.exact
    assert found.fractions == (1.0,)


@settings(max_examples=15)
@given(st.sampled_from([-9999.0, 0.0, 255.0]), st.integers(0, 2**32 - 1))
def test_fractions_do_not_depend_on_the_order_of_rules(value: float, seed: int) -> None:
    import tempfile

    import rasterio

    from tests.conftest import NORTH_UP

    data = np.random.default_rng(seed).choice([value, 3.0, np.nan], (1, 12, 12)).astype(np.float32)
    with tempfile.NamedTemporaryFile(suffix=".tif") as file:
        profile: dict[str, Any] = {"driver": "GTiff", "width": 12, "height": 12, "count": 1, "dtype": "float32"}
        with rasterio.open(file.name, "w", crs="EPSG:32618", transform=NORTH_UP, nodata=value, **profile) as dataset:
            dataset.write(data)
        first, second = sampled(file.name, None, "none").fractions
        assert sampled(file.name, "none", None).fractions == (second, first)
    assert first == (data == 3).mean() and second == np.isfinite(data).mean()
