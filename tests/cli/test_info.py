"""`bimors info`: its page, its JSON, its image, and the function of the Python API."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from PIL import Image
from rich.console import Console
from safetensors.numpy import save_file
from typer.testing import CliRunner, Result

import bimors_cli
from bimors_cli.bundle.adapter import WEIGHTS, write_adapter_manifest
from bimors_cli.bundle.adapter_views import AdapterViews, BandIdentity
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli.info_page import PLAIN_WIDTH, _percent, _places
from bimors_cli.cli.main import app
from bimors_cli.cli.terminal_image import draw_scene, half_blocks, shows_images, within
from tests.conftest import MakeRaster

# Keys that earlier versions wrote.
OLD_KEYS = [
    *("scene", "driver", "width", "height", "bands", "dtype", "crs", "bounds", "pixel_size_m", "ground_scale"),
    *("nodata", "mask", "bands_used", "band_names", "descriptions", "colour_interpretation", "stretch", "valid_share"),
    *("tile_size_px", "tile_size_m", "stride_px", "rows", "cols", "tiles", "model", "model_pixel_size_m"),
    *("model_tile_size_m", "in_training_domain", "outside_training_domain", "warnings"),
]


def bimors(*args: object) -> Result:
    return CliRunner().invoke(app, ["info", *map(str, args)])


def page(*args: object) -> dict[str, dict[str, str]]:
    """Return the lines of each section by their labels; of a table the rows by the band."""
    result = bimors(*args)
    assert result.exit_code == 0, result.stderr
    sections: dict[str, dict[str, str]] = {}
    section: dict[str, str] = {}
    for line in result.stdout.splitlines():
        assert len(line) <= PLAIN_WIDTH and line == line.rstrip()
        if line and not line.startswith(" "):
            section = sections.setdefault(line, {})
        elif line:
            label, _, value = re.sub(r" {2,}", "\t", line.strip()).partition("\t")
            section[label] = value
    return sections


def facts(*args: object) -> dict[str, Any]:
    result = bimors(*args, "--json")
    assert result.exit_code == 0, result.stderr

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is not JSON")

    found: dict[str, Any] = json.loads(result.stdout, parse_constant=refuse)
    assert [key for key in OLD_KEYS if key not in found] == []
    return found


def noise(*shape: int, dtype: Any = np.uint16) -> npt.NDArray[Any]:
    return np.random.default_rng(0).integers(100, 3000, shape).astype(dtype)


@pytest.fixture
def landsat(make_raster: MakeRaster) -> str:
    """Four bands with descriptions, wavelengths, scale, offset, unit, and a nodata value in a quarter."""
    data = noise(4, 80, 100)
    data[:, :20] = 0
    path = make_raster(data, nodata=0, name="LC08_L2SP_038034.tif")
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("SR_B2", "SR_B3", "SR_B4", "SR_B5")
        dataset.scales, dataset.offsets = (2.75e-5,) * 4, (-0.2,) * 4
        dataset.units = ("reflectance",) * 4
        for index, wavelength in enumerate((482, 561.4, 655, 865), 1):
            dataset.update_tags(index, wavelength=str(wavelength), wavelength_units="Nanometers")
    return path


def test_the_page(landsat: str) -> None:
    sections = page(landsat, "--tile-size", "200m")
    titles = ["Scene", "Bands", "Statistics of stored values, all 8,000 pixels", "Image", "Tiles", "Model mini"]
    assert list(sections) == titles
    scene = sections["Scene"]
    assert scene["size"] == "100 x 80 pixels, 4 bands of uint16"
    assert scene["CRS"] == "WGS 84 / UTM zone 18N (EPSG:32618)"
    assert scene["longitude"].startswith("75.0000 W to 74.98") and scene["latitude"].endswith(" N")
    assert scene["pixel size"] == "10 x 10 metre; on the ground 10 x 10 m"
    assert scene["area"] == "80 ha" and scene["sensor"].startswith("Landsat 8")
    (red,) = [line.split() for line in bimors(landsat).stdout.splitlines() if re.match(" +3 +SR_B4", line)]
    assert red == ["3", "SR_B4", "red", "655", "2.75e-05", "-0.2", "reflectance", "0", "red"]
    assert sections["Image"]["mask"] == "nodata value 0 of the file, leaves 75 % of the pixels"
    assert sections["Image"]["bands"] == "3, 2, 1 as red, green, blue"
    assert sections["Tiles"] == {"tile size": "20 x 20 pixels, 200 x 200 m", "tiles": "20: 4 rows, 5 columns"}
    assert sections["Model mini"]["captions"] == "yes"
    assert sections["Model mini"]["views to finetune"] == "bands, bands-around, image, false-colour, around"


def test_the_json(landsat: str) -> None:
    found = facts(landsat)
    assert found["crs_code"] == "EPSG:32618" and found["unit"] == "metre" and found["area_m2"] == 800_000
    assert found["statistics"] == {"exact": True, "pixels": 8000}
    assert found["masks"] == [
        {
            "kind": "nodata", "text": "nodata value 0 of the file", "applied": True, "reason": "",
            "valid_share": 0.75,
        }
    ]  # fmt: skip
    red = found["bands_detail"][2]
    assert red["used_as"] == ["red"] and red["wavelength_nm"] == 655 and red["nodata"] == 0
    assert (red["scale"], red["offset"], red["unit"]) == (2.75e-5, -0.2, "reflectance")
    values = noise(4, 80, 100)[2, 20:]
    assert red["statistics"]["mean"] == pytest.approx(values.mean())
    assert red["statistics"]["valid_fraction"] == 0.75
    assert found["model_inputs"] == ["red", "green", "blue"] and found["adapter"] is None


def test_the_function_returns_the_same(landsat: str) -> None:
    report = bimors_cli.info(landsat, bimors_cli.InfoOptions(tile_size="200m"))
    assert report.to_dict() == facts(landsat, "--tile-size", "200m")
    output = Path(landsat).with_suffix(".png")
    bimors_cli.info(landsat, bimors_cli.InfoOptions(png=output))
    assert output.is_file()
    assert report.scene.valid_fraction == 0.75 and len(report.scene.grid) == 20


def test_bands_that_hold_nothing(make_raster: MakeRaster) -> None:
    path = make_raster(np.full((3, 8, 8), np.nan), nodata=np.nan)
    found = facts(path)
    assert found["valid_share"] == 0 and found["bands_detail"][0]["nodata"] == "nan"
    assert set(found["bands_detail"][0]["statistics"].values()) == {None, 0}
    sections = page(path)
    assert sections["Statistics of all 64 pixels"]["1"] == "\t".join(["-"] * 6 + ["0 %"])
    assert sections["Image"]["valid"] == "0 % of the pixels"


def test_many_bands_are_cut(make_raster: MakeRaster) -> None:
    path = make_raster(noise(200, 8, 8, dtype=np.uint8))
    sections = page(path, "-b", "150,2,1")
    for title in ("Bands", "Statistics of all 64 pixels"):
        assert {"1", "24", "150"} <= sections[title].keys() and "25" not in sections[title]
        assert "and 175 bands more: --json lists all" in sections[title]
    assert len(facts(path)["bands_detail"]) == 200


def test_texts_of_a_file_do_not_control_the_terminal(make_raster: MakeRaster) -> None:
    path = make_raster(noise(1, 8, 8))
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("\x1b]0;title\x07[red]x[/red] " + "long " * 40,)
    text = bimors(path).stdout
    assert "\x1b" not in text and "\x07" not in text and "[red]x[/red]" in text
    assert max(map(len, text.splitlines())) <= PLAIN_WIDTH


def test_a_scene_at_a_pole_has_tiles_in_pixels(make_raster: MakeRaster) -> None:
    path = make_raster(noise(3, 64, 64), crs="EPSG:4326", transform=Affine(0.01, 0, 0, 0, -0.01, 90.32))
    found = facts(path)
    assert found["pixel_size_m"] is None and found["tile_size_m"] is None
    assert page(path)["Tiles"]["tile size"] == "64 x 64 pixels"
    assert bimors(path, "--tile-size", "500m").exit_code == 2


def test_the_crs_of_another_country(make_raster: MakeRaster) -> None:
    result = bimors(make_raster(noise(3, 64, 64), crs="EPSG:2154"))
    assert "far outside the area of use of EPSG:2154 (France" in result.stderr
    assert "1.04 E, 28.71 N" in result.stderr and "gdal_edit.py -a_srs" in result.stderr


def test_the_image(make_raster: MakeRaster, tmp_path: Path) -> None:
    data = noise(3, 300, 2000, dtype=np.uint8)
    data[:, :, :500] = 0
    scene, output = make_raster(data, nodata=0), tmp_path / "small.png"
    result = bimors(scene, "--png", output)
    assert result.exit_code == 0 and result.stderr.endswith(f"wrote {output}\n")
    image = np.asarray(Image.open(output))
    assert image.shape == (154, 1024, 4)
    assert not image[:, :250].any() and (image[:, 260:, 3] == 255).all()
    before = output.read_bytes()
    again = bimors(scene, "--png", output)
    assert again.exit_code == 2 and "--overwrite" in again.stderr and output.read_bytes() == before
    assert bimors(scene, "--png", output, "--overwrite", "-b", "1").exit_code == 0
    assert output.read_bytes() != before
    assert bimors(scene, "--png", tmp_path / "a.jpg").exit_code == 2
    assert sorted(file.name for file in tmp_path.iterdir()) == ["scene.tif", "small.png"]


def test_the_image_is_what_the_model_sees(make_raster: MakeRaster, tmp_path: Path) -> None:
    """North is at the top, and bands and stretch are those that were chosen."""
    data = noise(4, 30, 40)
    path = make_raster(data, transform=Affine(10, 0, 5e5, 0, 10, 4.6e6))  # the first row is in the south
    assert bimors(path, "-b", "4,3,1", "--stretch", "0,3000", "--png", tmp_path / "a.png").exit_code == 0
    expected = np.rint(data[[3, 2, 0]].astype(np.float32) * (255 / 3000)).transpose(1, 2, 0)[::-1]
    image = np.asarray(Image.open(tmp_path / "a.png")).astype(np.float32)
    np.testing.assert_allclose(image[..., :3], expected, atol=1)
    assert (image[..., 3] == 255).all()


def test_an_image_never_replaces_a_file_of_the_scene(make_raster: MakeRaster, tmp_path: Path) -> None:
    path = make_raster(noise(3, 8, 8, dtype=np.uint8), name="scene.png", driver="PNG")
    before = Path(path).read_bytes()
    result = bimors(path, "--png", path, "--overwrite")
    assert result.exit_code == 2 and "is a file of the scene itself" in result.stderr
    vrt = tmp_path / "scene.vrt"
    source = (
        '<SimpleSource><SourceFilename relativeToVRT="1">scene.png</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource>"
    )
    vrt.write_text(
        '<VRTDataset rasterXSize="8" rasterYSize="8"><SRS>EPSG:32618</SRS><GeoTransform>0,1,0,0,0,-1</GeoTransform>'
        f'<VRTRasterBand dataType="Byte" band="1">{source}</VRTRasterBand></VRTDataset>'
    )
    result = bimors(vrt, "--png", path, "--overwrite")
    assert result.exit_code == 2 and "is a file of the scene itself" in result.stderr
    assert Path(path).read_bytes() == before


def test_whether_an_adapter_fits(make_raster: MakeRaster, tiny_bundle: Bundle, tmp_path: Path) -> None:
    path = make_raster(noise(3, 64, 64))
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("blue", "green", "red")

    def use(*names: str, model: object = tiny_bundle.folder) -> Result:
        folder = tmp_path / "coast"
        folder.mkdir(exist_ok=True)
        save_file({"weight": np.zeros(1, np.float32)}, folder / WEIGHTS)
        views = AdapterViews(("bands",), tuple(BandIdentity(index, name) for index, name in enumerate(names, 1)))
        write_adapter_manifest(
            folder, tiny_bundle, name="coast", head="views", labels=("pond", "field"), temperature=1, training={},
            views=views,
        )  # fmt: skip
        return bimors(path, "--model", model, "--adapter", folder)

    fits = use("red", "green")
    assert fits.stderr == "" and re.search(r"labels +pond, field\n +fits the scene +yes\n", fits.stdout)
    lacks = use("red", "nir")
    assert "fits the scene      no: scene.tif has no band nir, which the adapter coast was" in lacks.stdout
    assert lacks.stderr.startswith("warning: bimors classify cannot use the adapter coast with this scene: scene.tif")
    other = use("red", "green", model="mini")
    assert other.exit_code == 0 and "select it by --model" in other.stderr
    assert bimors(path, "--adapter", tmp_path / "none").exit_code == 2


def test_an_image_is_drawn_where_it_is_quick(make_raster: MakeRaster, monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(path: str, **how: Any) -> str:
        screen = console(file=io.StringIO(), width=100, **how)
        draw_scene(bimors_cli.info(path).scene, screen)
        found = screen.file.getvalue()  # type: ignore[attr-defined]
        assert isinstance(found, str)
        return found

    data = np.zeros((3, 80, 100), np.uint8)
    data[0] = 255
    path = make_raster(data)
    lines = drawn(path).splitlines()
    assert len(lines) == 20 and all(line.count("▀") == 50 for line in lines)
    assert "255;0;0" in lines[0]
    assert drawn(path, force_terminal=False) == ""
    monkeypatch.setattr("bimors_cli.results.scene_image.DECIMATE_UP_TO", 100)
    assert "has no overviews" in drawn(path) and "▀" not in drawn(path)
    assert "▀" in drawn(make_raster(data, overviews=[2], name="with.tif"))


def console(**how: Any) -> Console:
    return Console(**{"force_terminal": True, "color_system": "truecolor", "_environ": {"TERM": "xterm"}, **how})


def test_where_images_are_drawn() -> None:
    assert shows_images(console()) and shows_images(console(color_system="256"))
    assert not shows_images(console(force_terminal=False))
    assert not shows_images(console(color_system=None)) and not shows_images(console(color_system="standard"))
    assert not shows_images(console(_environ={"TERM": "xterm", "NO_COLOR": "1"}))
    assert not shows_images(console(_environ={"TERM": "dumb"}))


def test_half_blocks() -> None:
    image = np.zeros((3, 3, 4), np.uint8)
    image[0, :2] = (255, 0, 0, 255)
    image[1, 1:] = (0, 0, 255, 255)
    upper, lower = half_blocks(image)
    assert upper.plain == "▀▀▄" and lower.plain == "   "
    styles = [str(span.style) for span in upper.spans]
    assert styles == ["#ff0000", "#ff0000 on #0000ff", "#0000ff"]


@pytest.mark.parametrize("width, height", [(934, 723), (10, 4000), (4000, 10), (1, 1), (60, 40), (30000, 20001)])
def test_the_image_fits(width: int, height: int) -> None:
    side = within(width, height, 60, 40)
    shrink = max(1.0, max(width, height) / side)
    assert width / shrink <= 60 and height / shrink <= 40


def test_numbers_of_the_page() -> None:
    assert [_percent(fraction) for fraction in (0, 1e-9, 0.5, 0.99999, 1)] == [
        "0 %", "< 0.01 %", "50 %", "> 99.99 %", "100 %",
    ]  # fmt: skip
    assert [_places(extent) for extent in (360, 1, 0.06, 0, 1e-12)] == [1, 2, 4, 8, 8]


def test_numbers_are_never_cut(make_raster: MakeRaster) -> None:
    """Neither by long texts, nor by one another."""
    data = np.random.default_rng(0).choice([-3.40282e38, 1.23456e-30, 3.40282e38], (4, 16, 16)).astype(np.float32)
    path = make_raster(data)
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions, dataset.units = ("a long description of the band",) * 4, ("a very long unit",) * 4
        dataset.scales, dataset.offsets = (1.23456e-10,) * 4, (-9.87654e10,) * 4
        for index in (1, 2, 3, 4):
            dataset.update_tags(index, wavelength="1234.56", wavelength_units="Nanometers")
    text = bimors(path).stdout
    assert text.count("1.23456e-10") == text.count("-9.87654e+10") == text.count("1234.56") == 4
    assert text.count("-3.40282e+38") >= 8 and max(map(len, text.splitlines())) <= PLAIN_WIDTH
