"""Which pixels hold data, whatever the dtype, the mask and the number of bands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from bimors_cli.errors import InputError
from bimors_cli.scene.mask import Nodata, parse_nodata, recorded_nodata
from bimors_cli.scene.raster import scene_info
from tests.conftest import MakeRaster
from tests.scene.reading import read_all, reader_of, rgb

DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "float32", "float64"]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["none", "nodata", "alpha", "mask"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtype_mask_bands(make_raster: MakeRaster, dtype: str, kind: str, count: int) -> None:
    """Whatever the file, a quarter of the left tile is empty and shows the mean of the rest."""
    values = np.random.default_rng(3).integers(20, 120, (count, 16, 32)).astype(dtype)
    empty = np.zeros((16, 32), bool)
    empty[:8, :8] = True
    options: dict[str, object] = {}
    data = values.copy()
    if kind == "nodata":
        data[:, empty] = 7
        options["nodata"] = 7
    elif kind == "alpha":
        top = 255 if dtype == "uint8" else 127
        data = np.concatenate([data, np.where(empty, 0, top).astype(dtype)[None]])
        options["colorinterp"] = ["gray"] + ["undefined"] * (count - 1) + ["alpha"]
    elif kind == "mask":
        options["mask"] = ~empty
    left, right = read_all(reader_of(make_raster(data, **options), 16, stretch="0,255"))
    shown = values[:3] if count >= 3 else values[:1].repeat(3, axis=0)
    assert (right.image == shown[:, :, 16:]).all() and right.valid_fraction == 1
    if kind == "none":
        assert (left.image == shown[:, :, :16]).all() and left.valid_fraction == 1
        return
    valid = ~empty[:, :16]
    assert left.valid_fraction == 0.75
    assert (left.image[:, valid] == shown[:, :, :16][:, valid]).all()
    mean = np.rint(left.image[:, valid].mean(axis=1))
    assert (left.image[:, ~valid] == mean[:, None]).all()


def test_nothing_valid(make_raster: MakeRaster) -> None:
    """An empty scene has empty tiles, no warnings, no NaN."""
    for path in (
        make_raster(np.full((3, 8, 12), 9, np.uint16), nodata=9),
        make_raster(np.full((1, 8, 12), np.nan, np.float32), name="nan.tif"),
        make_raster(np.full((1, 8, 12), np.nan, np.float32), name="nan2.tif", nodata=np.nan),
    ):
        for limit in (8, 3):
            tiles = read_all(reader_of(path, 8), limit)
            assert [tile.valid_fraction for tile in tiles] == [0, 0]
            assert all(tile.image.max() == 0 for tile in tiles)


def test_one_black_band_is_a_colour(make_raster: MakeRaster) -> None:
    """A pixel is empty where all of the bands used are nodata, NaN where one is."""
    data = rgb(4, 4)
    data[0, 0, 0] = 0
    data[:, 1, 1] = 0
    assert read_all(reader_of(make_raster(data, nodata=0), 4))[0].valid_fraction == 15 / 16
    four = np.concatenate([data, data[:1] * 0 + 50])  # near infrared has data there, but is not used
    assert read_all(reader_of(make_raster(four, nodata=0), 4))[0].valid_fraction == 15 / 16
    floats = data.astype(np.float32)
    floats[2, 3, 3] = np.inf
    assert read_all(reader_of(make_raster(floats, nodata=0), 4))[0].valid_fraction == 14 / 16


def test_nodata_a_band(make_raster: MakeRaster, tmp_path: Path) -> None:
    """A VRT may give each band its own nodata."""
    data = rgb(4, 4)
    data[:, 0, 0] = (1, 2, 3)
    data[:, 0, 1] = 1
    path = str(tmp_path / "bands.vrt")
    with rasterio.open(make_raster(data)) as dataset:
        rasterio.shutil.copy(dataset, path, driver="VRT")
    text = Path(path).read_text()
    for band, value in enumerate((1, 2, 3), 1):
        text = text.replace(f'band="{band}">', f'band="{band}"><NoDataValue>{value}</NoDataValue>')
    Path(path).write_text(text)
    assert scene_info(path).nodata == (1, 2, 3)
    assert read_all(reader_of(path, 4))[0].valid_fraction == 15 / 16


@pytest.mark.parametrize(
    ("text", "nodata"),
    [
        (None, Nodata("file")),
        ("none", Nodata("none")),
        ("NULL", Nodata("none")),
        ("0", Nodata("value", 0)),
        ("-9999", Nodata("value", -9999)),
        ("1e20", Nodata("value", 1e20)),
    ],
)
def test_parse_nodata(text: str | None, nodata: Nodata) -> None:
    """A number, none, or the file's own."""
    assert parse_nodata(text) == nodata


