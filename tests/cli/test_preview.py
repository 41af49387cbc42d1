"""`bimors preview`: the picture has the scene and the tiles where they are, and says how large and where north is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from PIL import Image
from typer.testing import CliRunner, Result

from bimors_cli.cli.main import app
from bimors_cli.labels import parse_labels
from tests.layers import MakeLayer

RED_BLUE = parse_labels(b"red\t#ff0000\nblue\t#0000ff\n", "labels.txt")
MARGIN, LINE = 24, 28  # of a picture whose longer side is 800 pixels


def bimors(*args: object) -> Result:
    return CliRunner().invoke(app, [*map(str, args)])


def drawn(layer: Path, *args: object) -> np.ndarray[Any, Any]:
    """The part of the picture that shows the scene: 800 pixels and more."""
    result = bimors("preview", layer, *args)
    assert result.exit_code == 0 and result.stdout == f"{layer.with_suffix('.png')}\n", result.stderr
    picture = np.asarray(Image.open(layer.with_suffix(".png")).convert("RGB")).astype(int)
    return picture[MARGIN + LINE :, MARGIN:]


def corner_is_red(index: int) -> dict[str, Any]:
    """Red for the first tile, blue for all others."""
    return {"ranking": ((int(index > 0), 0.9), (int(index == 0), 0.1))}


def is_red(pixel: np.ndarray[Any, Any]) -> bool:
    return bool(pixel[0] > pixel[2] + 60)


@pytest.mark.parametrize(
    ("transform", "corner"),
    [
        (Affine(10, 0, 500_000, 0, -10, 4_600_000), (0, 0)),
        (Affine(10, 0, 500_000, 0, 10, 4_600_000), (3, 0)),  # south-up
        (Affine(-10, 0, 500_000, 0, 10, 4_600_000), (3, 3)),  # upside down
        (Affine(0, -10, 500_000, -10, 0, 4_600_000), (0, 3)),  # rows run west, columns run south
        (Affine.translation(500_000, 4_600_000) @ Affine.rotation(-30) @ Affine.scale(10, -10), (0, 0)),
    ],
)
@pytest.mark.parametrize("dst_crs", [None, "EPSG:4326"])
def test_a_tile_is_where_the_map_has_it(
    make_raster: Any, make_layer: MakeLayer, transform: Affine, corner: tuple[int, int], dst_crs: str | None
) -> None:
    scene = make_raster(np.full((3, 40, 40), 128, np.uint8), transform=transform)
    picture = drawn(make_layer(scene, labels=RED_BLUE, answer=corner_is_red, tile_size="10", dst_crs=dst_crs))
    found = [(row, col) for row in range(4) for col in range(4) if is_red(picture[row * 200 + 100, col * 200 + 100])]
    assert found == [corner]


def test_a_large_scene_is_reduced(make_raster: Any, make_layer: MakeLayer) -> None:
    scene = make_raster(np.full((3, 1000, 4000), 128, np.uint8))
    layer = make_layer(scene, labels=RED_BLUE, answer=corner_is_red, tile_size="1000")
    assert bimors("preview", layer).exit_code == 0
    width, height = Image.open(layer.with_suffix(".png")).size
    assert 1600 <= width < 2200 and height < 900


def test_the_layer_and_the_scene_are_chosen(make_raster: Any, make_layer: MakeLayer, tmp_path: Path) -> None:
    scene = make_raster(np.full((3, 40, 40), 128, np.uint8))
    layer = make_layer(scene, labels=RED_BLUE, answer=corner_is_red, tile_size="10")
    make_layer(scene, labels=RED_BLUE, answer=corner_is_red, tile_size="20", layer="coarse", append=True)
    several = bimors("preview", layer)
    assert several.exit_code == 2 and "--layer: tiles, coarse" in several.stderr
    assert is_red(drawn(layer, "--layer", "coarse")[390, 390])
    assert not is_red(drawn(layer, "--layer", "tiles", "--overwrite")[390, 390])
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    Path(scene).rename(moved / "scene.tif")
    gone = bimors("preview", layer, "--layer", "tiles", "--overwrite")
    assert gone.exit_code == 2 and "--scene" in gone.stderr
    drawn(layer, "--layer", "tiles", "--overwrite", "--scene", moved / "scene.tif")


def test_what_is_refused(make_raster: Any, make_layer: MakeLayer, tmp_path: Path) -> None:
    scene = make_raster(np.full((3, 40, 40), 128, np.uint8))
    layer = make_layer(scene, labels=RED_BLUE, answer=corner_is_red, tile_size="10")
    other = make_raster(np.zeros((3, 40, 41), np.uint8), name="other.tif")
    for args, told in (
        ((layer, "-o", tmp_path / "a.jpg"), "PNG"),
        ((layer, "-o", layer, "--overwrite"), "PNG"),
        ((layer, "-o", tmp_path / "none" / "a.png"), "not found"),
        ((layer, "--scene", other), "41 x 40 pixels"),
        ((layer, "--layer", "roads"), "--layer: tiles"),
        ((scene, "-o", tmp_path / "a.png"), "bimors classify"),
        ((tmp_path / "none.gpkg",), "does not exist"),
    ):
        result = bimors("preview", *args)
        assert result.exit_code in (1, 2) and result.stdout == "" and told in result.stderr, (args, result.stderr)
        assert "Traceback" not in result.stderr and result.stderr.count("\n") <= 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.tif", "out.gpkg", "scene.tif"]


def test_a_picture_that_is_the_scene_is_not_overwritten(make_raster: Any, make_layer: MakeLayer) -> None:
    scene = make_raster(np.full((3, 40, 40), 128, np.uint8), name="scene.png", driver="PNG")
    before = Path(scene).read_bytes()
    layer = make_layer(scene, labels=RED_BLUE, answer=corner_is_red, tile_size="10")
    result = bimors("preview", layer, "-o", scene, "--overwrite")
    assert result.exit_code == 2 and "is the scene itself" in result.stderr
    assert Path(scene).read_bytes() == before


@pytest.mark.shared
def test_the_real_world(scenes: Path, make_layer: MakeLayer) -> None:
    """36,000 x 18,000 pixels in degrees, from their overviews."""
    layer = make_layer(str(scenes / "world_36000x18000.tif"), tile_size="6000")
    assert bimors("preview", layer).exit_code == 0
    assert Image.open(layer.with_suffix(".png")).size[0] > 1600
