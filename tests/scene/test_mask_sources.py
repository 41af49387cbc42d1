"""What makes pixels invalid, in words: it must be what `valid_mask` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from rasterio.windows import Window

from bimors_cli.scene.bands import choose_bands
from bimors_cli.scene.mask import parse_nodata, valid_mask
from bimors_cli.scene.mask_sources import MaskSource, mask_sources
from bimors_cli.scene.raster import open_scene
from tests.conftest import NORTH_UP, MakeRaster

ALPHA = ["red", "green", "blue", "alpha"]


def pixels(count: int = 3, dtype: Any = np.uint8) -> npt.NDArray[Any]:
    """Bands whose first quarter is 0, the last 255 or NaN."""
    data = np.random.default_rng(0).integers(1, 250, (count, 16, 16)).astype(dtype)
    data[:, :4] = 0
    data[:, 12:] = 255 if np.dtype(dtype).kind in "iu" else np.nan
    return data


MASK = np.arange(16)[:, None] * np.ones(16, int) >= 8


def sources(
    path: str, nodata: str | None = None, *, masks: bool = True, bidx: tuple[int, ...] | None = None
) -> tuple[MaskSource, ...]:
    """Return the sources, and check that those that are used leave together what the rule leaves."""
    rule = parse_nodata(nodata, masks=masks)
    with open_scene(path) as scene:
        bands = choose_bands(scene.info, bidx)
        found = mask_sources(scene, bands, rule)
        window = Window(0, 0, scene.info.width, scene.info.height)
        data = scene.dataset.read(list(bands.indexes))
        together = np.ones(data.shape[1:], np.bool_)
        for source in found:
            if source.applied:
                together &= valid_mask(scene.dataset, bands, source.alone(rule), data, window)
        np.testing.assert_array_equal(together, valid_mask(scene.dataset, bands, rule, data, window))
    assert list(found) == sorted(found, key=lambda source: not source.applied)
    assert all(source.applied == (source.reason == "") for source in found)
    return found


def shown(path: str, *given: Any, **how: Any) -> list[str]:
    return [f"{source.text}: {source.reason}".removesuffix(": ") for source in sources(path, *given, **how)]


def test_none(make_raster: MakeRaster) -> None:
    assert shown(make_raster(pixels())) == []
    assert shown(make_raster(pixels(dtype=np.float32))) == ["NaN and infinite values"]


def test_nodata_of_the_file_and_of_the_option(make_raster: MakeRaster) -> None:
    path = make_raster(pixels(), nodata=0)
    assert shown(path) == ["nodata value 0 of the file"]
    assert shown(path, "255") == [
        "nodata value 255 of --nodata",
        "nodata value 0 of the file: --nodata takes precedence",
    ]
    assert shown(path, "none") == ["nodata value 0 of the file: --nodata none"]
    assert shown(path, masks=False) == ["nodata value 0 of the file"]
    path = make_raster(pixels(dtype=np.float32), nodata=0)
    assert shown(path) == ["nodata value 0 of the file", "NaN and infinite values"]


def test_alpha(make_raster: MakeRaster) -> None:
    path = make_raster(pixels(4), colorinterp=ALPHA)
    assert shown(path) == ["band 4 (alpha)"]
    assert shown(path, masks=False) == ["band 4 (alpha): --ignore-mask"]
    assert shown(path, bidx=(4, 2, 1)) == ["band 4 (alpha): it is one of the bands that are used"]
    assert shown(path, "0") == ["band 4 (alpha)", "nodata value 0 of --nodata"]
    assert shown(make_raster(pixels(4), colorinterp=ALPHA, nodata=0)) == [
        "band 4 (alpha)",
        "nodata value 0 of the file",
    ]


def test_masks(make_raster: MakeRaster) -> None:
    path = make_raster(pixels(), mask=MASK)
    assert shown(path) == ["internal mask"]
    assert shown(path, masks=False) == ["internal mask: --ignore-mask"]
    assert shown(make_raster(pixels(), mask=MASK, nodata=0)) == [
        "internal mask",
        "nodata value 0 of the file: the mask of the file takes precedence",
    ]
    own = make_raster(pixels(), name="own.tif")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(own, "r+") as dataset:
        dataset.write_mask(MASK)
    assert shown(own) == ["mask file own.tif.msk"]


def test_nodata_values_tag(make_raster: MakeRaster) -> None:
    path = make_raster(pixels())
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(NODATA_VALUES="0 0 0")
    assert shown(path) == ["tag NODATA_VALUES (0 0 0)"]
    assert shown(path, "255") == ["nodata value 255 of --nodata", "tag NODATA_VALUES (0 0 0): --nodata 255"]


@pytest.mark.parametrize(
    "values, expected",
    [
        ((0, 0, 0), ["nodata value 0 of the file"]),
        ((0, 255, 0), ["nodata values of the file: 0 in band 1, 255 in band 2, 0 in band 3"]),
        (
            (None, 7, None),
            ["nodata value 7 of the file: band 1 has none, and a pixel is nodata in all bands or in none"],
        ),
    ],
)
def test_bands_with_nodata_of_their_own(
    make_raster: MakeRaster, tmp_path: Path, values: tuple[float | None, ...], expected: list[str]
) -> None:
    """A VRT has a nodata value for each band."""
    make_raster(pixels(), name="source.tif")
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{index}">'
        + ("" if value is None else f"<NoDataValue>{value}</NoDataValue>")
        + '<SimpleSource><SourceFilename relativeToVRT="1">source.tif</SourceFilename>'
        f"<SourceBand>{index}</SourceBand></SimpleSource></VRTRasterBand>"
        for index, value in enumerate(values, 1)
    )
    path = tmp_path / "own.vrt"
    transform = ", ".join(map(str, NORTH_UP.to_gdal()))
    path.write_text(
        f'<VRTDataset rasterXSize="16" rasterYSize="16"><SRS>EPSG:32618</SRS>'
        f"<GeoTransform>{transform}</GeoTransform>{bands}</VRTDataset>"
    )
    assert shown(str(path)) == expected


def test_the_rule_of_a_source() -> None:
    rule = parse_nodata("7")
    assert MaskSource("nodata", "").alone(rule) == parse_nodata("7", masks=False)
    assert MaskSource("alpha", "").alone(rule) == parse_nodata("none")
    assert MaskSource("mask", "").alone(rule) == parse_nodata(None)
    assert MaskSource("nan", "").alone(rule) == parse_nodata("none", masks=False)
