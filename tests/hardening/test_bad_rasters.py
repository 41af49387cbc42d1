"""Rasters of every odd kind through `bimors classify`: rows, or a refusal in one line and a hint."""

from __future__ import annotations

import json
import os
import re
import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import shapely
from affine import Affine
from geopandas.testing import assert_geodataframe_equal
from rasterio.control import GroundControlPoint

from tests.conftest import MakeRaster
from tests.hardening.conftest import Bimors

Rows = Callable[[], geopandas.GeoDataFrame]
CHEAP = "--no-captions"


def noise(*shape: int, dtype: str = "uint8", high: int = 255) -> npt.NDArray[Any]:
    return np.random.default_rng(0).integers(1, high, shape).astype(dtype)


@pytest.mark.parametrize(
    "dtype", ["int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]
)
def test_number_types(make_raster: MakeRaster, bimors: Bimors, rows: Rows, dtype: str) -> None:
    data = noise(3, 96, 96, dtype=dtype, high=100)
    if dtype == "int64":
        data[0, 0, 0], data[0, 0, 1] = np.iinfo("int64").min, np.iinfo("int64").max
    bimors(make_raster(data), CHEAP)
    assert len(rows()) == 4 and rows()["label"].notna().all()


@pytest.mark.parametrize(("bits", "dtype"), [(1, "uint8"), (2, "uint8"), (4, "uint8"), (12, "uint16")])
def test_few_bits(make_raster: MakeRaster, bimors: Bimors, rows: Rows, bits: int, dtype: str) -> None:
    data = np.random.default_rng(0).integers(0, 2**bits, (1, 64, 64)).astype(dtype)
    bimors(make_raster(data, nbits=bits), CHEAP)
    assert rows()["label"].notna().all()


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "complex_int16"])
def test_complex_is_refused(make_raster: MakeRaster, bimors: Bimors, tmp_path: Path, dtype: str) -> None:
    if dtype == "complex_int16":
        path = str(tmp_path / "c.tif")
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=1,
            height=8,
            width=8,
            dtype=dtype,
            crs="EPSG:32618",
            transform=Affine.scale(2),
        ):
            pass
    else:
        path = make_raster(noise(1, 8, 8, dtype=dtype))
    assert "complex pixels" in bimors(path, code=2).stderr


@pytest.mark.parametrize("kind", ["nan", "infinity", "nodata", "mask", "alpha"])
def test_nothing_but_emptiness_is_an_empty_layer(
    make_raster: MakeRaster, bimors: Bimors, rows: Rows, kind: str
) -> None:
    if kind in ("nan", "infinity"):
        data = np.full((3, 64, 64), np.nan if kind == "nan" else np.inf, np.float32)
        path = make_raster(data)
    elif kind == "alpha":
        data = noise(4, 64, 64)
        data[3] = 0
        path = make_raster(data, colorinterp=["red", "green", "blue", "alpha"])
    elif kind == "mask":
        path = make_raster(noise(3, 64, 64), mask=np.zeros((64, 64), np.bool_))
    else:
        path = make_raster(np.zeros((3, 64, 64), np.uint8), nodata=0)
    assert "has no rows" in bimors(path, CHEAP).stderr and len(rows()) == 0
    bimors(path, CHEAP, "--keep-empty", "--overwrite")
    assert set(rows()["reason"]) == {"nodata"}


def test_some_nan_and_infinity_are_holes(make_raster: MakeRaster, bimors: Bimors, rows: Rows) -> None:
    data = noise(3, 64, 128, dtype="float32")
    data[:, :10], data[1, 20, :], data[2, 30, :] = np.nan, np.inf, -np.inf
    data[0, 40, 5] = np.finfo("float32").max
    bimors(make_raster(data), CHEAP)
    assert rows()["label"].notna().all() and len(rows()) == 2


@pytest.mark.parametrize(("height", "width", "tile", "tiles"), [
    (1, 1, "64", 1), (1, 100_000, "10000", 10), (100_000, 1, "10000", 10), (3, 2, "1", 6),
])  # fmt: skip
def test_odd_shapes(
    make_raster: MakeRaster, bimors: Bimors, rows: Rows, height: int, width: int, tile: str, tiles: int
) -> None:
    bimors(make_raster(noise(3, height, width)), CHEAP, tile=tile)
    assert len(rows()) == tiles


