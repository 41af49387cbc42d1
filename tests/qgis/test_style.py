"""QGIS itself opens the GeoPackage over its scene: the style, the map tip, the colour of every tile on the screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from affine import Affine
from PIL import Image

from bimors_cli.labels import Label, Labels
from bimors_cli.output.classified_schema import ClassifiedSchema, TileRow, to_frame
from bimors_cli.output.formats import GPKG, write_layer
from bimors_cli.output.style import CONFIDENCE_COLOURS, FILL_ALPHA, NO_LABEL_ALPHA, colours
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.polygons import tile_polygons
from tests.conftest import MakeRaster
from tests.qgis.conftest import InQgis

pytestmark = pytest.mark.qgis

SIDE = 16  # pixels of a tile
NORTH_UP = Affine(10, 0, 500_000, 0, -10, 4_600_000)
SOUTH_UP = Affine(10, 0, 500_000, 0, 10, 4_600_000)
ROTATED = NORTH_UP @ Affine.rotation(30)
# QGIS rounds when it blends, and premultiplies; levels of 255.
TOLERANCE = 2

Pixels = npt.NDArray[np.int64]


class Map:
    """A scene of tiles of one colour each, and its layer: labels come in turn, the last tile has none."""

    def __init__(
        self,
        folder: Path,
        make_raster: MakeRaster,
        labels: Labels,
        rows: int,
        cols: int,
        transform: Affine,
        name: str,
        *,
        sets: bool = False,
    ) -> None:
        self.labels, self.name, self.sets = labels, name, sets
        grid = Grid(cols * SIDE, rows * SIDE, SIDE, SIDE, SIDE, SIDE)
        self.below: Pixels = np.random.default_rng(1).integers(0, 256, (rows, cols, 3))
        pixels = self.below.repeat(SIDE, axis=0).repeat(SIDE, axis=1).transpose(2, 0, 1).astype(np.uint8)
        self.scene = make_raster(pixels, transform=transform, crs="EPSG:32633", photometric="RGB")
        polygons = tile_polygons(grid, transform)
        self.answers = [labels.names[i % len(labels)] for i in range(len(grid) - 1)] + [None]
        self.confidence = [round(0.03 + 0.9 * i / len(grid), 3) for i in range(len(grid) - 1)] + [None]
        tiles = [self._row(number, tile.row, tile.col) for number, tile in enumerate(grid)]
        spec = ClassifiedSchema(name, "EPSG:32633", labels, label_sets=sets)
        self.file = folder / "out.gpkg"
        write_layer(self.file, [to_frame(tiles, polygons, spec)], GPKG, spec, overwrite=False)
        self.centres = [[polygon.centroid.x, polygon.centroid.y] for polygon in polygons]

    def _row(self, number: int, row: int, col: int) -> TileRow:
        label = self.answers[number]
        return TileRow(
            f"scene/{row}/{col}",
            "scene.tif",
            row,
            col,
            label=label,
            confidence=self.confidence[number],
            reason="low_confidence" if label is None else None,
            caption=None if label is None else f"<i>many</i> trees & number {number}",
            label_set=self._set(number) if self.sets else None,
        )

    def _set(self, number: int) -> tuple[str, ...]:
        """One label, two for every other tile, none for the last tile."""
        label = self.answers[number]
        return () if label is None else (label, self.labels.names[0])[: 1 + number % 2]

    def set_sizes(self) -> list[int]:
        return [len(self._set(number)) for number in range(len(self.answers))]

    def fills(self) -> Pixels:
        """RGBA of each tile, as the palette has it."""
        palette = dict(zip(self.labels.names, colours(self.labels), strict=True))
        return np.array(
            [
                [217, 217, 217, NO_LABEL_ALPHA] if label is None else [*bytes.fromhex(palette[label][1:]), FILL_ALPHA]
                for label in self.answers
            ]
        )

    def blended(self, fills: Pixels) -> npt.NDArray[np.float64]:
        """RGB of each tile over its scene: each channel a weighted mean, by the alpha of the fill."""
        alpha = fills[:, 3:] / 255
        return np.asarray(fills[:, :3] * alpha + self.below.reshape(-1, 3) * (1 - alpha))


def look(in_qgis: InQgis, shown: Map, png: Path, **more: Any) -> dict[str, Any]:
    over_scene = {"scene": shown.scene, "points": shown.centres, **more}
    found: dict[str, Any] = in_qgis("look.py", layer=str(shown.file), name=shown.name, png=str(png), **over_scene)
    return found


NAMES = ("forest", 'river "big" & <wide>', "it's, 🌲", "المدينة القديمة", "=1+1")
FEW = Labels((*(Label(name) for name in NAMES), Label("red roofs", "#ff0000")))
MANY = Labels.of([f"class {i}" for i in range(100)])


@pytest.mark.parametrize(
    ("labels", "rows", "cols", "transform", "name"),
    [
        pytest.param(FEW, 3, 4, NORTH_UP, "tiles", id="north-up"),
        pytest.param(FEW, 3, 4, SOUTH_UP, "Kacheln \"neu\" 'Süd'", id="south-up"),
        pytest.param(FEW, 4, 5, ROTATED, "tiles", id="rotated"),
        pytest.param(MANY, 10, 11, NORTH_UP, "tiles", id="a-hundred-classes"),
    ],
)
def test_every_tile_has_its_colour_over_the_scene(
    tmp_path: Path,
    make_raster: MakeRaster,
    in_qgis: InQgis,
    labels: Labels,
    rows: int,
    cols: int,
    transform: Affine,
    name: str,
) -> None:
    shown = Map(tmp_path, make_raster, labels, rows, cols, transform, name)
    found = look(in_qgis, shown, tmp_path / "map.png")
    assert (found["valid"], found["crs"]) == (True, "EPSG:32633")
    assert (found["renderer"], found["attribute"]) == ("categorizedSymbol", "label")
    assert found["categories"] == [*([name, name] for name in labels.names), ["", "no label"]]
    palette = [[*bytes.fromhex(colour[1:]), FILL_ALPHA] for colour in colours(labels)]
    assert found["colours"] == [*palette, [217, 217, 217, NO_LABEL_ALPHA]]
    assert found["fills"] == shown.fills().tolist()
    assert found["styles"] == ["labels", "confidence"]
    assert found["written"] == (labels is MANY)
    np.testing.assert_allclose(found["pixels"], shown.blended(shown.fills()), atol=TOLERANCE)


def test_the_map_tip_says_what_the_tile_is_and_shows(tmp_path: Path, make_raster: MakeRaster, in_qgis: InQgis) -> None:
    shown = Map(tmp_path, make_raster, FEW, 2, 4, NORTH_UP, "tiles")
    found = in_qgis("look.py", layer=str(shown.file), name="tiles")
    assert found["names"] == [*shown.answers[:-1], "no label: low_confidence"]
    assert found["tips"][0] == "<b>forest</b> 3 %<br>&lt;i>many&lt;/i> trees &amp; number 0"
    assert found["tips"][1].startswith('<b>river "big" &amp; &lt;wide></b> 14 %')
    assert found["tips"][-1] == "<b>no label: low_confidence</b>"


def test_sets_of_several_labels_are_hatched(tmp_path: Path, make_raster: MakeRaster, in_qgis: InQgis) -> None:
    """Every other labelled tile has two labels in its set: lines of its colour, with the scene between them."""
    shown = Map(tmp_path, make_raster, FEW, 2, 4, NORTH_UP, "tiles", sets=True)
    found = look(in_qgis, shown, tmp_path / "map.png", width=1200)
    palette = dict(zip(FEW.names, colours(FEW), strict=True))
    assert found["renderer"] == "categorizedSymbol"
    names = [each for name in FEW.names for each in ([f"0 {name}", name], [f"1 {name}", f"{name} or others"])]
    assert found["categories"] == [*names, ["", "no label"]]
    assert [fill[:3] for fill in found["fills"][:-1]] == [
        list(bytes.fromhex(palette[label][1:])) for label in shown.answers if label is not None
    ]
    pixels = np.asarray(Image.open(tmp_path / "map.png").convert("RGB"), np.int64)
    side = pixels.shape[1] // 4
    blended = shown.blended(shown.fills())
    for number, size in enumerate(shown.set_sizes()):
        row, col = divmod(number, 4)
        # Without the outlines.
        tile = pixels[row * side + 8 : (row + 1) * side - 8, col * side + 8 : (col + 1) * side - 8].reshape(-1, 3)
        bare = np.abs(tile - shown.below.reshape(-1, 3)[number]).max(axis=1) <= TOLERANCE
        if size > 1:
            assert 0.4 < bare.mean() < 0.85, f"tile {number} is not hatched"
        else:
            assert not bare.any() and np.abs(tile - blended[number]).max() <= TOLERANCE
    assert found["tips"][1].endswith('<br>one of: river "big" &amp; &lt;wide> | forest')
    assert "one of" not in found["tips"][0]


def test_the_second_style_shows_confidence(tmp_path: Path, make_raster: MakeRaster, in_qgis: InQgis) -> None:
    shown = Map(tmp_path, make_raster, FEW, 3, 4, NORTH_UP, "tiles")
    found = look(in_qgis, shown, tmp_path / "map.png", style="confidence")
    assert (found["renderer"], found["attribute"]) == ("graduatedSymbol", "confidence")
    assert found["ranges"] == [[pytest.approx(i / 5), pytest.approx((i + 1) / 5)] for i in range(5)]
    steps = [[*bytes.fromhex(colour[1:]), FILL_ALPHA] for colour in CONFIDENCE_COLOURS]
    wanted = [None if share is None else steps[int(5 * share)] for share in shown.confidence]
    assert found["fills"] == wanted
    drawn = np.array([[0, 0, 0, 0] if fill is None else fill for fill in wanted])
    np.testing.assert_allclose(found["pixels"], shown.blended(drawn), atol=TOLERANCE)
    assert "many" in found["tips"][0]


def test_many_labels_are_written_where_they_fit(tmp_path: Path, make_raster: MakeRaster, in_qgis: InQgis) -> None:
    shown = Map(tmp_path, make_raster, MANY, 10, 11, NORTH_UP, "tiles")

    def dark(width: int, *, written: bool) -> int:
        png = tmp_path / f"{width}{written}.png"
        look(in_qgis, shown, png, width=width, written=written, scene=None, points=[])
        return int((np.asarray(Image.open(png).convert("L")) < 60).sum())

    assert dark(1100, written=True) > dark(1100, written=False) + 1000
    # 20 pixels of 96 a inch hold no word.
    assert dark(220, written=True) == dark(220, written=False)
