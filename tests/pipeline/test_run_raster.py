"""The label raster of a run says what its layer says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import InputError, OutputExistsError
from bimors_cli.pipeline.label_raster import pixels
from bimors_cli.pipeline.summary import Summary
from bimors_cli.scene.grid import Grid
from tests import api

LABELS = ["forest", "river", "bare land", "port"]
Classify = Callable[..., Summary]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, shape, dtype=np.uint8)


@pytest.fixture
def classify(tiny_bundle: Bundle, tmp_path: Path) -> Classify:
    def run(scene: Any, output: str = "out.gpkg", **options: Any) -> Summary:
        known = {"model": str(tiny_bundle.folder), "tile_size": "32", "device": "cpu", "captions": False}
        given = {"raster": str(tmp_path / "labels.tif"), **known, **options}
        return api.classify(scene, LABELS, tmp_path / output, **given)

    return run


def assert_equal(summary: Summary) -> geopandas.GeoDataFrame:
    """Compare each polygon with the pixel at its middle."""
    layer = geopandas.read_file(str(summary.output), layer="tiles")
    with rasterio.open(str(summary.raster)) as raster:
        assert raster.crs == layer.crs
        points = [(point.x, point.y) for point in layer.geometry.centroid]
        samples = np.array(list(raster.sample(points)))
        scale = raster.scales[1]
    names = [None, *LABELS]
    assert [names[number] for number in samples[:, 0]] == [
        label if isinstance(label, str) else None for label in layer["label"]
    ]
    np.testing.assert_allclose(samples[:, 1] * scale, layer["confidence"].fillna(0), atol=1e-9)
    return layer


@pytest.mark.parametrize("resolution", ["tile", "scene"])
@pytest.mark.parametrize("overlap", ["0", "25%", "20"])
def test_raster_and_layer_are_equal(make_raster: Any, classify: Classify, resolution: str, overlap: str) -> None:
    data = noise(3, 110, 150)
    data[:, :40, :70] = 0
    scene = make_raster(data, nodata=0)
    summary = classify(scene, overlap=overlap, raster_res=resolution, keep_empty=True)
    layer = assert_equal(summary)
    assert set(layer["reason"].dropna()) == {"nodata"} and layer["label"].notna().any()


def test_a_label_that_is_not_given_is_not_drawn(make_raster: Any, classify: Classify) -> None:
    scene = make_raster(noise(3, 96, 96))
    median = float(assert_equal(classify(scene))["confidence"].median())
    layer = assert_equal(classify(scene, overwrite=True, min_confidence=median))
    assert set(layer["reason"].dropna()) == {"low_confidence"} and layer["label"].notna().any()


@pytest.mark.parametrize("resolution", ["tile", "scene"])
@pytest.mark.parametrize(
    "transform",
    [
        Affine(10, 0, 500_000, 0, 10, 4_600_000),
        Affine.translation(500_000, 4_600_000) @ Affine.rotation(30) @ Affine.scale(10, -10),
    ],
    ids=["south-up", "rotated"],
)
def test_odd_scenes(make_raster: Any, classify: Classify, resolution: str, transform: Affine) -> None:
    summary = classify(make_raster(noise(3, 70, 50), transform=transform), raster_res=resolution)
    assert_equal(summary)
    with rasterio.open(str(summary.raster)) as raster:
        assert raster.transform.almost_equals(transform @ Affine.scale(32 if resolution == "tile" else 1))
        assert raster.shape == ((3, 2) if resolution == "tile" else (70, 50))


def test_each_pixel_of_a_tile_is_its_label(make_raster: Any, classify: Classify, tmp_path: Path) -> None:
    scene = make_raster(noise(3, 70, 100))
    coarse = classify(scene, "a.gpkg").raster
    fine = classify(scene, "b.gpkg", raster=str(tmp_path / "fine.tif"), raster_res="scene").raster
    with rasterio.open(str(coarse)) as one, rasterio.open(str(fine)) as all_of_them:
        block = np.ones((32, 32), np.uint16)
        for band in (1, 2):
            expected = np.kron(one.read(band), block)[:70, :100]
            np.testing.assert_array_equal(all_of_them.read(band), expected)


def test_it_tells_its_provenance_and_the_summary_its_place(make_raster: Any, classify: Classify) -> None:
    summary = classify(make_raster(noise(3, 64, 64)))
    assert any(f"label raster: {summary.raster}" == line for line in summary.lines(str))
    with rasterio.open(str(summary.raster)) as raster:
        assert json.loads(raster.tags()["bimors_run"])["labels"] == LABELS


def test_a_layer_in_wgs84_leaves_the_raster_where_the_scene_is(make_raster: Any, classify: Classify) -> None:
    summary = classify(make_raster(noise(3, 64, 64)), "out.geojson")
    with rasterio.open(str(summary.raster)) as raster:
        assert raster.crs.to_epsg() == 32618


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"raster": "labels.png"}, "GeoTIFF"),
        ({"raster_res": "best"}, "--raster-res best"),
        ({"raster": None, "raster_res": "scene"}, "--raster-res needs --raster"),
        ({"dst_crs": "EPSG:3857"}, "--dst-crs EPSG:3857"),
    ],
)
def test_wrong_options_are_one_line(make_raster: Any, classify: Classify, options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        classify(make_raster(noise(3, 32, 32)), **options)
    assert "\n" not in caught.value.message and caught.value.hint


def test_the_scenes_own_crs_may_be_named(make_raster: Any, classify: Classify) -> None:
    assert_equal(classify(make_raster(noise(3, 64, 64)), dst_crs="EPSG:32618"))


def test_several_scenes_are_refused(make_raster: Any, classify: Classify) -> None:
    scenes = [make_raster(noise(3, 32, 32), name=name) for name in ("a.tif", "b.tif")]
    with pytest.raises(InputError, match="one scene per run, 2 were given"):
        classify(scenes)


def test_it_takes_no_others_place(make_raster: Any, classify: Classify, tmp_path: Path) -> None:
    scene = make_raster(noise(3, 32, 32))
    before = Path(scene).read_bytes()
    with pytest.raises(InputError, match="also the scene"):
        classify(scene, raster=scene, overwrite=True)
    # Both styles would be out.qml.
    with pytest.raises(InputError, match=r"out\.qml: the layer and the raster have the same"):
        classify(scene, "out.fgb", raster=str(tmp_path / "out.tif"))
    (tmp_path / "labels.tif").write_text("precious")
    with pytest.raises(OutputExistsError, match=r"labels\.tif exists"):
        classify(scene)
    assert Path(scene).read_bytes() == before and (tmp_path / "labels.tif").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.tif", "scene.tif"]
    assert_equal(classify(scene, overwrite=True))


def test_a_finished_run_without_its_raster(make_raster: Any, classify: Classify) -> None:
    scene = make_raster(noise(3, 64, 64))
    first = classify(scene, raster=None)
    assert first.raster is None
    with pytest.raises(OutputExistsError, match=r"labels\.tif was not found") as caught:
        classify(scene, resume=True)
    assert "--overwrite" in str(caught.value.hint)
    assert_equal(classify(scene, overwrite=True))
    assert classify(scene, resume=True).finished_before


sizes = st.integers(1, 60)


@given(st.data())
def test_a_tiles_middle_is_in_its_own_pixel(data: st.DataObject) -> None:
    width, height, tile_width, tile_height = (data.draw(sizes) for _ in range(4))
    stride_x, stride_y = data.draw(st.integers(1, tile_width)), data.draw(st.integers(1, tile_height))
    grid = Grid(width, height, tile_width, tile_height, stride_x, stride_y)
    place = Affine.rotation(20) @ Affine.scale(3, -2)
    cells, _, _ = pixels(grid, place, "tile")
    fine, rows, cols = pixels(grid, place, "scene")
    assert fine == place and (len(rows), len(cols)) == (height, width)
    assert sorted(set(rows)) == list(range(grid.rows)) and sorted(set(cols)) == list(range(grid.cols))
    for tile in grid:
        middle = (tile.x + tile.width / 2, tile.y + tile.height / 2)
        col, row = ~cells @ (place @ middle)
        # A middle may lie on the edge of two cells only by rounding: a clipped tile is wider than what it shares.
        assert (int(np.floor(row + 1e-6)), int(np.floor(col + 1e-6))) == (tile.row, tile.col)
        assert (rows[int(middle[1])], cols[int(middle[0])]) == (tile.row, tile.col)
