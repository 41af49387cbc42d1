"""Scenes and the features that were drawn on them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import Transformer

from bimors_cli.errors import InputError, VectorError
from bimors_cli.options.class_names import ClassNames
from bimors_cli.options.scene import SceneOptions
from bimors_cli.pipeline.make_plan import plan_scenes
from bimors_cli.scene.polygons import tile_polygons
from bimors_cli.scene.read import SceneReader, read_tile
from bimors_cli.training.examples.base import Examples
from bimors_cli.training.examples.few_shot import few_shot
from bimors_cli.training.examples.polygons import from_polygons
from bimors_cli.training.examples.scene_tiles import LabelledTile, tile_examples
from tests.conftest import MakeRaster

X, Y = 500_000, 4_600_000  # the scene's upper left corner; 10 m pixels
TILES = SceneOptions(tile_size="10")
Draw = Callable[..., str]


@pytest.fixture
def scene(make_raster: MakeRaster) -> str:
    """A scene of 120 x 80 pixels: 12 x 8 tiles of 10."""
    return make_raster(np.random.default_rng(0).integers(1, 256, (3, 80, 120), dtype=np.uint8))


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """A function that writes features in pixels of the scene to a vector file, with the values of a field."""

    def make(
        shapes: list[Any],
        values: list[Any],
        name: str = "train.gpkg",
        crs: Any = 32618,
        field: str = "class",
        **more: Any,
    ) -> str:
        def to_map(xy: np.ndarray) -> np.ndarray:
            place = np.c_[X + 10 * xy[:, 0], Y - 10 * xy[:, 1]]
            return np.c_[Transformer.from_crs(32618, crs or 32618, always_xy=True).transform(*place.T)]

        if crs != 32618:  # straight edges are curves there
            shapes = [shapely.segmentize(shape, 1) for shape in shapes]
        moved = [None if shape is None else shapely.transform(shape, to_map) for shape in shapes]
        frame = geopandas.GeoDataFrame({field: values}, geometry=moved, crs=crs)
        frame.to_file(tmp_path / name, **more)
        return str(tmp_path / name)

    return make


def box(col: int, row: int, width: int = 1, height: int = 1) -> shapely.Polygon:
    """Whole tiles, in pixels."""
    return shapely.box(10 * col, 10 * row, 10 * (col + width), 10 * (row + height))


def labelled(examples: Examples) -> dict[str, str]:
    return {example.source_id: examples.labels.names[example.label] for example in examples.examples}


def take(
    scene: str | list[str], path: str, field: str = "class", options: SceneOptions = TILES, **more: Any
) -> Examples:
    return from_polygons(
        [scene] if isinstance(scene, str) else scene, path, field, image_size=8, options=options, **more
    )


def test_tiles_under_polygons(scene: str, draw: Draw) -> None:
    examples = take(scene, draw([box(0, 0, 2), box(3, 2), shapely.box(40, 20, 44, 30)], ["water", "forest", "forest"]))
    assert examples.labels.names == ("forest", "water") and examples.name == "scene"
    assert labelled(examples) == {"scene/0/0": "water", "scene/0/1": "water", "scene/2/3": "forest"}
    assert examples.description["source"] == "polygons" and examples.description["field"] == "class"
    more = take(scene, draw([box(0, 0), shapely.box(40, 20, 44, 30)], ["water", "forest"], "b.gpkg"), min_overlap=0.4)
    assert labelled(more) == {"scene/0/0": "water", "scene/2/4": "forest"}


def test_the_picture_is_what_classify_sees(make_raster: MakeRaster, draw: Draw) -> None:
    """Stretched by the whole scene, padded at the edge, with the bands that were chosen."""
    data = np.random.default_rng(0).integers(0, 5000, (4, 77, 113), dtype=np.uint16)
    scene = make_raster(data)
    options = SceneOptions(tile_size="10", bidx=(4, 2, 1))
    examples = take(scene, draw([box(0, 0), box(11, 7, 2, 2)], [1, 2]), options=options)
    (plan,) = plan_scenes([scene], options)
    assert len(examples) == 2
    for index, place in enumerate((0, len(plan.grid) - 1)):
        with SceneReader(plan.info, plan.grid, plan.bands, plan.stretch, plan.nodata) as reader:
            expected = read_tile(reader, plan.grid[place], 8).image
        image = examples.images.read(index)
        assert image is not None and image.shape == (3, 8, 8) and (image == expected).all()
        only = examples.take([index]).images.read(0)
        assert only is not None and (only == expected).all()


@pytest.mark.parametrize("crs", [4326, 3857, 32617, 2263])
@pytest.mark.parametrize("name", ["train.gpkg", "train.geojson"])
def test_any_crs(scene: str, draw: Draw, crs: int, name: str) -> None:
    shapes = [shapely.box(1, 1, 29, 19), shapely.box(41, 41, 79, 79)]
    here = labelled(take(scene, draw(shapes, ["a", "b"])))
    if name == "train.geojson" and crs != 4326:
        crs = 4326
    assert labelled(take(scene, draw(shapes, ["a", "b"], f"other_{name}", crs=crs))) == here and len(here) == 22


@pytest.mark.parametrize(
    "transform",
    [Affine(10, 0, X, 0, 10, Y - 800), Affine.translation(X, Y) @ Affine.rotation(30) @ Affine.scale(7, -4)],
)
def test_any_transform(make_raster: MakeRaster, tmp_path: Path, transform: Affine) -> None:
    scene = make_raster(np.ones((3, 80, 120), np.uint8), transform=transform)
    corners = [transform @ xy for xy in ((10, 20), (30, 20), (30, 30), (10, 30))]
    other = [transform @ xy for xy in ((100, 70), (110, 70), (110, 80), (100, 80))]
    frame = geopandas.GeoDataFrame(
        {"class": ["a", "b"]}, geometry=list(map(shapely.Polygon, (corners, other))), crs=32618
    )
    frame.to_file(tmp_path / "t.gpkg")
    examples = take(scene, str(tmp_path / "t.gpkg"), min_overlap=1.0)
    assert labelled(examples) == {"scene/2/1": "a", "scene/2/2": "a", "scene/7/10": "b"}


def test_values_of_any_type_are_labels(scene: str, draw: Draw) -> None:
    shapes = [box(0, 0), box(1, 0), box(2, 0)]
    assert take(scene, draw(shapes, [10, 9, 10])).labels.names == ("10", "9")
    assert take(scene, draw(shapes, [1.0, 2.5, np.nan], "real.gpkg")).labels.names == ("1", "2.5")
    assert take(scene, draw(shapes, [True, False, True], "bool.gpkg")).labels.names == ("False", "True")
    assert take(scene, draw(shapes, [" bare land", "été", "bare land"], "t.gpkg")).labels.names == ("bare land", "été")


def test_null_classes_and_geometries_are_left_out(scene: str, draw: Draw, caplog: pytest.LogCaptureFixture) -> None:
    path = draw([box(0, 0), box(1, 0), box(2, 0), box(3, 0), None], ["a", "b", None, " ", "c"])
    assert labelled(take(scene, path)) == {"scene/0/0": "a", "scene/0/1": "b"}
    assert "skipped 2 features with null in field class" in caplog.text


def test_a_layer_of_several(scene: str, draw: Draw) -> None:
    path = draw([box(0, 0), box(1, 0)], ["a", "b"], layer="first")
    draw([box(5, 5), box(6, 5)], ["a", "b"], layer="second", mode="a")
    with pytest.raises(InputError, match="several layers"):
        take(scene, path)
    assert set(labelled(take(scene, f"{path}:second"))) == {"scene/5/5", "scene/5/6"}


def test_invalid_polygons_are_repaired(scene: str, draw: Draw, caplog: pytest.LogCaptureFixture) -> None:
    bow_tie = shapely.Polygon([(0, 0), (20, 20), (20, 0), (0, 20), (0, 0)])
    found = labelled(take(scene, draw([bow_tie, box(5, 5)], ["a", "b"]), min_overlap=0.4))
    assert set(found) == {"scene/0/0", "scene/0/1", "scene/1/0", "scene/1/1", "scene/5/5"}
    assert "1 invalid geometries" in caplog.text


def test_lines_and_points(scene: str, draw: Draw) -> None:
    lines = [shapely.LineString([(1, 5), (32, 5)]), shapely.MultiLineString([[(1, 55), (9, 55)], [(91, 55), (99, 55)]])]
    assert labelled(take(scene, draw(lines, ["road", "river"]))) == {
        **{f"scene/0/{col}": "road" for col in range(3)},
        "scene/5/0": "river",
        "scene/5/9": "river",
    }
    points = [shapely.Point(5, 5), shapely.MultiPoint([(15, 5), (25, 5)])]
    found = labelled(take(scene, draw(points, ["tree", "house"], "points.gpkg", crs=4326)))
    assert found == {"scene/0/0": "tree", "scene/0/1": "house", "scene/0/2": "house"}


def test_background_is_what_no_feature_reaches(scene: str, draw: Draw) -> None:
    path = draw([box(0, 0, 6, 8), shapely.box(60, 0, 62, 10)], ["field", "field"])
    examples = take(scene, path, background="other")
    counts = Counter(labelled(examples).values())
    assert counts == {"field": 48, "other": 47} and "scene/0/6" not in labelled(examples)
    assert examples.labels.names == ("field", "other")
    known = take(scene, draw([box(0, 0), box(1, 0)], ["a", "rest"], "b.gpkg"), background="rest")
    assert known.labels.names == ("a", "rest") and Counter(labelled(known).values()) == {"a": 1, "rest": 95}


def test_tiles_without_data_are_no_examples(make_raster: MakeRaster, draw: Draw) -> None:
    data = np.full((3, 80, 120), 9, np.uint8)
    data[:, :, 10:16] = 0
    scene = make_raster(data, nodata=0)
    path = draw([box(0, 0, 12)], ["a"])
    assert "scene/0/1" not in labelled(take(scene, path, background="b"))
    loose = SceneOptions(tile_size="10", min_valid=0.4)
    assert "scene/0/1" in labelled(take(scene, path, background="b", options=loose))
    filled = SceneOptions(tile_size="10", nodata="none")
    assert "scene/0/1" in labelled(take(scene, path, background="b", options=filled))


def test_blocks_are_squares_of_four_tiles(scene: str, draw: Draw) -> None:
    path = draw([box(0, 0, 12, 4), box(0, 4, 12, 4)], ["a", "b"])
    examples = take(scene, path)
    blocks = {example.source_id: example.spatial_block for example in examples.examples}
    assert blocks["scene/0/0"] == blocks["scene/3/3"] == "scene/0/0"
    assert blocks["scene/3/4"] == "scene/0/1" and blocks["scene/4/3"] == "scene/1/0" and len(set(blocks.values())) == 6
    halves = take(scene, path, options=SceneOptions(tile_size="10", overlap="50%"))
    first = {example.source_id for example in halves.examples if example.spatial_block == "scene/0/0"}
    assert first == {f"scene/{row}/{col}" for row in range(7) for col in range(7)} & set(labelled(halves))
    sample = few_shot(examples, 4, 0)
    sides = [{examples.examples[i].spatial_block for i in rows} for rows in (sample.train, sample.validation)]
    assert sides[0] and sides[1] and not sides[0] & sides[1]


def test_several_scenes(make_raster: MakeRaster, draw: Draw, caplog: pytest.LogCaptureFixture) -> None:
    data = np.ones((3, 80, 120), np.uint8)
    west = make_raster(data, name="west.tif")
    east = make_raster(data * 2, name="east.tif", transform=Affine(10, 0, X + 1200, 0, -10, Y))
    north = make_raster(data * 3, name="north.tif", transform=Affine(10, 0, X, 0, -10, Y + 9000))
    path = draw([box(11, 0, 2), box(0, 5)], ["a", "b"])
    examples = take([west, east, north], path, background="rest")
    found = labelled(examples)
    assert found["west/0/11"] == found["east/0/0"] == "a" and found["east/5/0"] == "rest"
    assert (
        not any(where.startswith("north") for where in found)
        and "no feature intersects north.tif, which is skipped" in caplog.text
    )
    values = {e.source_id: examples.images.read(i)[0, 0, 0] for i, e in enumerate(examples.examples)}  # type: ignore[index]
    assert (values["west/0/11"], values["east/0/0"]) == (1, 2)
    with pytest.raises(InputError, match="have the same name"):
        take([west, west], path)


def test_scenes_of_one_place_share_their_blocks(make_raster: MakeRaster, draw: Draw) -> None:
    """A tile must not teach what its own ground, a year later, then validates."""
    data = np.ones((3, 80, 120), np.uint8)
    degrees = Affine(1.2e-4, 0, -75, 0, -0.9e-4, 41.5505)
    years = [make_raster(data, name="2014.tif"), make_raster(data, name="2018.tif")]
    other = make_raster(data, name="degrees.tif", crs="EPSG:4326", transform=degrees)
    shifted = make_raster(data, name="shifted.tif", transform=Affine(10, 0, X - 400, 0, -10, Y))
    moon = make_raster(data, name="moon.tif", crs="+proj=longlat +R=1737400 +no_defs", transform=degrees)
    path = draw([box(-20, -20, 26, 60), box(6, -20, 40, 60)], ["a", "b"])
    examples = take([*years, other, shifted], path)
    blocks = {example.source_id: example.spatial_block for example in examples.examples}
    for where, block in blocks.items():
        scene, row, col = where.split("/")
        if scene == "2018":
            assert block == blocks[f"2014/{row}/{col}"]
        elif scene == "shifted":
            assert block == f"2014/{int(row) // 4}/{int(col) // 4 - 1}"
    assert (
        len({block for where, block in blocks.items() if where.startswith("degrees")} & {"2014/0/0", "2014/1/2"}) == 2
    )
    (plan, far) = plan_scenes([years[0], moon], TILES)
    tiles = [LabelledTile(0, 0, 0), LabelledTile(1, 0, 1)]
    assert tile_examples((plan, far), tiles)[0].spatial_block == "2014/0/0"


@pytest.mark.parametrize("values", [[0.0, 1.0, 1.0], [0, 1, 1], ["0", "1.0", "01"], [0.0, 1.0, None]])
def test_names_of_codes(scene: str, draw: Draw, values: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    path = draw([box(0, 0), box(3, 2), box(4, 2)], values)
    names = ClassNames.of({0: "water", 1: "forest", 2: "town"})
    examples = take(scene, path, names=names)
    assert examples.labels.names == ("forest", "water") and labelled(examples)["scene/2/3"] == "forest"
    assert not any("--class-names" in message for message in caplog.messages)
    numeric = not isinstance(values[0], str)
    assert not numeric or take(scene, path).labels.names == ("0", "1")
    assert [m for m in caplog.messages if "--class-names" in m] == (
        [f"{path}, class: class codes without names: give --class-names FILE"] if numeric else []
    )


def test_codes_without_a_name(scene: str, draw: Draw, caplog: pytest.LogCaptureFixture) -> None:
    path = draw([box(0, 0), box(3, 2), box(5, 5), box(6, 5)], [1, 2, 7, 3])
    examples = take(scene, path, names=ClassNames.of({1: "water", 2: "forest", 3: "water"}))
    assert labelled(examples) == {"scene/0/0": "water", "scene/2/3": "forest", "scene/5/6": "water"}
    assert f"{path}, class: skipped features of codes without a name: 7; add them to --class-names" in caplog.messages
    with pytest.raises(VectorError, match=r"none of its codes has a name \(other.csv\)") as caught:
        take(scene, path, names=ClassNames((("9", "town"),), "other.csv"))
    assert caught.value.hint == "the codes at the scenes are 1, 2, 3, 7"


@pytest.mark.shared
def test_endmembers_of_rondonia(shared: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Points with classes 0.0 to 3.0."""
    folder = shared / "scenes" / "labelled" / "rondonia"
    scene, points = str(folder / "LC08_232066_20190727.tif"), str(folder / "endmembers.shp")
    options = SceneOptions(tile_size="4", bidx=(3, 2, 1))
    examples = take(scene, points, options=options)
    assert examples.labels.names == ("0", "1", "2", "3")
    assert [m for m in caplog.messages if "--class-names" in m] == [
        f"{points}, class: class codes without names: give --class-names FILE"
    ]
    names = ClassNames.of({0: "water", 1: "town", 2: "forest", 3: "pasture"})
    named = take(scene, points, options=options, names=names)
    assert named.labels.names == ("forest", "pasture", "town", "water") and len(named) == len(examples)
    groups = {example.group for example in named.examples}
    assert groups <= {f"feature {i}" for i in range(91)} and len(groups) > 20