@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_300_bands(make_raster: MakeRaster, bimors: Bimors, rows: Rows, interleave: str) -> None:
    bimors(make_raster(noise(300, 64, 64), interleave=interleave), CHEAP)
    assert len(rows()) == 1
    bimors(make_raster(noise(300, 64, 64), interleave=interleave), CHEAP, "-b", "300,1,7", "--overwrite")
    assert "no band 301" in bimors_refusal(bimors, make_raster(noise(300, 8, 8), name="b.tif"), "-b", "301")


def bimors_refusal(bimors: Bimors, path: str, *args: str) -> str:
    """Refused although an output is there already."""
    from typer.testing import CliRunner

    from bimors_cli.cli.main import app

    result = CliRunner().invoke(app, ["info", path, *args])
    assert result.exit_code == 2
    return result.stderr


def test_palette_alpha_and_nodata_a_band(make_raster: MakeRaster, bimors: Bimors, rows: Rows, tmp_path: Path) -> None:
    colours = {i: (i, 255 - i, 7, 255) for i in range(256)}
    bimors(make_raster(noise(1, 64, 64), palette=colours), CHEAP)
    path = make_raster(noise(2, 64, 64), name="grey_alpha.tif", colorinterp=["gray", "alpha"])
    bimors(path, CHEAP, "--overwrite")
    parts = [make_raster(noise(1, 64, 64), name=f"{i}.tif", nodata=i) for i in (1, 2, 3)]
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{i}"><NoDataValue>{i}</NoDataValue><SimpleSource>'
        f'<SourceFilename relativeToVRT="0">{part}</SourceFilename></SimpleSource></VRTRasterBand>'
        for i, part in enumerate(parts, 1)
    )
    head = (
        '<VRTDataset rasterXSize="64" rasterYSize="64"><SRS>EPSG:32618</SRS><GeoTransform>0,10,0,0,0,-10</GeoTransform>'
    )
    (tmp_path / "bands.vrt").write_text(f"{head}{bands}</VRTDataset>")
    bimors(tmp_path / "bands.vrt", CHEAP, "--overwrite")
    assert len(rows()) == 1


TURNED = Affine.translation(5e5, 4.6e6) @ Affine.rotation(30) @ Affine.scale(10, -10)
PLACES = {
    "rotated": ("EPSG:32618", TURNED),
    "south-up": ("EPSG:32618", Affine(10, 0, 5e5, 0, 10, 4.6e6)),
    "mirrored": ("EPSG:32618", Affine(-10, 0, 5e5, 0, -10, 4.6e6)),
    "antimeridian": ("EPSG:4326", Affine(0.01, 0, 179.5, 0, -0.01, 10)),
    "antimeridian in UTM": ("EPSG:32660", Affine(1000, 0, 7.8e5, 0, -1000, 6e6)),
    "south pole": ("EPSG:3031", Affine(1000, 0, -48_000, 0, -1000, 48_000)),
    "north pole": ("EPSG:3413", Affine(1000, 0, -48_000, 0, -1000, 48_000)),
    "pole in degrees": ("EPSG:4326", Affine(1, 0, -48, 0, -0.1, 90)),
    "local": ('LOCAL_CS["site",UNIT["metre",1]]', Affine(1, 0, 100, 0, -1, 100)),
    "huge coordinates": ("EPSG:32618", Affine(1e12, 0, 1e15, 0, -1e12, 1e15)),
    "tiny pixels": ("EPSG:32618", Affine(1e-9, 0, 5e5, 0, -1e-9, 4.6e6)),
}


@pytest.mark.parametrize("place", PLACES)
def test_places(make_raster: MakeRaster, bimors: Bimors, rows: Rows, place: str) -> None:
    crs, transform = PLACES[place]
    path = make_raster(noise(3, 96, 96), crs=crs, transform=transform)
    bimors(path, CHEAP)
    layer = rows()
    assert len(layer) == 4 and layer.geometry.is_valid.all() and not layer.geometry.is_empty.any()
    if place in ("rotated", "antimeridian", "antimeridian in UTM", "south pole", "north pole"):
        stream = bimors(path, CHEAP, "-f", "GeoJSONSeq", "-o", "-", output=False).stdout
        shapes = [shapely.geometry.shape(json.loads(line)["geometry"]) for line in stream.splitlines()]
        left, bottom, right, top = shapely.total_bounds(shapes)
        assert -180 <= left < right <= 180 and -90 <= bottom < top <= 90


