"""What makes pixels invalid, in words: it must be what `mask_rule` decides."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import rasterio.shutil

from bimors_cli.scene.mask import MaskRule
from bimors_cli.scene.mask_sources import Kind, MaskSource
from tests.conftest import NORTH_UP, MakeRaster
from tests.scene.masking import shown

ALPHA = ["red", "green", "blue", "alpha"]


def pixels(count: int = 3, dtype: Any = np.uint8) -> npt.NDArray[Any]:
    """Bands whose first quarter is 0, the last 255 or NaN."""
    data = np.random.default_rng(0).integers(1, 250, (count, 16, 16)).astype(dtype)
    data[:, :4] = 0
    data[:, 12:] = 255 if np.dtype(dtype).kind in "iu" else np.nan
    return data


MASK = np.arange(16)[:, None] * np.ones(16, int) >= 8


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
        "nodata value 0 of the file: the internal mask takes precedence",
    ]
    own = make_raster(pixels(), name="own.tif")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(own, "r+") as dataset:
        dataset.write_mask(MASK)
    assert shown(own) == ["mask file own.tif.msk"]
    assert shown(own, "255") == ["mask file own.tif.msk", "nodata value 255 of --nodata"]


def test_nodata_beside_a_mask_that_is_ignored(make_raster: MakeRaster) -> None:
    path = make_raster(pixels(), mask=MASK, nodata=0)
    assert shown(path, masks=False) == ["nodata value 0 of the file", "internal mask: --ignore-mask"]
    assert shown(path, "none", masks=False) == [
        "internal mask: --ignore-mask",
        "nodata value 0 of the file: --nodata none",
    ]


def test_alpha_and_a_mask(make_raster: MakeRaster) -> None:
    path = make_raster(pixels(4), colorinterp=ALPHA, mask=MASK)
    assert shown(path) == ["band 4 (alpha)", "internal mask"]
    assert shown(path, masks=False) == ["band 4 (alpha): --ignore-mask", "internal mask: --ignore-mask"]


def test_nodata_values_tag(make_raster: MakeRaster) -> None:
    path = make_raster(pixels())
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(NODATA_VALUES="0 0 0")
    assert shown(path) == ["tag NODATA_VALUES (0 0 0)"]
    for masks in (True, False):
        assert shown(path, masks=masks) == ["tag NODATA_VALUES (0 0 0)"]
        assert shown(path, "255", masks=masks) == [
            "nodata value 255 of --nodata",
            "tag NODATA_VALUES (0 0 0): --nodata 255",
        ]
        assert shown(path, "none", masks=masks) == ["tag NODATA_VALUES (0 0 0): --nodata none"]
    path = make_raster(pixels(), nodata=255)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(NODATA_VALUES="0 0 0")
    assert shown(path) == [
        "tag NODATA_VALUES (0 0 0)",
        "nodata value 255 of the file: the tag NODATA_VALUES takes precedence",
    ]


def test_transparent_colours(make_raster: MakeRaster) -> None:
    opaque = {value: (value, 9, 9, 255) for value in range(256)}
    data = pixels(1)
    assert shown(make_raster(data, palette=opaque)) == []
    path = make_raster(data, palette=opaque, nodata=0)  # GDAL makes the colour of the nodata value transparent
    assert shown(path) == ["nodata value 0 of the file", "transparent colours of the palette"]
    assert shown(path, "none") == ["transparent colours of the palette", "nodata value 0 of the file: --nodata none"]


def test_values_without_a_colour(make_raster: MakeRaster, tmp_path: Path) -> None:
    path = tmp_path / "few.vrt"
    with rasterio.open(make_raster(pixels(1), palette={1: (1, 2, 3, 255)})) as dataset:
        rasterio.shutil.copy(dataset, path, driver="VRT")
    entry = re.compile(r"(<ColorTable>\s*(?:<Entry [^>]*/>\s*){100}).*(</ColorTable>)", re.DOTALL)
    text, count = entry.subn(r"\1\2", path.read_text())
    assert count == 1
    path.write_text(text)
    assert shown(str(path)) == ["transparent colours of the palette"]


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


@pytest.mark.parametrize(
    "kind, alone",
    [
        ("alpha", MaskRule(4, None, (None, None), finite=False, palette=False)),
        ("mask", MaskRule(None, 1, (None, None), finite=False, palette=False)),
        ("nodata", MaskRule(None, None, (7, 8), finite=False, palette=False)),
        ("nan", MaskRule(None, None, (None, None), finite=True, palette=False)),
        ("palette", MaskRule(None, None, (None, None), finite=False, palette=True)),
    ],
)
def test_the_rule_of_a_source(kind: Kind, alone: MaskRule) -> None:
    rule = MaskRule(4, 1, (7, 8), finite=True, palette=True)
    assert MaskSource(kind, "").alone(rule) == alone