def test_tiles_of_one_feature_are_one_group(scene: str, draw: Draw) -> None:
    """The FIDs of a GeoPackage count from 1; features of a class that touch are one."""
    shapes = [box(0, 0, 2), box(2, 0), box(5, 5), box(8, 1), box(9, 1)]
    examples = take(scene, draw(shapes, ["a", "a", "a", "b", "a"]), background="rest")
    groups = {example.source_id: example.group for example in examples.examples}
    assert groups["scene/0/0"] == groups["scene/0/1"] == groups["scene/0/2"] == "feature 1"
    assert groups["scene/5/5"] == "feature 3" and groups["scene/1/8"] == "feature 4"
    assert groups["scene/1/9"] == "feature 5"
    blocks = {e.source_id: e.spatial_block for e in examples.examples}
    assert groups["scene/7/7"] == blocks["scene/7/7"] == "scene/1/1"


def test_across_the_antimeridian(make_raster: MakeRaster, tmp_path: Path) -> None:
    transform = Affine(1000, 0, 770_000, 0, -1000, 40_000)
    scene = make_raster(np.ones((3, 80, 100), np.uint8), crs="EPSG:32660", transform=transform)
    shapes = [shapely.box(179.5, -0.2, 179.9, 0.2), shapely.box(-179.9, -0.2, -179.8, 0.2)]
    geopandas.GeoDataFrame({"class": ["west", "east"]}, geometry=shapes, crs=4326).to_file(tmp_path / "line.gpkg")
    found = labelled(take(scene, str(tmp_path / "line.gpkg"), options=SceneOptions(tile_size="5")))
    columns = {
        name: {int(where.split("/")[2]) for where, label in found.items() if label == name} for name in found.values()
    }
    assert max(columns["west"]) < min(columns["east"]) and len(found) > 50


