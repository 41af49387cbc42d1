"""Mistakes of a first day: each is answered by one line that says what is wrong, and one that says what to do."""

from __future__ import annotations

import zipfile
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from typer.testing import CliRunner

from bimors_cli.cli.main import app
from bimors_cli.errors import DeviceError, InputError, LabelsError, SceneError, VectorError
from bimors_cli.options.device_names import device_names
from bimors_cli.output.formats import guess_format
from bimors_cli.scene.band_doubts import band_doubt
from bimors_cli.scene.bands import choose_bands
from bimors_cli.scene.raster import open_scene, scene_info
from bimors_cli.wordlists import read_wordlist
from tests.conftest import MakeRaster


@pytest.mark.parametrize(
    ("command", "message", "hint"),
    [
        ("scene.tif", "No such command 'scene.tif': the command comes before the file", "bimors info scene.tif, or"),
        ("classfy scene.tif", "No such command 'classfy'", "did you mean 'classify'?"),
        ("models lst", "No such command 'lst'", "did you mean 'list'? bimors models -h lists the commands"),
        ("help", "No such command 'help'", "bimors -h lists the commands"),
        ("version", "No such command 'version'", "bimors --version"),
        ("--model mini", "No such option: --model", "options come after the command"),
        ("classify", "Missing argument 'SCENE'", "for example: bimors classify scene.tif --labels labels.txt"),
        ("classify scene.tif", "Missing option '-l' / '--labels'", "for example: bimors classify scene.tif --labels"),
        ("classify a.tif --tile-sise 64", "No such option: --tile-sise", "did you mean --tile-size?"),
        ("classify a.tif -l", "Option '-l' requires an argument", "bimors -h describes the options"),
    ],
)
def test_a_command_line_that_is_refused(command: str, message: str, hint: str) -> None:
    result = CliRunner().invoke(app, command.split(), prog_name="bimors", env={"COLUMNS": "40"})
    lines = " ".join(result.stderr.split())
    assert result.exit_code == 2, result.stderr
    assert lines.startswith(f"error: {message}") and f"hint: {hint}" in lines, result.stderr
    assert "Usage" not in lines and "─" not in lines


@pytest.mark.parametrize("command", [[], ["models"]])
def test_a_group_without_a_command_shows_its_help(command: list[str]) -> None:
    result = CliRunner().invoke(app, command, prog_name="bimors")
    assert "Commands" in result.output and "error:" not in result.output


def _archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("scene.tif", b"")


@pytest.mark.parametrize(
    ("name", "content", "message", "hint"),
    [
        ("zero.tif", b"", "is empty (0 bytes)", "download it again"),
        ("page.tif", b"<!DOCTYPE html><html></html>", "is a web page", "login"),
        ("doc.pdf", b"%PDF-1.4\n", "is not a raster but a PDF document", "gdal_translate"),
        ("parcels.shp", b"\0\0\x27\x0a", "is not a raster but a vector file", "--aoi"),
        ("map.qgz", b"PK\x03\x04", "is not a raster but a QGIS project", "the raster file of the layer"),
        ("scene.zip", None, "is a ZIP archive", "/vsizip/"),
        ("S2A_MSIL2A_20240601T103021.zip", None, "is a ZIP archive", "B04, B03 and B02"),
        ("words.txt", b"pond\n", "is not a raster in a supported format", "supported: GTiff"),
    ],
)
def test_a_file_that_is_not_a_raster(tmp_path: Path, name: str, content: bytes | None, message: str, hint: str) -> None:
    path = tmp_path / name
    if content is None:
        _archive(path)
    else:
        path.write_bytes(content)
    with pytest.raises(SceneError) as refused, open_scene(str(path)):
        pass
    assert f"{name} {message}" in refused.value.message
    assert refused.value.hint is not None and hint in refused.value.hint


@pytest.mark.parametrize(("name", "hint"), [("S2A.SAFE", "gdalbuildvrt -separate"), ("tiles", "tiles/*.tif")])
def test_a_folder_as_scene(tmp_path: Path, name: str, hint: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(SceneError, match="is a folder") as refused, open_scene(str(tmp_path / name)):
        pass
    assert refused.value.hint is not None and hint in refused.value.hint


def test_an_output_that_has_no_format(tmp_path: Path) -> None:
    for path, message, hint in (
        (tmp_path / "out.shp", "unsupported suffix '.shp'", "out.gpkg for a GeoPackage"),
        (tmp_path / "out", "has no suffix", "out.gpkg for a GeoPackage"),
        (tmp_path, "is a folder", "add the name of a file"),
    ):
        with pytest.raises(InputError) as refused:
            guess_format(path)
        assert message in refused.value.message and hint in str(refused.value.hint)


def test_labels_as_a_list_on_the_command_line() -> None:
    with pytest.raises(LabelsError) as refused:
        read_wordlist("pond,meadow")
    assert "a text file, one per line" in str(refused.value.hint)


@pytest.mark.parametrize("name", ["gpu", "GPU:0", "cuda:x", ""])
def test_a_device_that_does_not_exist_is_refused_without_torch(name: str) -> None:
    with pytest.raises(DeviceError, match="unknown device"):
        device_names(name)


@pytest.mark.parametrize("name", ["auto", "cpu", "mps", "cuda", "cuda:3"])
def test_a_device_name_is_kept(name: str) -> None:
    assert device_names(name) == (name,)


@pytest.mark.parametrize(("dtype", "is_doubtful"), [("float32", True), ("int16", True), ("uint8", False)])
def test_an_elevation_model_as_scene_is_doubtful(make_raster: MakeRaster, dtype: str, is_doubtful: bool) -> None:
    info = scene_info(make_raster(np.arange(64 * 64).reshape(1, 64, 64).astype(dtype)))
    doubt = band_doubt(info, choose_bands(info))
    assert (doubt is not None) == is_doubtful
    assert doubt is None or dtype in doubt[0]


def test_features_without_geometry(make_raster: MakeRaster, tmp_path: Path) -> None:
    scene = make_raster(np.ones((3, 64, 64), np.uint8))
    rows = {"class": ["a", "b"]}
    geometries = [None, shapely.Polygon()]
    geopandas.GeoDataFrame(rows, geometry=geometries, crs=32618).to_file(tmp_path / "empty.gpkg")
    result = CliRunner().invoke(
        app, ["finetune", str(scene), "--polygons", str(tmp_path / "empty.gpkg"), "--field", "class"]
    )
    assert result.exit_code == VectorError.exit_code and "no feature has a geometry" in result.stderr, result.stderr
    assert "nan" not in result.stderr
