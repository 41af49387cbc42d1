"""Opening a scene: its facts, and one line with a hint for what cannot be used."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.rpc
import rasterio.shutil
from affine import Affine
from rasterio.control import GroundControlPoint

from bimors_cli.errors import InputError, SceneError
from bimors_cli.scene.raster import open_scene, scene_info
from tests.conftest import NORTH_UP, MakeRaster

GREY = np.arange(80, dtype=np.uint8).reshape(1, 8, 10)


def refusal(path: str, assume_crs: str | None = None) -> tuple[str, str]:
    """Return message and hint of the refusal of a scene, after checking that each is one line."""
    with pytest.raises(SceneError) as caught:
        scene_info(path, assume_crs=assume_crs)
    message, hint = caught.value.message, caught.value.hint
    assert caught.value.exit_code == 2
    assert hint and "\n" not in message and "\n" not in hint
    return message, hint


def test_facts(make_raster: MakeRaster) -> None:
    """What is known of a scene is what was written."""
    path = make_raster(np.zeros((4, 300, 200), np.uint16), nodata=7, tiled=True, blockxsize=64, blockysize=128)
    info = scene_info(path)
    assert (info.path, info.name, info.stem, info.driver) == (path, "scene.tif", "scene", "GTiff")
    assert (info.width, info.height, info.count, info.dtypes) == (200, 300, 4, ("uint16",) * 4)
    assert info.crs.to_epsg() == 32618 and not info.crs_assumed
    assert info.transform == NORTH_UP
    assert (info.nodata, info.mask, info.palette) == ((7,) * 4, "nodata", None)
    assert info.block_shapes == ((128, 64),) * 4
    assert info.size_bytes == Path(path).stat().st_size and info.mtime_ns == Path(path).stat().st_mtime_ns
    assert pickle.loads(pickle.dumps(info)) == info


def test_masks(make_raster: MakeRaster) -> None:
    """Where the mask comes from."""
    rgba = np.zeros((4, 8, 10), np.uint8)
    assert scene_info(make_raster(GREY)).mask == "none"
    assert scene_info(make_raster(rgba, photometric="RGB", alpha="yes")).mask == "alpha"
    assert scene_info(make_raster(GREY, mask=GREY[0] > 3)).mask == "dataset"


def test_palette(make_raster: MakeRaster) -> None:
    """The colour table is carried; values without an entry are black."""
    info = scene_info(make_raster(GREY, palette={0: (1, 2, 3, 255), 9: (7, 8, 9, 255)}))
    assert info.is_palette and info.palette is not None
    assert info.palette[:4] == bytes((1, 2, 3, 255)) and info.palette[36:39] == bytes((7, 8, 9))


def test_not_there(tmp_path: Path) -> None:
    """A typing error in the path."""
    message, _ = refusal(str(tmp_path / "nope.tif"))
    assert message.endswith("nope.tif not found")


def test_directory(tmp_path: Path) -> None:
    """A folder."""
    message, hint = refusal(str(tmp_path))
    assert "directory" in message and "gdalbuildvrt" in hint


def test_not_a_raster(tmp_path: Path) -> None:
    """Text under any name."""
    path = tmp_path / "notes.tif"
    path.write_text("no pixels here")
    message, hint = refusal(str(path))
    assert "not a raster in a supported format" in message and "gdal_translate" in hint


def test_damaged_header(make_raster: MakeRaster) -> None:
    """A TIFF whose directory is cut off says GDAL's reason."""
    path = make_raster(GREY)
    Path(path).write_bytes(Path(path).read_bytes()[:40])
    message, hint = refusal(path)
    assert message.startswith("cannot open") and "gdalinfo" in hint


def test_vrt_only_under_its_own_name(make_raster: MakeRaster, tmp_path: Path) -> None:
    """A VRT may name other files and addresses: not under the name of a TIFF."""
    source = make_raster(GREY)
    with rasterio.open(source) as dataset:
        rasterio.shutil.copy(dataset, str(tmp_path / "good.vrt"), driver="VRT")
    assert scene_info(str(tmp_path / "good.vrt")).driver == "VRT"
    (tmp_path / "good.vrt").rename(tmp_path / "sly.tif")
    message, hint = refusal(str(tmp_path / "sly.tif"))
    assert "not a raster in a supported format" in message and "VRT" in hint
    refusal((tmp_path / "sly.tif").read_text())  # nor as text in place of a name


def test_driver_not_allowed(make_raster: MakeRaster) -> None:
    """A format that GDAL reads and bimors does not let in."""
    path = make_raster(GREY, name="scene.grd", driver="GSBG")
    message, hint = refusal(path)
    assert "not a raster in a supported format" in message and "GTiff" in hint


@pytest.mark.parametrize("driver", ["GTiff", "HFA", "ENVI"])
def test_drivers(make_raster: MakeRaster, driver: str) -> None:
    """Formats that are let in."""
    path = make_raster(GREY, name="scene.img", driver=driver)
    assert scene_info(path).driver == driver


def test_complex(make_raster: MakeRaster) -> None:
    """Radar before detection."""
    message, hint = refusal(make_raster(GREY.astype(np.complex64)))
    assert "complex64" in message and "gdal_calc.py" in hint


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_no_bands(tmp_path: Path) -> None:
    """A container names what is inside it."""
    path = str(tmp_path / "both.gpkg")
    for table in ("one", "two"):
        options = {"RASTER_TABLE": table, "APPEND_SUBDATASET": "YES" if table == "two" else "NO"}
        with rasterio.open(
            path, "w", driver="GPKG", width=8, height=8, count=1, dtype="uint8", crs="EPSG:32618",
            transform=NORTH_UP, **options,
        ) as dataset:  # fmt: skip
            dataset.write(np.ones((1, 8, 8), np.uint8))
    message, hint = refusal(path)
    assert "no bands" in message and "GPKG:" in hint and ":two" in hint


