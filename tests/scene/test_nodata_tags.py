"""Nodata values that no pixel can have."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from bimors_cli.scene.nodata_tags import impossible_nodata
from tests.conftest import MakeRaster
from tests.scene.masking import shown, sources


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
def test_tag(
    make_raster: MakeRaster, tmp_path: Path, dtype: type, value: str, found: tuple[int, float, str] | None
) -> None:
    path = tagged(make_raster(np.ones((2, 4, 4), dtype)), tmp_path, value)
    with rasterio.open(path) as dataset:
        assert impossible_nodata(dataset, (1, 2)) == found
    reason = None if found is None else f"{found[2]} has no value {found[1]:.9g}"
    (tag,) = (source for source in sources(path, bidx=(1,)) if source.text.endswith(" of the file"))
    assert (tag.applied, tag.reason) == (reason is None, reason or "")
    assert tag.text == f"nodata value {float(value):.9g} of the file"
    given = sources(path, "1", bidx=(1,))
    assert [source.reason for source in given if not source.applied] == ["--nodata takes precedence"]


def test_no_tag(make_raster: MakeRaster) -> None:
    with rasterio.open(make_raster(np.ones((1, 4, 4), np.uint8))) as dataset:
        assert impossible_nodata(dataset, (1,)) is None


def test_a_tag_of_another_band(make_raster: MakeRaster, tmp_path: Path) -> None:
    path = tmp_path / "bands.vrt"
    with rasterio.open(make_raster(np.ones((3, 4, 4), np.uint8))) as dataset:
        rasterio.shutil.copy(dataset, path, driver="VRT")
    tags = {1: "1", 2: "-1", 3: "300"}
    path.write_text(
        re.sub(
            r'(<VRTRasterBand [^>]*band="(\d)"[^>]*>)',
            lambda found: f"{found[1]}<NoDataValue>{tags[int(found[2])]}</NoDataValue>",
            path.read_text(),
        )
    )
    with rasterio.open(path) as dataset:
        assert impossible_nodata(dataset, (1,)) is None
        assert impossible_nodata(dataset, (3, 1)) == (3, 300, "uint8")
        assert impossible_nodata(dataset, (1, 2, 3)) == (2, -1, "uint8")
    assert shown(str(path), bidx=(1,)) == ["nodata value 1 of the file"]
    assert shown(str(path), bidx=(3, 2, 1)) == [
        "nodata values of the file: 1 in band 1, -1 in band 2, 300 in band 3: uint8 has no value -1"
    ]
