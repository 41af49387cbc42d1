"""The area of interest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from rasterio.crs import CRS

from bimors_cli.errors import VectorError
from bimors_cli.scene.aoi import Aoi, Rule, read_aoi, tile_mask
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.polygons import reproject, tile_polygons
from bimors_cli.scene.raster import SceneInfo, scene_info
from tests.conftest import MakeRaster

UTM = CRS.from_epsg(32618)
X, Y = 500_000, 4_600_000
WriteVector = Callable[..., str]
RULES: tuple[Rule, ...] = ("any", "centre", "within")


@pytest.fixture
def info(make_raster: MakeRaster) -> SceneInfo:
    """Return a scene of 100 x 80 pixels of 10 m: 500000..501000 by 4599200..4600000 in UTM 18."""
    return scene_info(make_raster(np.zeros((1, 80, 100), np.uint8)))


@pytest.fixture
def write(tmp_path: Path) -> WriteVector:
    """Return a function that writes geometries to a vector file and returns its path."""

    def make(
        geometries: list[Any],
        name: str = "aoi.gpkg",
        *,
        crs: str | None = "EPSG:32618",
        kind: str = "Unknown",
        **options: Any,
    ) -> str:
        path = str(tmp_path / name)
        wkb = np.array([None if g is None else g.wkb for g in geometries], object)
        pyogrio.raw.write(path, wkb, [], [], geometry_type=kind, crs=crs, **options)
        return path

    return make


def box(left: float, bottom: float, right: float, top: float) -> shapely.Polygon:
    """Return a box in metres from the scene's lower left corner."""
    return shapely.box(X + left, Y - 800 + bottom, X + right, Y - 800 + top)


def chosen(spec: str, info: SceneInfo, rule: Rule, tile: int = 20) -> list[str]:
    """Return the ids of the tiles that an area chooses."""
    grid = Grid(info.width, info.height, tile, tile, tile, tile)
    mask = tile_mask(read_aoi(spec, info), tile_polygons(grid, info.transform), rule)
    assert mask.dtype == np.bool_ and mask.shape == (len(grid),)
    return [t.id("s") for t, inside in zip(grid, mask, strict=True) if inside]


def test_rules(write: WriteVector, info: SceneInfo) -> None:
    """Tiles of 200 m; an area from 150 to 450 m in x along the bottom row, worked out by hand."""
    path = write([box(150, 0, 450, 150)])
    assert chosen(path, info, "any") == ["s/3/0", "s/3/1", "s/3/2"]
    assert chosen(path, info, "centre") == ["s/3/1"]
    assert chosen(path, info, "within") == []
    path = write([box(150, 0, 450, 200)], "higher.gpkg")
    assert chosen(path, info, "within") == ["s/3/1"]


def test_touching_is_not_sharing(write: WriteVector, info: SceneInfo) -> None:
    """An area drawn along the tiles' edges chooses those tiles by every rule."""
    path = write([box(200, 200, 400, 400)])
    for rule in RULES:
        assert chosen(path, info, rule) == ["s/2/1"]


def test_parts_are_joined(write: WriteVector, info: SceneInfo) -> None:
    """A tile covered by two polygons together lies within the area."""
    path = write([box(200, 200, 300, 400), box(300, 200, 400, 400), None])
    assert chosen(path, info, "within") == ["s/2/1"]


def test_hole(write: WriteVector, info: SceneInfo) -> None:
    """A hole is outside."""
    ring = shapely.Polygon(box(0, 0, 600, 600).exterior, [box(200, 200, 400, 400).exterior])
    assert "s/2/1" not in chosen(write([ring]), info, "any")
    assert len(chosen(write([ring], "b.gpkg"), info, "any")) == 8


def test_bow_tie_is_repaired(write: WriteVector, info: SceneInfo) -> None:
    """A ring that crosses itself is two triangles, not an error."""
    corners = [(0, 0), (400, 400), (400, 0), (0, 400), (0, 0)]
    bow_tie = shapely.Polygon([(X + x, Y - 800 + y) for x, y in corners])
    assert not bow_tie.is_valid
    assert chosen(write([bow_tie]), info, "any") == ["s/2/0", "s/2/1", "s/3/0", "s/3/1"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(st.tuples(*[st.integers(-200, 1100)] * 2, *[st.integers(1, 500)] * 2), min_size=1, max_size=4))
def test_rules_are_nested_and_ids_do_not_depend_on_the_area(
    info: SceneInfo, boxes: list[tuple[int, int, int, int]]
) -> None:
    """Within implies centre implies any; the chosen tiles are those of the grid, unmoved; exact for boxes."""
    area = shapely.union_all([box(x, y, x + w, y + h) for x, y, w, h in boxes])
    shapely.prepare(area)
    aoi = Aoi("a.gpkg", "a", area)
    grid = Grid(info.width, info.height, 30, 30, 25, 25)
    polygons = tile_polygons(grid, info.transform)
    within, centre, touched = (tile_mask(aoi, polygons, rule) for rule in reversed(RULES))
    assert not (within & ~centre).any() and not (centre & ~touched).any()
    for tile, polygon, inside, some in zip(grid, polygons, within, touched, strict=True):
        share = polygon.intersection(area).area / polygon.area
        assert some == (share > 0) and inside == (share > 1 - 1e-12)
        assert grid.tile(tile.row, tile.col) == tile