def test_places_that_are_none(make_raster: MakeRaster, bimors: Bimors) -> None:
    assert "no CRS" in bimors(make_raster(noise(1, 8, 8), crs=None), code=2).stderr
    points = [GroundControlPoint(r, c, c * 10.0, r * 10.0) for r, c in ((0, 0), (0, 8), (8, 0))]
    path = make_raster(noise(1, 8, 8), name="gcps.tif", transform=None, crs=None)
    with rasterio.open(path, "r+") as dataset:
        dataset.gcps = (points, rasterio.crs.CRS.from_epsg(32618))
    assert "gdalwarp" in bimors(path, code=2).stderr
    for i, transform in enumerate((Affine(0, 0, 0, 0, 0, 0), Affine(float("nan"), 0, 0, 0, -1, 0))):
        bimors(make_raster(noise(1, 8, 8), name=f"{i}.tif", transform=transform), code=2)


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("layout", ["strips", "tiles"])
def test_torn_files(
    make_raster: MakeRaster, bimors: Bimors, rows: Rows, tmp_path: Path, layout: str, share: float
) -> None:
    options = {"tiled": True, "blockxsize": 64, "blockysize": 64} if layout == "tiles" else {}
    path = Path(make_raster(noise(3, 256, 256), compress="lzw", **options))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    result = bimors(path, CHEAP, "--keep-empty", code=(2, 3))
    if result.exit_code == 3:
        reasons = rows()["reason"]
        assert len(reasons) == 16 and "read_error" in set(reasons) and "nodata" not in set(reasons)


def test_damage_then_repair_then_resume(make_raster: MakeRaster, bimors: Bimors, rows: Rows, tmp_path: Path) -> None:
    """What could not be read is tried again, and nothing else; the rows are those of a whole file."""
    path = Path(make_raster(noise(3, 256, 256), tiled=True, blockxsize=64, blockysize=64, compress="deflate"))
    whole, status = path.read_bytes(), path.stat()
    bimors(path)
    expected = rows()
    with rasterio.open(path) as dataset:
        places = [int(dataset.get_tag_item(f"BLOCK_OFFSET_{x}_{y}", "TIFF", bidx=1)) for x, y in ((1, 1), (3, 2))]
    broken = bytearray(whole)
    for place in places:
        broken[place : place + 40] = b"\xff" * 40
    path.write_bytes(broken)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # the run is known by it
    result = bimors(path, "--overwrite", code=3)
    failed = rows()[rows()["reason"] == "read_error"]
    assert sorted(failed["tile_id"]) == ["scene/1/1", "scene/2/3"]
    assert "2 tiles failed; run the same command with --resume" in result.stderr
    path.write_bytes(whole)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    result = bimors(path, "--resume")
    assert "14 by earlier runs" in result.stderr
    assert_geodataframe_equal(rows(), expected)