def test_parse_nodata_nan_and_refusals() -> None:
    """NaN equals nothing, so it is checked by its looks."""
    assert str(parse_nodata("NaN")) == "nan"
    for text in ("", "black", "1_000", "0,0"):
        with pytest.raises(InputError):
            parse_nodata(text)


def test_nodata_override(make_raster: MakeRaster) -> None:
    """The user's value replaces the file's; alpha and masks stay; a value that the dtype cannot hold is nowhere."""
    data = rgb(4, 4)
    data[:, 0] = 0
    data[:, 1] = 9

    def share(path: str, text: str | None) -> float:
        return read_all(reader_of(path, 4, nodata=parse_nodata(text)))[0].valid_fraction

    tagged = make_raster(data, nodata=0)
    assert share(tagged, None) == share(tagged, "9") == 0.75
    assert [share(tagged, text) for text in ("none", "nan", "300", "-1", "9.5")] == [1] * 5
    masked = make_raster(data, mask=np.arange(16).reshape(4, 4) < 12)
    assert [share(masked, text) for text in (None, "0", "none")] == [0.75, 0.5, 0.75]
    with rasterio.open(masked := make_raster(data, name="values.tif"), "r+") as dataset:
        dataset.update_tags(NODATA_VALUES="0 0 0")  # GDAL's way to say "all bands at once"
    assert [share(masked, text) for text in (None, "9", "none")] == [0.75, 0.75, 1]
    floats = make_raster(np.full((1, 4, 4), 0.1, np.float32))
    assert share(floats, "0.1") == 0


LOWEST = float(np.finfo(np.float32).min)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "tag, value, equal",
    [
        (-3.4e38, LOWEST, True), (-3.40282e38, LOWEST, True), (LOWEST, LOWEST, True), (-3.4e38, 3.4e38, False),
        (-3.4e38, -1e30, False), (-9999.1, -9999.1, True), (-9999.1, -9999.2, False), (1e20, 1.00000002e20, True),
        (0, 0, True), (0, 1e-30, False),
    ],
)  # fmt: skip
def test_nodata_of_floats(make_raster: MakeRaster, dtype: type, tag: float, value: float, equal: bool) -> None:
    """A tag with fewer digits than the pixels masks them, as in GDAL."""
    data = np.full((1, 4, 4), 5, dtype)
    data[0, 0] = value
    path = make_raster(data, nodata=tag)
    assert read_all(reader_of(path, 4))[0].valid_fraction == (0.75 if equal else 1)


def test_ignored_masks(make_raster: MakeRaster) -> None:
    """Neither an alpha band nor a mask; the nodata value stays, and the record says so."""
    data = rgb(4, 4)
    data[:, 0] = 0
    masked = make_raster(data, mask=np.arange(16).reshape(4, 4) < 12)
    rules = [parse_nodata(text, masks=False) for text in (None, "0")]
    assert [read_all(reader_of(masked, 4, nodata=rule))[0].valid_fraction for rule in rules] == [1, 0.75]
    alpha = make_raster(
        np.concatenate([data, np.zeros((1, 4, 4), np.uint8)]), colorinterp=["red", "green", "blue", "alpha"]
    )
    assert read_all(reader_of(alpha, 4, nodata=rules[0]))[0].valid_fraction == 1
    for rule in (*rules, parse_nodata("none"), parse_nodata(None), parse_nodata("-9999", masks=False)):
        assert recorded_nodata(str(rule)) == rule