def test_reprojected(write: WriteVector, info: SceneInfo) -> None:
    """An area in degrees chooses the same tiles; a long edge follows its curve."""
    area = box(210, 210, 590, 390)
    dense = shapely.segmentize(area, 5)
    degrees = shapely.transform(dense, lambda xy: to_degrees(xy))
    path = write([degrees], "aoi.geojson", crs="EPSG:4326")
    for rule in RULES:
        assert chosen(path, info, rule) == chosen(write([area], f"{rule}.gpkg"), info, rule)


def to_degrees(xy: np.ndarray) -> np.ndarray:
    """Carry UTM 18 to degrees, x first."""
    return np.column_stack(Transformer.from_crs(32618, 4326, always_xy=True).transform(*xy.T))


def test_long_edges_are_followed(write: WriteVector, make_raster: MakeRaster) -> None:
    """The parallel of 50 degrees north bends by 10 km across a UTM zone: an area above it is bounded by it."""
    transform = Affine(1000, 0, 300_000, 0, -1000, 5_580_000)
    big = scene_info(make_raster(np.zeros((1, 50, 400), np.uint8), transform=transform))
    aoi = read_aoi(write([shapely.box(-90, 50, -60, 60)], crs="EPSG:4326"), big)
    polygons = tile_polygons(Grid(400, 50, 5, 5, 5, 5), big.transform)
    lat = [p.centroid.y for p in reproject(polygons, big.crs, CRS.from_epsg(4326))]
    expected = np.array(lat) > 50
    assert 0.1 < expected.mean() < 0.9
    assert (tile_mask(aoi, polygons, "centre") == expected).mean() > 0.998


def test_the_world_is_an_area(write: WriteVector, info: SceneInfo) -> None:
    """What lies far from the scene, where its CRS ends, does not matter."""
    path = write([shapely.box(-180, -90, 180, 90)], crs="EPSG:4326")
    assert len(chosen(path, info, "within")) == 20


def test_across_the_antimeridian(write: WriteVector, make_raster: MakeRaster) -> None:
    """A scene of UTM 60 and an area in two halves."""
    transform = Affine(1000, 0, 770_000, 0, -1000, 40_000)
    info = scene_info(make_raster(np.zeros((1, 80, 100), np.uint8), crs="EPSG:32660", transform=transform))
    halves = [shapely.box(179.5, -2, 180, 2), shapely.box(-180, -2, -179.8, 2)]
    aoi = read_aoi(write(halves, crs="EPSG:4326"), info)
    grid = Grid(100, 80, 5, 5, 5, 5)
    polygons = tile_polygons(grid, info.transform)
    lon = [p.centroid.x % 360 for p in reproject(polygons, info.crs, CRS.from_epsg(4326)) if p.geom_type == "Polygon"]
    assert min(lon) < 179.5 and max(lon) > 180.2
    mask = tile_mask(aoi, polygons, "centre")
    x, y = shapely.get_coordinates(shapely.centroid(polygons)).T
    degrees, _ = Transformer.from_crs(32660, 4326, always_xy=True).transform(x, y)
    expected = (degrees % 360 > 179.5) & (degrees % 360 < 180.2)
    assert (mask == expected).all() and 0 < mask.sum() < len(mask)


def refusal(spec: str, info: SceneInfo) -> tuple[str, str]:
    """Return message and hint of a refusal, after checking that each is one line."""
    with pytest.raises(VectorError) as caught:
        read_aoi(spec, info)
    message, hint = caught.value.message, caught.value.hint
    assert caught.value.exit_code == 2
    assert hint and "\n" not in message and "\n" not in hint
    return message, hint


def test_layers(write: WriteVector, info: SceneInfo, tmp_path: Path) -> None:
    """One layer needs no name; of several one must be named, and a wrong name is answered with the right ones."""
    path = write([box(0, 0, 100, 100)], layer="fields")
    assert read_aoi(path, info).layer == "fields"
    write([box(200, 200, 400, 400)], layer="town: old", append=False)
    message, hint = refusal(path, info)
    assert "several layers" in message and "fields" in hint and "town: old" in hint
    assert read_aoi(f"{path}:fields", info).geometry.area == pytest.approx(10_000)
    message, hint = refusal(f"{path}:forest", info)
    assert "no layer 'forest'" in message and "fields" in hint


def test_style_table_is_no_layer(write: WriteVector, info: SceneInfo) -> None:
    """A GeoPackage with a QGIS style in it has one layer with geometry."""
    path = write([box(0, 0, 100, 100)], layer="fields")
    pyogrio.raw.write(path, None, [np.array(["x"], object)], ["styleName"], layer="layer_styles", geometry_type=None, append=False)  # fmt: skip  # noqa: E501
    assert read_aoi(path, info).layer == "fields"