def test_what_cannot_be_read_is_left_to_the_draw(scene: str, draw: Draw, caplog: pytest.LogCaptureFixture) -> None:
    examples = take(scene, draw([box(0, 0, 12, 4), box(0, 4, 12, 4)], ["a", "b"]))
    size = os.path.getsize(scene)
    os.truncate(scene, size // 2)
    with pytest.raises(InputError, match="images cannot be read: scene/"):
        few_shot(examples, 4, 0)
    assert "cannot read row" in caplog.text


def test_refused(scene: str, draw: Draw, tmp_path: Path) -> None:
    def refusal(path: str, field: str = "class", **more: Any) -> str:
        with pytest.raises(InputError) as caught:
            take(scene, path, field, **more)
        assert caught.value.exit_code == 2 and caught.value.hint
        assert "\n" not in caught.value.message + caught.value.hint
        return f"{caught.value.message} | {caught.value.hint}"

    good = draw([box(0, 0), box(1, 0)], ["a", "b"])
    assert "no field 'klass' | did you mean 'class'? its fields are class (text)" in refusal(good, "klass")
    assert "not found" in refusal(str(tmp_path / "none.gpkg"))
    with pytest.raises(InputError, match="--min-overlap 2: must be between"):
        take(scene, good, min_overlap=2)
    empty = tmp_path / "empty.gpkg"
    geopandas.GeoDataFrame({"class": []}, geometry=[], crs=32618).to_file(empty, geometry_type="Polygon")
    assert "holds no feature" in refusal(str(empty))
    far = refusal(draw([box(900, 900), box(905, 900)], ["a", "b"], "far.gpkg", crs=4326))
    assert "no feature of" in far and "intersects scene.tif" in far
    assert "in EPSG:4326 the features span (" in far and "scene.tif spans (-75, 41.5" in far
    mixed = draw([box(0, 0), box(1, 0), shapely.Point(5, 5)], ["a", "b", "a"], "mixed.gpkg")
    assert "mixes geometry types: 1 points, 2 polygons" in refusal(mixed)
    parts = [shapely.LineString([(0, 0), (9, 9)]), shapely.Point(5, 5)]
    collection = draw([shapely.GeometryCollection(parts)], ["a"], "all.gpkg")
    assert "mixes geometry types: 1 collections" in refusal(collection)
    assert "null in all features" in refusal(draw([box(0, 0), box(1, 0)], [None, None], "null.gpkg"))
    assert "only the class 'a' found, at least two are needed" in (one := refusal(draw([box(0, 0)], ["a"], "one.gpkg")))
    assert "--background" in one
    assert "two spellings of one class" in refusal(draw([box(0, 0), box(1, 0)], ["Lake", "lake"], "case.gpkg"))
    small = draw([shapely.box(1, 1, 3, 3), shapely.box(21, 1, 23, 3)], ["a", "b"], "small.gpkg")
    assert "no class covers a fraction of 0.5" in refusal(small)


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_no_crs_and_another_world(scene: str, draw: Draw, make_raster: MakeRaster) -> None:
    with pytest.raises(VectorError, match="has no CRS"):
        take(scene, draw([box(0, 0), box(1, 0)], ["a", "b"], "bare.shp", crs=None))
    moon = make_raster(np.ones((3, 80, 120), np.uint8), name="moon.tif", crs="+proj=longlat +R=1737400 +no_defs")
    with pytest.raises(InputError):
        take(moon, draw([box(0, 0), box(1, 0)], ["a", "b"]))


def test_a_class_that_no_tile_shows_is_warned_of(scene: str, draw: Draw, caplog: pytest.LogCaptureFixture) -> None:
    examples = take(scene, draw([box(0, 0), box(1, 0), shapely.box(21, 1, 23, 3)], ["a", "b", "speck"]))
    assert "class 'speck' covers no tile enough" in caplog.text
    with pytest.raises(InputError, match="class 'speck' has no example"):
        few_shot(examples, 1, 0)


def test_nothing_is_left_beside_the_file(scene: str, draw: Draw) -> None:
    path = draw([box(0, 0), box(1, 0)], ["a", "b"])
    before = sorted(os.listdir(Path(path).parent))
    take(scene, path)
    assert sorted(os.listdir(Path(path).parent)) == before


@pytest.mark.shared
def test_the_real_landsat_scene_and_its_polygons(scenes: Path) -> None:
    """The same answer as geopandas' overlay of tiles and polygons in map coordinates."""
    scene, polygons = (str(scenes / "polygons" / name) for name in ("landsat7_1999.tif", "training_data.shp"))
    options = SceneOptions(tile_size="2", overlap="1", bidx=(3, 2, 1))
    examples = take(scene, polygons, options=options, min_overlap=0.2)
    (plan,) = plan_scenes([scene], options)
    tiles = geopandas.GeoDataFrame(
        {"tile": [tile.id("landsat7_1999") for tile in plan.grid]},
        geometry=tile_polygons(plan.grid, plan.info.transform),
        crs=plan.info.crs.to_wkt(),
    )
    tiles["whole"] = tiles.area
    covered = tiles.overlay(geopandas.read_file(polygons).dissolve("class", as_index=False)[["class", "geometry"]])
    covered["share"] = covered.area / covered["whole"]
    best = covered.sort_values("share").groupby("tile").last()
    expected = best[best["share"] >= 0.2]["class"].to_dict()
    assert labelled(examples) == expected and set(expected.values()) == set(examples.labels.names)
    assert set(examples.labels.names) == {"forest", "barren", "herbaceous", "water", "urban"}
    sample = few_shot(examples, 4, 0)
    sides = [{examples.examples[i].spatial_block for i in rows} for rows in (sample.train, sample.validation)]
    assert not sides[0] & sides[1] and {examples.examples[i].label for i in sample.validation} == set(range(5))


def test_points_in_a_table_are_those_in_a_geopackage(
    scene: str, draw: Draw, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    points = [shapely.Point(5, 5), shapely.Point(35, 25), shapely.Point(115, 75), shapely.Point(9000, 5)]
    expected = labelled(take(scene, draw(points, ["water", "forest", "forest", "water"])))
    assert len(expected) == 3
    caplog.clear()
    places = [(X + 10 * point.x, Y - 10 * point.y) for point in points]
    rows = [f"{x:.2f},{y:.2f},{c}" for (x, y), c in zip(places, ["water", "forest", "forest", "water"], strict=True)]
    (tmp_path / "metres.csv").write_text("\n".join(["Easting,Northing,class", *rows[:2], ",,lost", *rows[2:]]))
    found = take(scene, str(tmp_path / "metres.csv"), points_crs="EPSG:32618")
    assert labelled(found) == expected and found.description["source"] == "points"
    assert "skipped 1 of 5 rows without coordinates" in caplog.text
    to_degrees = Transformer.from_crs(32618, 4326, always_xy=True)
    degrees = [to_degrees.transform(x, y) for x, y in places]
    text = "".join(f"{x:.8f};{y:.8f};{c}\n".replace(".", ",") for (x, y), c in zip(degrees, [1, 2, 2, 1], strict=True))
    (tmp_path / "degrees.csv").write_text("lon;lat;code\n" + text)
    names = ClassNames.of({1: "water", 2: "forest"})
    assert labelled(take(scene, str(tmp_path / "degrees.csv"), "code", names=names)) == expected
    with pytest.raises(VectorError, match="the CRS of the coordinates"):
        take(scene, str(tmp_path / "metres.csv"))