def test_a_block_whose_place_is_lost_is_never_black(make_raster: MakeRaster, bimors: Bimors, rows: Rows) -> None:
    """Tiles share blocks; the second read of one whose index entry is beyond the end must fail like the first."""
    path = Path(make_raster(noise(3, 2048, 128), compress="lzw", blockysize=1))
    data = path.read_bytes()
    with rasterio.open(path) as dataset:
        first = int(dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
    path.write_bytes(data[: min(first, len(data)) + (len(data) - first) // 2])
    bimors(path, CHEAP, "--keep-empty", code=(2, 3))
    if (reasons := rows_or_none(rows)) is not None:
        assert "nodata" not in set(reasons)


def rows_or_none(rows: Rows) -> Any:
    import pyogrio

    try:
        return rows()["reason"]
    except pyogrio.errors.DataSourceError:
        return None


def tiff(width: int, height: int, *, rows_per_strip: int, strips: list[bytes], compression: int = 8) -> bytes:
    """Write a grey TIFF with a position in UTM by hand, whatever its header claims."""
    tags: list[tuple[int, int, list[Any]]] = [
        (256, 4, [width]), (257, 4, [height]), (258, 3, [8]), (259, 3, [compression]), (262, 3, [1]),
        (273, 4, [0] * len(strips)), (277, 3, [1]), (278, 4, [rows_per_strip]), (279, 4, [len(s) for s in strips]),
        (33550, 12, [10.0, 10.0, 0.0]), (33922, 12, [0.0, 0.0, 0.0, 5e5, 4.6e6, 0.0]),
        (34735, 3, [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32618]),
    ]  # fmt: skip
    codes = {3: "H", 4: "I", 12: "d"}
    place = 8 + 2 + 12 * len(tags) + 4
    body = b""
    offsets = {}
    for tag, kind, values in tags:
        raw = struct.pack(f"<{len(values)}{codes[kind]}", *values)
        if len(raw) > 4:
            offsets[tag] = place + len(body)
            body += raw + b"\0" * (len(raw) % 2)
    starts, at = [], place + len(body)
    for strip in strips:
        starts.append(at)
        at += len(strip)
    directory = struct.pack("<H", len(tags))
    for tag, kind, values in tags:
        values = starts if tag == 273 else values
        raw = struct.pack(f"<{len(values)}{codes[kind]}", *values)
        if tag in offsets:
            at = offsets[tag] - place
            body = body[:at] + raw + body[at + len(raw) :]
            raw = struct.pack("<I", offsets[tag])
        directory += struct.pack("<HHI", tag, kind, len(values)) + raw.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<I", 8) + directory + b"\0" * 4 + body + b"".join(strips)


def test_the_hand_made_tiff_is_one(bimors: Bimors, rows: Rows, tmp_path: Path) -> None:
    path = tmp_path / "made.tif"
    path.write_bytes(tiff(64, 64, rows_per_strip=64, strips=[zlib.compress(noise(64, 64).tobytes())]))
    bimors(path, CHEAP)
    assert len(rows()) == 1 and rows().crs.to_epsg() == 32618


@pytest.mark.parametrize(("width", "height", "rows_per_strip"), [
    (2**31 - 1, 2**31 - 1, 1), (2**31 - 1, 2**31 - 1, 2**31 - 1), (2**31, 2**31, 1), (2**31 - 1, 1, 1),
    (1, 2**31 - 1, 1), (2**31 - 1, 64, 64), (400_000, 400_000, 16), (0, 0, 1), (64, 64, 0),
])  # fmt: skip
def test_a_header_that_claims_more_than_there_is(
    bimors: Bimors, tmp_path: Path, width: int, height: int, rows_per_strip: int
) -> None:
    """Refused, or read as far as it goes, without the memory that it claims."""
    path = tmp_path / "claims.tif"
    path.write_bytes(tiff(width, height, rows_per_strip=rows_per_strip, strips=[zlib.compress(b"\1" * 4096)]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bimors(path, CHEAP, tile="16", code=(1, 2, 3))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 700_000, f"{grown // 1000} MB"


@pytest.mark.parametrize("compress", ["deflate", "lzw", "zstd"])
def test_a_bomb(bimors: Bimors, tmp_path: Path, compress: str) -> None:
    """A block that would be nearly a gigabyte is refused by its header; it is never decoded."""
    path = tmp_path / "bomb.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=29_984, width=29_984, dtype="uint8", crs="EPSG:32618",
        transform=Affine.scale(10, -10), tiled=True, blockxsize=29_984, blockysize=29_984, compress=compress,
        sparse_ok=True,
    ):  # fmt: skip
        pass
    assert path.stat().st_size < 100_000
    result = bimors(path, CHEAP, code=2)
    assert "857 MiB" in result.stderr and "TILED=YES" in result.stderr


def test_too_many_tiles_are_refused_before_anything_is_kept_for_them(bimors: Bimors, tmp_path: Path) -> None:
    path = tmp_path / "wide.tif"
    path.write_bytes(tiff(1_000_000, 1_000_000, rows_per_strip=16, strips=[zlib.compress(b"\1" * 4096)]))
    result = bimors(path, CHEAP, tile="64", code=2)
    assert re.search(r"244,1\d\d,\d{3} tiles", result.stderr) and "larger tiles" in result.stderr


def test_too_many_bands(bimors: Bimors, make_raster: MakeRaster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bimors_cli.scene.raster_checks.MAX_BANDS", 11)
    assert "12 bands, more than 11" in bimors(make_raster(noise(12, 8, 8)), code=2).stderr


@pytest.mark.parametrize("what", ["pipe", "/dev/zero", "folder"])
def test_what_is_no_file(bimors: Bimors, tmp_path: Path, what: str) -> None:
    path = Path(what) if what.startswith("/") else tmp_path / what
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    bimors(path, code=2)


def test_a_large_window_is_read_in_little_memory(tmp_path: Path, make_raster: MakeRaster) -> None:
    """One tile of 20,000 x 20,000 pixels without overviews: its picture is small, so is what is held for it."""
    path = str(tmp_path / "large.tif")
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=20_000, width=20_000, dtype="uint8", crs="EPSG:32618",
        transform=Affine.scale(10, -10), tiled=True, compress="deflate", sparse_ok=True, nodata=0,
    ):  # fmt: skip
        pass
    code = (
        "import resource\n"
        "from tests.scene.reading import reader_of\n"
        "from bimors_cli.scene.read import read_tile\n"
        f"reader = reader_of({path!r}, 20_000, stretch='0,255')\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "with reader:\n    read_tile(reader, reader.grid[0], 224)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1000)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 900