def test_a_colon_in_the_path(write: WriteVector, info: SceneInfo, tmp_path: Path) -> None:
    """A path with a colon that is there is a path, as on Windows; one that is not there is not there."""
    odd = tmp_path / "C:"
    odd.mkdir()
    path = write([box(0, 0, 100, 100)])
    shutil.move(path, odd / "aoi.gpkg")
    assert read_aoi(str(odd / "aoi.gpkg"), info).layer == "aoi"
    assert read_aoi(f"{odd / 'aoi.gpkg'}:aoi", info).layer == "aoi"
    message, _ = refusal("C:\\nowhere\\aoi.gpkg", info)
    assert message == "C:\\nowhere\\aoi.gpkg not found"


def test_formats(write: WriteVector, info: SceneInfo) -> None:
    """GeoPackage, FlatGeobuf, Shapefile, GeoJSON."""
    for name in ("a.gpkg", "a.fgb", "a.shp", "a.GPKG"):
        path = write([box(200, 200, 400, 400)], name, kind="Polygon", driver=None if name != "a.GPKG" else "GPKG")
        assert chosen(path, info, "within") == ["s/2/1"]


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_refused(write: WriteVector, info: SceneInfo, tmp_path: Path) -> None:
    """What is not an area, with what to do."""
    refusal(str(tmp_path / "nope.gpkg"), info)
    refusal(str(tmp_path), info)
    csv = tmp_path / "aoi.csv"
    csv.write_text("x,y\n1,2\n")
    message, hint = refusal(str(csv), info)
    assert "format" in message and "ogr2ogr" in hint
    broken = tmp_path / "broken.gpkg"
    broken.write_bytes(b"SQLite format 3\0 and no more")
    message, _ = refusal(str(broken), info)
    assert "cannot open" in message
    broken.write_text("not a database")
    message, _ = refusal(str(broken), info)
    assert "wrong signature" in message
    message, _ = refusal(write([], "empty.gpkg"), info)
    assert "no polygon" in message
    message, _ = refusal(write([None, shapely.Polygon()], "null.gpkg"), info)
    assert "no polygon" in message
    message, hint = refusal(write([box(0, 0, 9, 9), shapely.Point(X, Y)], "mixed.gpkg"), info)
    assert "Point" in message and "buffer" in hint
    message, hint = refusal(write([box(0, 0, 9, 9)], "bare.shp", crs=None, kind="Polygon"), info)
    assert "no CRS" in message and "-a_srs" in hint


def test_ogr_vrt_under_another_name(write: WriteVector, info: SceneInfo, tmp_path: Path) -> None:
    """A VRT may run SQL and open addresses: not under the name of a GeoJSON."""
    source = write([box(0, 0, 100, 100)], layer="aoi")
    text = f'<OGRVRTDataSource><OGRVRTLayer name="aoi"><SrcDataSource>{source}</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>'  # fmt: skip  # noqa: E501
    sly = tmp_path / "sly.geojson"
    sly.write_text(text)
    assert len(pyogrio.list_layers(str(sly))) == 1  # GDAL alone would follow it
    message, _ = refusal(str(sly), info)
    assert "OGR VRT" in message


def test_miss(write: WriteVector, info: SceneInfo) -> None:
    """An area elsewhere is a mistake, and both extents are shown; for many scenes it may be allowed."""
    path = write([shapely.box(10, 50, 11, 51)], "elsewhere.geojson", crs="EPSG:4326")
    message, hint = refusal(path, info)
    assert message == f"no feature of {path} intersects scene.tif"
    assert hint.startswith("in EPSG:4326 the features span (10, 50, 11, 51), scene.tif spans (-75, 41.5")
    refusal(write([box(1000, 0, 2000, 800)], "touching.gpkg"), info)
    empty = read_aoi(path, info, allow_miss=True)
    grid = Grid(info.width, info.height, 20, 20, 20, 20)
    for rule in RULES:
        assert not tile_mask(empty, tile_polygons(grid, info.transform), rule).any()


def test_geojson_of_an_old_kind(info: SceneInfo, tmp_path: Path) -> None:
    """A GeoJSON names no CRS: it is in degrees."""
    degrees = shapely.transform(box(200, 200, 400, 400), to_degrees)
    path = tmp_path / "aoi.geojson"
    path.write_text(json.dumps(shapely.geometry.mapping(degrees)))
    assert "s/2/1" in chosen(str(path), info, "centre")


@pytest.mark.shared
def test_real_polygons(scenes: Path) -> None:
    """Training polygons of a Landsat scene as an area."""
    info = scene_info(str(scenes / "polygons" / "landsat7_1999.tif"))
    aoi = read_aoi(str(scenes / "polygons" / "training_data.shp"), info)
    grid = Grid(info.width, info.height, 10, 10, 10, 10)
    polygons = tile_polygons(grid, info.transform)
    counts = [int(tile_mask(aoi, polygons, rule).sum()) for rule in reversed(RULES)]
    assert 0 <= counts[0] < counts[1] < counts[2] < len(grid)
