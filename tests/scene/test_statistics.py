"""Statistics of the bands of a tile."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.windows import Window

from bimors_cli.scene.mask import FILE_NODATA, Nodata
from bimors_cli.scene.statistics import MOST_PIXELS, OF_BAND, OF_PAIR, StatisticsSpec, read_statistics, tile_statistics
from tests.conftest import MakeRaster

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6))
VALUES = arrays(
    np.float64, SHAPES, elements=st.floats(-1e6, 1e6, width=32) | st.sampled_from([np.nan, np.inf, -np.inf])
)


def of_numpy(values: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    pixels = np.where(valid & np.isfinite(values), values, np.nan).reshape(len(values), -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.concatenate([[np.nanmean(b), np.nanstd(b), *np.nanpercentile(b, range(10, 100, 10))] for b in pixels])


@given(VALUES, st.integers(0, 2**31))
def test_numbers_are_those_of_numpy(values: npt.NDArray[np.float64], seed: int) -> None:
    valid = np.random.default_rng(seed).random(values.shape) < 0.8
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = tile_statistics(values, valid)
    expected = of_numpy(values, valid)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * max(1, np.nanmax(np.abs(expected), initial=0)))


@given(VALUES, st.integers(0, 2**31))
def test_a_band_does_not_depend_on_others(values: npt.NDArray[np.float64], seed: int) -> None:
    valid = np.random.default_rng(seed).random(values.shape) < 0.8
    together = tile_statistics(values, valid).reshape(len(values), -1)
    for band, expected in enumerate(together):
        alone = tile_statistics(values[band : band + 1], valid[band : band + 1])
        np.testing.assert_allclose(alone, expected, rtol=1e-6, atol=1e-6)


@given(VALUES)
def test_normalised_differences(values: npt.NDArray[np.float64]) -> None:
    pairs = [(0, len(values) - 1), (0, 0)]
    found = tile_statistics(values, np.ones(values.shape, bool), pairs)[len(OF_BAND) * len(values) :]
    mean, deviation, zero, no_deviation = found
    a, b = values[0], values[-1]
    both = np.isfinite(a) & np.isfinite(b)
    if not both.any():
        assert np.isnan(mean) and np.isnan(deviation)
        return
    assert -1 <= mean <= 1 and 0 <= deviation <= 1 and zero == no_deviation == 0
    total = np.abs(a[both]) + np.abs(b[both])
    each = np.where(total > 0, (a[both] - b[both]) / np.where(total > 0, total, 1), 0)
    assert mean == pytest.approx(each.mean(), abs=1e-6) and deviation == pytest.approx(each.std(), abs=1e-6)


@pytest.mark.parametrize("constant", [0.0, 0.1, 12345.678, -1e6 / 3, 1e30])
@pytest.mark.parametrize("side", [1, 7, 128])
def test_a_constant_has_no_deviation(constant: float, side: int) -> None:
    """Not that of rounding: the scaling of the examples would make much of it."""
    found = tile_statistics(np.full((1, side, side), constant), np.ones((1, side, side), bool))
    assert found[1] == 0
    np.testing.assert_array_equal(np.delete(found, 1), np.float32(constant))


def test_a_band_without_valid_pixels_is_nan() -> None:
    values = np.random.default_rng(0).normal(0, 1, (3, 5, 5))
    valid = np.ones(values.shape, bool)
    valid[1] = False
    found = tile_statistics(values, valid, [(0, 1), (0, 2)])
    bands = found[: 3 * len(OF_BAND)].reshape(3, -1)
    assert np.isnan(bands[1]).all() and np.isfinite(bands[[0, 2]]).all()
    pairs = found[3 * len(OF_BAND) :].reshape(2, len(OF_PAIR))
    assert np.isnan(pairs[0]).all() and np.isfinite(pairs[1]).all()


def spec(*indexes: int, scale: float = 1, offset: float = 0, names: tuple[str | None, ...] = ()) -> StatisticsSpec:
    count = len(indexes)
    return StatisticsSpec(indexes, names or (None,) * count, (scale,) * count, (offset,) * count)


def read(
    path: str | Path, chosen: StatisticsSpec, window: Window | None = None, nodata: Nodata = FILE_NODATA
) -> npt.NDArray[Any]:
    with rasterio.open(path) as dataset:
        found = read_statistics(dataset, chosen, nodata, window or Window(0, 0, dataset.width, dataset.height))
    assert len(found) == len(chosen) and found.dtype == np.float32
    return found


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_no_dtype_overflows(make_raster: MakeRaster, dtype: str) -> None:
    kind = np.dtype(dtype)
    low, high = (0.0, 1e30) if kind.kind == "f" else (np.iinfo(kind).min, np.iinfo(kind).max)
    data = np.full((2, 4, 4), high, kind)
    data[1] = low
    found = read(make_raster(data), spec(1, 2, names=("nir", "red"), scale=2.0, offset=-1))
    bands = found[: 2 * len(OF_BAND)].reshape(2, -1)
    np.testing.assert_allclose(bands[:, 0], [2.0 * high - 1, 2.0 * low - 1], rtol=1e-6)
    assert (bands[:, 1] == 0).all()
    a, b = 2.0 * high - 1, 2.0 * low - 1
    np.testing.assert_allclose(found[-2:], [(a - b) / (abs(a) + abs(b)), 0], atol=1e-6)


def test_scale_and_offset(make_raster: MakeRaster) -> None:
    data = np.random.default_rng(0).integers(0, 10_000, (2, 9, 9), dtype=np.uint16)
    chosen = StatisticsSpec((2, 1), (None, None), (1e-4, 1.0), (-0.1, 5.0))
    values = np.stack((data[1] * 1e-4 - 0.1, data[0] + 5.0))
    np.testing.assert_allclose(read(make_raster(data), chosen), of_numpy(values, values < np.inf), rtol=1e-5)


def test_nodata_of_each_band(make_raster: MakeRaster, tmp_path: Path) -> None:
    """A VRT may have another one for each band; a pixel without near infrared still has its colours."""
    data = np.random.default_rng(0).integers(1, 200, (2, 8, 8), dtype=np.int16)
    data[0, :4], data[1, :, :2] = 0, -7
    make_raster(data)
    bands = "".join(
        f'<VRTRasterBand dataType="Int16" band="{band}"><NoDataValue>{value}</NoDataValue><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">scene.tif</SourceFilename><SourceBand>{band}</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
        for band, value in ((1, 0), (2, -7))
    )
    (tmp_path / "both.vrt").write_text(f'<VRTDataset rasterXSize="8" rasterYSize="8">{bands}</VRTDataset>')
    expected = of_numpy(data.astype(float), np.stack((data[0] != 0, data[1] != -7)))
    np.testing.assert_allclose(read(tmp_path / "both.vrt", spec(1, 2)), expected, rtol=1e-6)
    # An override is of all bands.
    expected = of_numpy(data.astype(float), data != -7)
    np.testing.assert_allclose(
        read(tmp_path / "scene.tif", spec(1, 2), nodata=Nodata("value", -7)), expected, rtol=1e-6
    )


@pytest.mark.parametrize("how", ["mask", "alpha", "nan"])
def test_masks(make_raster: MakeRaster, how: str) -> None:
    data = np.random.default_rng(0).integers(1, 200, (3, 8, 8)).astype(np.float32 if how == "nan" else np.uint8)
    valid = np.random.default_rng(1).random((8, 8)) < 0.6
    expected = of_numpy(data.astype(float), np.broadcast_to(valid, data.shape))
    if how == "mask":
        path = make_raster(data, mask=valid)
    elif how == "alpha":
        path = make_raster(
            np.concatenate((data, valid[None] * np.uint8(255))), colorinterp=["red", "green", "blue", "alpha"]
        )
    else:
        data[:, ~valid] = np.nan
        path = make_raster(data)
    np.testing.assert_allclose(read(path, spec(1, 2, 3)), expected, rtol=1e-6)


def test_windows_at_edges(make_raster: MakeRaster) -> None:
    data = np.random.default_rng(0).normal(0, 1, (1, 10, 7)).astype(np.float32)
    path = make_raster(data)
    for window in (Window(6, 0, 1, 10), Window(0, 9, 7, 1), Window(6, 9, 1, 1), Window(4, 4, 3, 6)):
        part = data[:, window.row_off : window.row_off + window.height, window.col_off : window.col_off + window.width]
        expected = of_numpy(part.astype(float), np.ones(part.shape, bool))
        np.testing.assert_allclose(read(path, spec(1), window), expected, rtol=1e-4, atol=1e-6)


def test_large_windows_are_decimated(make_raster: MakeRaster, monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.random.default_rng(0).normal(100, 10, (2, 500, 90)).astype(np.float32)
    shapes = []
    path = make_raster(data)

    def counted(values: Any, *rest: Any) -> Any:
        shapes.append(values.shape)
        return tile_statistics(values, *rest)

    monkeypatch.setattr("bimors_cli.scene.statistics.tile_statistics", counted)
    found = read(path, spec(1, 2))
    assert shapes == [(2, MOST_PIXELS, 90)]
    np.testing.assert_allclose(found, of_numpy(data.astype(float), data < np.inf), rtol=0.05)


def test_names_of_numbers() -> None:
    chosen = spec(3, 1, 2, names=("nir narrow", None, "red"))
    assert chosen.pairs == ((0, 2),)
    titles = chosen.band_of_number()
    assert len(titles) == len(chosen) == 3 * len(OF_BAND) + len(OF_PAIR)
    assert list(dict.fromkeys(titles)) == ["nir narrow", "band 1", "red", "nir narrow/red"]
