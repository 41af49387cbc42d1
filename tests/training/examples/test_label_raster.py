"""Scenes and the land cover map that labels them."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.warp import Resampling, reproject

from bimors_cli.errors import InputError, ReadError, SceneError
from bimors_cli.labels import Labels
from bimors_cli.options.class_names import ClassNames
from bimors_cli.options.scene import SceneOptions
from bimors_cli.output.label_raster import RasterSpec, write_raster
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.raster import open_scene
from bimors_cli.training.examples import tile_codes as module
from bimors_cli.training.examples.base import Examples
from bimors_cli.training.examples.label_raster import from_label_raster
from bimors_cli.training.examples.tile_codes import NO_CLASS, CodeClasses, tile_codes
from tests.conftest import NORTH_UP, MakeRaster

TILES = SceneOptions(tile_size="10")
NAMES = ClassNames.of({1: "water", 2: "forest", 3: "town"})


@pytest.fixture
def scene(make_raster: MakeRaster) -> str:
    """A scene of 60 x 40 pixels: 6 x 4 tiles of 10."""
    return make_raster(np.random.default_rng(0).integers(1, 256, (3, 40, 60), dtype=np.uint8))


def halves(left: int = 1, right: int = 2, dtype: Any = np.uint8) -> npt.NDArray[Any]:
    """Codes on the grid of the scene: the left half, the right half."""
    codes = np.full((1, 40, 60), left, dtype)
    codes[:, :, 30:] = right
    return codes


def take(scenes: str | list[str], raster: str, **more: Any) -> Examples:
    options = {"image_size": 8, "options": TILES, **more}
    return from_label_raster([scenes] if isinstance(scenes, str) else scenes, raster, **options)


def labelled(examples: Examples) -> dict[str, str]:
    return {example.source_id: examples.labels.names[example.label] for example in examples.examples}


def test_tiles_of_a_map_on_the_same_grid(scene: str, make_raster: MakeRaster) -> None:
    codes = halves()
    codes[0, :10, :4] = 3  # 40 % of the first tile
    codes[0, 10:20, :6] = 3  # 60 % of the one below
    examples = take(scene, make_raster(codes, name="map.tif"), names=NAMES)
    assert examples.labels.names == ("water", "forest", "town") and examples.name == "scene" and len(examples) == 24
    found = labelled(examples)
    assert (found["scene/0/0"], found["scene/1/0"], found["scene/0/5"]) == ("water", "town", "forest")
    assert examples.examples[0].group == examples.examples[0].spatial_block == "scene/0/0"
    image = examples.images.read(0)
    assert image is not None and image.shape == (3, 8, 8)
    assert examples.description["source"] == "label raster" and examples.description["minimum overlap"] == "0.5"
    assert examples.description["tiles"] == "water 11, forest 12, town 1"
    pure = take(scene, make_raster(codes, name="map.tif"), names=NAMES, min_overlap=0.7)
    assert set(found) - set(labelled(pure)) == {"scene/0/0", "scene/1/0"}
    assert pure.labels.names == ("water", "forest")


@pytest.mark.parametrize("transform", [Affine(30, 0, 499_900, 0, -30, 4_600_200), Affine(3, 0, 500_000, 0, -3, 4.6e6)])
@pytest.mark.parametrize("crs", ["EPSG:32618", "EPSG:32617", "EPSG:3857"])
def test_another_grid_and_crs(
    scene: str, make_raster: MakeRaster, monkeypatch: pytest.MonkeyPatch, transform: Affine, crs: str
) -> None:
    """The same as the whole map reprojected at once, then counted; read in pieces or not."""
    codes = np.random.default_rng(1).integers(1, 4, (20, 20)).astype(np.uint8).repeat(12, 0).repeat(12, 1)
    if crs != "EPSG:32618":
        corner = rasterio.warp.transform("EPSG:32618", crs, [500_000 - 100], [4_600_000 + 100])
        transform = Affine(transform.a, 0, corner[0][0], 0, transform.e, corner[1][0])
    path = make_raster(codes[None], name="map.tif", crs=crs, transform=transform)
    exact = np.zeros((40, 60), np.uint8)
    reproject(
        codes, exact, src_transform=transform, src_crs=crs, dst_transform=NORTH_UP, dst_crs="EPSG:32618",
        resampling=Resampling.nearest,
    )  # fmt: skip
    found = labelled(take(scene, path, min_overlap=0, names=NAMES))
    monkeypatch.setattr(module, "_PIXELS", 200)
    assert labelled(take(scene, path, min_overlap=0, names=NAMES)) == found
    names = {1: "water", 2: "forest", 3: "town"}
    for row in range(4):
        for col in range(6):
            counts = Counter(exact[10 * row : 10 * row + 10, 10 * col : 10 * col + 10].ravel().tolist())
            del counts[0]
            expected = names[max(counts, key=lambda code: (counts[code], -code))] if counts else None
            first, second, *_ = [*sorted(counts.values(), reverse=True), 0, 0]
            if first - second > 3:  # GDAL approximates a transformation to an eighth of a pixel
                assert found.get(f"scene/{row}/{col}") == expected


CODES = st.integers(0, 4)


@given(
    st.lists(st.lists(CODES, min_size=11, max_size=11), min_size=7, max_size=7),
    st.sampled_from([Grid(11, 7, 4, 3, 4, 3), Grid(11, 7, 4, 4, 2, 3), Grid(11, 7, 20, 20, 20, 20)]),
    st.sampled_from([1, 11, 25, 1000]),
)
def test_counted_pixel_by_pixel(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[int]], grid: Grid, piece: int
) -> None:
    """Code 0 is nodata, 4 has no name, 2 and 3 are one class."""
    path = str(tmp_path_factory.mktemp("maps") / "map.tif")
    codes = np.array(rows, np.uint8)
    with rasterio.open(
        path, "w", driver="GTiff", width=11, height=7, count=1, dtype="uint8", crs="EPSG:32618", transform=NORTH_UP,
        nodata=0,
    ) as dataset:  # fmt: skip
        dataset.write(codes[None])
    names = {1: "a", 2: "b", 3: "b"}
    classes = CodeClasses(names.get)
    with open_scene(path) as labels, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PIXELS", piece)
        label, fraction = tile_codes(labels, labels.info, grid, classes)
    names_of = {number: name for name, number in classes.numbers.items()}
    assert classes.unnamed == ({4} if (codes == 4).any() else set())
    for tile, number, part in zip(grid, label.tolist(), fraction.tolist(), strict=True):
        inside = codes[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
        counts = {"a": (inside == 1).sum(), "b": ((inside == 2) | (inside == 3)).sum()}
        if not sum(counts.values()):
            assert number == NO_CLASS and part == 0
            continue
        best = max(counts, key=lambda name: counts[name])  # of equal ones the lowest code, which is a
        assert names_of[number] == best and part == pytest.approx(counts[best] / inside.size)


@pytest.mark.parametrize("how", ["nodata", "mask", "unnamed", "outside", "nan"])
def test_pixels_without_a_label_count_in_the_size_of_a_tile(scene: str, make_raster: MakeRaster, how: str) -> None:
    """60 % of the first tile is unlabelled, 40 % of the second; the labelled rest is water."""
    codes = halves(dtype=np.float32 if how == "nan" else np.uint8)
    hole = np.zeros((40, 60), np.bool_)
    hole[:, :6] = hole[:, 16:20] = True
    more: dict[str, Any] = {}
    if how == "mask":
        more["mask"] = ~hole
    elif how == "outside":
        more["transform"] = Affine(10, 0, 500_060, 0, -10, 4_600_000)
        codes = codes[:, :, 6:]
    else:
        codes[:, hole] = {"nodata": 77, "unnamed": 9, "nan": np.nan}[how]
        more = {"nodata": 77} if how == "nodata" else {}
    found = labelled(take(scene, make_raster(codes, name="map.tif", **more), names=NAMES))
    assert "scene/0/0" not in found and found["scene/0/1"] == "water" and found["scene/0/5"] == "forest"
    assert "scene/0/0" in labelled(
        take(scene, make_raster(codes, name="map.tif", **more), names=NAMES, min_overlap=0.4)
    )


def test_zero_is_a_code_where_the_map_is_and_nothing_elsewhere(scene: str, make_raster: MakeRaster) -> None:
    """A map without nodata that covers half of the scene: zeros of the warper are no labels."""
    codes = halves(0, 1)[:, :, 10:50]
    path = make_raster(codes, name="map.tif", transform=Affine(10, 0, 500_100, 0, -10, 4_600_000))
    found = labelled(take(scene, path, names=ClassNames.of({0: "water", 1: "forest"})))
    assert "scene/0/0" not in found and "scene/0/5" not in found and found["scene/0/1"] == "water"


def test_names_of_codes(scene: str, make_raster: MakeRaster, caplog: pytest.LogCaptureFixture) -> None:
    path = make_raster(halves(11, 21), name="map.tif")
    assert take(scene, path).labels.names == ("11", "21")
    assert caplog.messages == ["map.tif: class codes without names: give --class-names FILE"]
    Path(f"{path}.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><CategoryNames>'
        + "".join(f"<Category>{'marsh' if i == 21 else 'lake' if i == 11 else ''}</Category>" for i in range(22))
        + "</CategoryNames></PAMRasterBand></PAMDataset>"
    )
    caplog.clear()
    found = take(scene, path)
    assert found.labels.names == ("lake", "marsh") and found.description["class names"] == "category names"
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(1, class_11="open water", class_21="town", class_31="barren land")
    found = take(scene, path)
    assert found.labels.names == ("open water", "town") and found.description["class names"] == "band tags"
    assert take(scene, path, names=ClassNames.of({21: "Stadt", 11: "See"})).labels.names == ("See", "Stadt")
    assert caplog.messages == []


def test_several_codes_are_one_class(scene: str, make_raster: MakeRaster) -> None:
    codes = halves(21, 11)
    codes[0, :20] += 1
    names = ClassNames.of({21: "town", 22: "town", 11: "water", 12: "water", 50: "ice"})
    assert Counter(labelled(take(scene, make_raster(codes, name="map.tif"), names=names)).values()) == {
        "water": 12,
        "town": 12,
    }
    assert take(scene, make_raster(codes, name="map.tif"), names=names).labels.names == ("water", "town")


def test_what_is_left_out_is_said(scene: str, make_raster: MakeRaster, caplog: pytest.LogCaptureFixture) -> None:
    codes = halves()
    codes[0, 0, :3], codes[0, 39, 50:] = 3, 8
    found = take(scene, make_raster(codes, name="map.tif"), names=NAMES)
    assert found.labels.names == ("water", "forest") and len(found) == 24
    assert caplog.messages == [
        "map.tif: skipped pixels of codes without a name: 8; add them to --class-names",
        "map.tif: skipped classes that cover no tile enough: 'town': use a smaller --tile-size or a lower "
        "--min-overlap",
    ]


def test_tiles_of_the_scene_without_data(make_raster: MakeRaster, caplog: pytest.LogCaptureFixture) -> None:
    data = np.full((3, 40, 60), 100, np.uint8)
    data[:, :10, :10] = 0
    scene = make_raster(data, nodata=0)
    with caplog.at_level(logging.INFO, "bimors"):
        found = take(scene, make_raster(halves(), name="map.tif"), names=NAMES)
    assert len(found) == 23 and "scene/0/0" not in labelled(found)
    assert "scene.tif: skipped 1 labelled tiles with too few valid pixels" in caplog.messages


def test_several_scenes_and_one_of_them_elsewhere(make_raster: MakeRaster) -> None:
    data = np.full((3, 40, 60), 100, np.uint8)
    years = [make_raster(data, name=f"{year}.tif") for year in (2014, 2018)]
    far = make_raster(data, name="far.tif", transform=Affine(10, 0, 700_000, 0, -10, 4_600_000))
    found = take([*years, far], make_raster(halves(), name="map.tif"), names=NAMES)
    assert found.name == "map" and len(found) == 48
    assert {e.group for e in found.examples} == {"2014/0/0", "2014/0/1"}


def test_a_raster_that_classify_wrote(scene: str, tmp_path: Path) -> None:
    codes = np.array([[0, 1, 1, 2, 2, 2], [3, 1, 1, 2, 2, 2], [1, 1, 1, 2, 2, 3], [1, 1, 1, 2, 2, 2]], np.uint16)
    sure = np.where(codes, 9000, 0).astype(np.uint16)
    labels = Labels.of(["water", "forest", "town"])
    spec = RasterSpec("EPSG:32618", NORTH_UP @ Affine.scale(10), np.arange(4), np.arange(6), labels)
    path = tmp_path / "classified.tif"
    write_raster(path, codes, sure, spec, overwrite=False)
    examples = take(scene, str(path))
    assert examples.labels.names == ("water", "forest", "town")
    assert examples.description["class names"] == "category names"
    numbers = [example.label + 1 for example in examples.examples]
    assert numbers == codes.ravel()[1:].tolist()


def refused(scene: str, raster: str, said: str, **more: Any) -> None:
    with pytest.raises(InputError, match=said) as caught:
        take(scene, raster, **more)
    assert "\n" not in caught.value.message and caught.value.hint


def test_what_is_refused(scene: str, make_raster: MakeRaster) -> None:
    refused(scene, make_raster(np.ones((2, 40, 60), np.uint8), name="two.tif"), "two.tif has 2 bands")
    refused(scene, make_raster(halves(0.25, 1, np.float32), name="f.tif"), "f.tif: 0.25 is not a class code")
    refused(scene, make_raster(halves(np.inf, 1, np.float32), name="f.tif"), "f.tif: inf is not a class code")
    away = make_raster(halves(), name="away.tif", transform=Affine(10, 0, 900_000, 0, -10, 4_600_000))
    refused(scene, away, "away.tif: no labelled pixel overlaps scene.tif")
    refused(scene, make_raster(halves(2, 2), name="one.tif"), "one.tif: only the class '2' found")
    refused(scene, make_raster(halves(5, 6), name="map.tif"), r"map.tif: none of its codes has a name", names=NAMES)
    mixed = np.random.default_rng(0).integers(1, 4, (1, 40, 60), dtype=np.uint8)
    refused(scene, make_raster(mixed, name="mixed.tif"), "no class covers a fraction of 0.9", min_overlap=0.9)
    mixed[:, :10, :10] = 1
    refused(scene, make_raster(mixed, name="mixed.tif"), "only the class '1' covers a fraction", min_overlap=0.9)
    measured = np.arange(2400, dtype=np.int16).reshape(1, 40, 60)
    refused(scene, make_raster(measured, name="dem.tif"), "dem.tif: more than 1,000 different values")
    with pytest.raises(InputError, match="must be between 0 and 1"):
        take(scene, make_raster(halves(), name="map.tif"), min_overlap=2)
    with pytest.raises(SceneError, match="not found"):
        take(scene, "nowhere.tif")


def test_whole_numbers_as_floats_and_negative_codes(scene: str, make_raster: MakeRaster) -> None:
    assert take(scene, make_raster(halves(1, 2, np.float64), name="f.tif"), names=NAMES).labels.names == (
        "water",
        "forest",
    )
    assert take(scene, make_raster(halves(-1, 2, np.int16), name="s.tif")).labels.names == ("-1", "2")


def test_a_damaged_map(scene: str, make_raster: MakeRaster) -> None:
    path = make_raster(np.random.default_rng(0).integers(0, 3, (1, 40, 60), dtype=np.uint8), name="map.tif")
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[: len(data) // 2])
    with pytest.raises(ReadError, match=r"cannot read map.tif at scene.tif"):
        take(scene, path)


def test_a_map_on_another_planet(scene: str, make_raster: MakeRaster) -> None:
    moon = CRS.from_user_input("+proj=longlat +R=1737400 +no_defs").to_wkt()
    path = make_raster(halves(), name="moon.tif", crs=moon, transform=Affine(1, 0, 10, 0, -1, 20))
    with pytest.raises((InputError, ReadError), match=r"moon.tif"):
        take(scene, path)


@pytest.mark.shared
def test_land_cover_of_zion(shared: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = shared / "scenes" / "labelled" / "zion"
    examples = from_label_raster(
        [str(folder / "zion_landsat8.tif")],
        str(folder / "zion_nlcd2011.tif"),
        image_size=16,
        options=SceneOptions(tile_size="16"),
        min_overlap=0.8,
    )
    assert examples.labels.names[:5] == (
        "open water", "barren land", "deciduous forest", "evergreen forest", "shrub/scrub",
    )  # fmt: skip
    with rasterio.open(folder / "zion_nlcd2011.tif") as dataset:
        codes = dataset.read(1)
    whole = codes[: 1428 // 16 * 16, : 1128 // 16 * 16].reshape(89, 16, 70, 16)
    shrub = (whole == 52).mean(axis=(1, 3)) >= 0.8
    found = {place for place, name in labelled(examples).items() if name == "shrub/scrub"}
    assert {f"zion_landsat8/{r}/{c}" for r, c in np.argwhere(shrub)} == {
        place for place in found if int(place.split("/")[1]) < 89 and int(place.split("/")[2]) < 70
    }
    assert len(caplog.messages) == 1 and "'mixed forest'" in caplog.messages[0]