def test_no_crs(make_raster: MakeRaster) -> None:
    """A position without a CRS: the user may name one."""
    path = make_raster(GREY, crs=None)
    message, hint = refusal(path)
    assert message == f"{path} has no CRS" and "gdal_edit.py -a_srs" in hint and "--assume-crs EPSG" in hint
    info = scene_info(path, assume_crs="EPSG:32618")
    assert info.crs.to_epsg() == 32618 and info.crs_assumed


def test_hints_can_be_pasted(make_raster: MakeRaster) -> None:
    """A path with a space is quoted in the commands, not in the message."""
    path = make_raster(GREY, crs=None, name="my scene.tif")
    message, hint = refusal(path)
    assert message.startswith(path) and hint.endswith(f"'{path}'")


def test_a_colon_in_a_file_name(make_raster: MakeRaster) -> None:
    """A file that is there is a file, though it looks like a subdataset."""
    info = scene_info(make_raster(GREY, name="scene:1.tif"))
    assert info.name == "scene:1.tif" and info.size_bytes


def test_own_crs_wins(make_raster: MakeRaster) -> None:
    """An assumption for a batch of scenes does not move those that know better."""
    info = scene_info(make_raster(GREY), assume_crs="EPSG:4326")
    assert info.crs.to_epsg() == 32618 and not info.crs_assumed


def test_assumed_crs_must_be_one(make_raster: MakeRaster) -> None:
    """A typing error in --assume-crs."""
    with pytest.raises(InputError, match="EPSG:nope"):
        scene_info(make_raster(GREY, crs=None), assume_crs="EPSG:nope")


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_no_position(make_raster: MakeRaster) -> None:
    """A picture: no CRS and no geotransform; then a CRS without a position."""
    message, hint = refusal(make_raster(GREY, crs=None, transform=None))
    assert "no CRS and no geotransform" in message and "-a_ullr" in hint and "--assume-crs" in hint
    info = scene_info(make_raster(GREY, crs=None, transform=None), assume_crs="EPSG:32618")
    assert not info.has_geotransform and info.crs_assumed and info.crs.to_epsg() == 32618
    message, hint = refusal(make_raster(GREY, transform=None))
    assert "no geotransform" in message and "-a_ullr" in hint


def test_degenerate(make_raster: MakeRaster) -> None:
    """Pixels without an area."""
    message, hint = refusal(make_raster(GREY, transform=Affine(10, 0, 0, 10, 0, 0)))
    assert "degenerate" in message and "gdal_edit.py" in hint


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_gcps_and_rpcs(make_raster: MakeRaster) -> None:
    """Control points and RPCs must be warped first."""
    path = make_raster(GREY, crs=None, transform=None)
    points = [GroundControlPoint(r, c, 500_000 + 10 * c, 4_600_000 - 10 * r) for r in (0, 8) for c in (0, 10)]
    with rasterio.open(path, "r+") as dataset:
        dataset.gcps = (points, rasterio.CRS.from_epsg(32618))
    message, hint = refusal(path)
    assert "ground control points" in message and "gdalwarp -tps" in hint
    path = make_raster(GREY, crs=None, transform=None, name="rpc.tif")
    with rasterio.open(path, "r+") as dataset:
        dataset.rpcs = rasterio.rpc.RPC(
            height_off=0, height_scale=1, lat_off=0, lat_scale=1, line_off=0, line_scale=1, long_off=0, long_scale=1,
            samp_off=0, samp_scale=1, line_num_coeff=[1.0] * 20, line_den_coeff=[1.0] * 20,
            samp_num_coeff=[1.0] * 20, samp_den_coeff=[1.0] * 20,
        )  # fmt: skip
    message, hint = refusal(path)
    assert "RPC" in message and "gdalwarp -rpc" in hint


def test_vsi_path(make_raster: MakeRaster, tmp_path: Path) -> None:
    """A raster inside a zip, as GDAL writes it; no local identity."""
    import zipfile

    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(make_raster(GREY), "inner/scene.tif")
    info = scene_info(f"/vsizip/{tmp_path}/all.zip/inner/scene.tif")
    assert (info.name, info.stem, info.size_bytes, info.mtime_ns) == ("scene.tif", "scene", None, None)
    message, _ = refusal(f"/vsizip/{tmp_path}/all.zip/inner/nope.tif")
    assert message.startswith("cannot open /vsizip/")


def test_no_warning_of_rasterio_reaches_the_user(make_raster: MakeRaster) -> None:
    """The program says it in its own words."""
    path = make_raster(GREY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scene_info(path)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("no_crs.tif", "--assume-crs"),
        ("gcps_only.tif", "gdalwarp -tps"),
        ("sparse_66000x66000.tif", "-a_srs"),
        ("README.md", "gdal_translate"),
        ("damaged/seek_too_large.tif", "gdalinfo"),
    ],
)
def test_real_refusals(scenes: Path, name: str, word: str) -> None:
    """Real files that cannot be used."""
    _, hint = refusal(str(scenes / name))
    assert word in hint


@pytest.mark.shared
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_damaged_files_never_escape(scenes: Path) -> None:
    """Files that crashed image libraries: a scene or a refusal, nothing else."""
    paths = sorted((scenes / "damaged").iterdir())
    assert len(paths) > 40
    for path in paths:
        try:
            with open_scene(str(path), assume_crs="EPSG:32618") as opened:
                assert opened.info.count >= 1
        except SceneError as error:
            assert error.hint, path
