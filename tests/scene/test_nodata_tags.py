"""Nodata values that no pixel can have."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from bimors_cli.scene.bands import Bands
from bimors_cli.scene.mask import mask_text, parse_nodata
from bimors_cli.scene.nodata_tags import impossible_nodata
from tests.conftest import MakeRaster


def tagged(path: str, folder: Path, value: str) -> str:
    """Return a copy of a raster with the nodata value ``value`` in its GeoTIFF tag, which rasterio cannot write."""
    vrt, out = folder / "tag.vrt", folder / "tagged.tif"
    with rasterio.open(path) as dataset:
        rasterio.shutil.copy(dataset, vrt, driver="VRT")
    text, bands = re.subn(r"(<VRTRasterBand [^>]*>)", rf"\1<NoDataValue>{value}</NoDataValue>", vrt.read_text())
    assert bands
    vrt.write_text(text)
    with rasterio.open(vrt) as dataset:
        rasterio.shutil.copy(dataset, out, driver="GTiff")
    return str(out)


@pytest.mark.parametrize(
    "dtype, value, found",
    [
        (np.uint8, "-9999", (1, -9999, "uint8")), (np.uint8, "256", (1, 256, "uint8")), (np.uint8, "255", None),
        (np.uint16, "-1", (1, -1, "uint16")), (np.int16, "-9999", None), (np.int16, "65535", (1, 65535, "int16")),
        (np.uint8, "0.5", (1, 0.5, "uint8")), (np.float32, "-9999", None), (np.float32, "nan", None),
        (np.float32, "-3.40282e+38", None), (np.float64, "-1.7976931348623157e308", None),
        (np.float32, "-1.797693e+308", (1, -1.797693e308, "float32")),
    ],
)  # fmt: skip
def test_tag(make_raster: MakeRaster, tmp_path: Path, dtype: type, value: str, found: object) -> None:
    path = tagged(make_raster(np.ones((2, 4, 4), dtype)), tmp_path, value)
    with rasterio.open(path) as dataset:
        assert impossible_nodata(dataset) == found
        text = mask_text(dataset, Bands((1, 2)), parse_nodata(None))
        assert ("masks nothing" in text) is (found is not None)
        assert "masks nothing" not in mask_text(dataset, Bands((1, 2)), parse_nodata("1"))


def test_no_tag(make_raster: MakeRaster) -> None:
    with rasterio.open(make_raster(np.ones((1, 4, 4), np.uint8))) as dataset:
        assert impossible_nodata(dataset) is None
