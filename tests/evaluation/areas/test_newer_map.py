"""A newer map of the tiles of a sample, and maps of other tiles."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
from typer.testing import CliRunner, Result

import bimors_cli
from bimors_cli.cli.main import app
from bimors_cli.errors import InputError
from bimors_cli.evaluation.areas.assess_sample import assess_sample
from bimors_cli.evaluation.areas.assessment import SampleAssessment
from bimors_cli.evaluation.areas.sample import sample
from bimors_cli.options.sample import SampleOptions
from tests.conftest import MakeRaster
from tests.evaluation.areas.samples import edit, fill
from tests.layers import MakeLayer, make_layer

__all__ = ["make_layer"]

LABELS = ("forest", "river", "harbour")


@pytest.fixture
def scene(make_raster: MakeRaster) -> str:
    return str(make_raster(np.random.default_rng(0).integers(1, 255, (3, 96, 96), dtype=np.uint8)))


@pytest.fixture
def layer(scene: str, make_layer: MakeLayer) -> Path:
    """144 tiles, labelled in turn, every tenth without a label."""
    return make_layer(scene, tile_size="8")


@pytest.fixture
def drawn(layer: Path) -> Path:
    """A sample of 70 of them, every class of the map right but for some tiles."""
    return draw(layer)


def draw(layer: Path, **options: Any) -> Path:
    path = layer.with_name("sample.gpkg")
    sample(SampleOptions(file=layer, output=path, tiles=70, least=5, **options))
    tiles = pyogrio.read_dataframe(layer, layer="tiles", columns=["tile_id", "label", "row"], read_geometry=False)
    truth = {
        tile_id: "river" if row % 4 == 0 or label is None or label != label else label
        for tile_id, label, row in zip(tiles["tile_id"], tiles["label"], tiles["row"], strict=True)
    }
    return fill(path, truth)


def figures(found: SampleAssessment) -> Any:
    content = found.as_json()
    return {name: content[name] for name in ("overall", "classes", "confusion", "strata", "tiles")}


def evaluate(*args: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, args)])


def test_the_same_map_has_the_same_figures(layer: Path, drawn: Path) -> None:
    first, again = assess_sample(drawn), assess_sample(drawn, layer)
    assert figures(again) == figures(first)
    assert again.layer_file == layer and first.layer_file is None


def test_a_corrected_map_is_assessed_in_the_strata_of_the_draw(layer: Path, drawn: Path) -> None:
    before = assess_sample(drawn)
    edit(layer, "UPDATE tiles SET label = 'river' WHERE row % 4 = 0 OR label IS NULL")
    after = bimors_cli.assess_sample(drawn, layer)
    assert before.overall.value < after.overall.value == 1
    assert [one.area_ha for one in after.classes] == [one.area_ha for one in before.classes]
    assert sum(one.mapped_ha for one in after.classes) == pytest.approx(after.hectares)
    tiles = pyogrio.read_dataframe(layer, layer="tiles", read_geometry=False)
    share = (tiles["label"] == "river").mean()
    assert after.classes[1].mapped_ha == pytest.approx(after.hectares * share, rel=1e-3)
    assert after.design == before.design


def test_a_map_in_another_crs_with_another_class(scene: str, drawn: Path, make_layer: MakeLayer) -> None:
    newer = make_layer(
        scene, name="newer.gpkg", labels=bimors_cli.Labels.of([*LABELS, "quay"]), tile_size="8", dst_crs="EPSG:4326"
    )
    found = assess_sample(drawn, newer)
    assert [one.label for one in found.classes] == [*LABELS, "quay"]
    assert found.classes[3].mapped_ha > 0 and found.classes[3].area_ha.value == 0 and found.classes[3].area_ha.high > 0
    assert sum(one.area_ha.value for one in found.classes) == pytest.approx(found.hectares)


def test_excluded_tiles_are_recorded(layer: Path, tmp_path: Path) -> None:
    """The mapped areas of the same map are those of the draw, without the excluded tiles."""
    tiles = pyogrio.read_dataframe(layer, layer="tiles")
    tiles[tiles["row"] < 2][["geometry"]].to_file(tmp_path / "train.gpkg")
    path = draw(layer, exclude=str(tmp_path / "train.gpkg"))
    first, again = assess_sample(path), assess_sample(path, layer)
    assert again.design.excluded == 24 and again.as_json()["classes"] == first.as_json()["classes"]


def test_mapped_areas_are_unknown_if_the_excluded_tiles_are_not_recorded(layer: Path, tmp_path: Path) -> None:
    """As in samples of an earlier version."""
    tiles = pyogrio.read_dataframe(layer, layer="tiles")
    tiles[tiles["row"] < 2][["geometry"]].to_file(tmp_path / "train.gpkg")
    path = draw(layer, exclude=str(tmp_path / "train.gpkg"))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE gpkg_metadata SET metadata = replace(metadata, 'left_out', 'something')")
    found = assess_sample(path, layer)
    assert found.design.excluded > 0 and found.as_json()["classes"]["river"]["mapped_ha"] is None
    result = evaluate(layer, "--sample", path)
    assert result.exit_code == 0 and "mapped areas are unknown" in result.stderr


def other_tiles(scene: str, make_layer: MakeLayer, make_raster: MakeRaster) -> Path:
    return make_layer(scene, name="other.gpkg", tile_size="16")


def other_scene(scene: str, make_layer: MakeLayer, make_raster: MakeRaster) -> Path:
    raster = make_raster(np.ones((3, 96, 96), np.uint8), name="elsewhere.tif")
    return make_layer(str(raster), name="other.gpkg", tile_size="8")


def one_scene_more(scene: str, make_layer: MakeLayer, make_raster: MakeRaster) -> Path:
    raster = make_raster(np.ones((3, 96, 96), np.uint8), name="elsewhere.tif")
    return make_layer(scene, str(raster), name="other.gpkg", tile_size="8")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (other_tiles, "36 tiles in another grid than in the map of .*, which has 144"),
        (other_scene, "is a sample of a map of "),
        (one_scene_more, "elsewhere.tif was not in the map of"),
    ],
)
def test_a_map_of_other_tiles(
    make: Callable[[str, MakeLayer, MakeRaster], Path], message: str, scene: str, drawn: Path, make_layer: MakeLayer,
    make_raster: MakeRaster,
) -> None:  # fmt: skip
    with pytest.raises(InputError, match=message) as refused:
        assess_sample(drawn, make(scene, make_layer, make_raster))
    assert refused.value.hint and "\n" not in refused.value.message


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE tiles SET tile_id = (SELECT tile_id FROM tiles WHERE fid = 1) WHERE fid = 2", "has two tiles '"),
        (
            "DELETE FROM tiles WHERE fid % 2 = 0",
            "no data for [0-9]+ of the [0-9]+ tiles of .*: it is a sample of",
        ),
        ("UPDATE tiles SET label = NULL, reason = 'nodata'", "no data for ([0-9]+) of the \\1 tiles of"),
        ("UPDATE tiles SET geom = (SELECT geom FROM tiles WHERE fid = 1)", "is not where the run of the map had it"),
    ],
)
def test_tiles_that_do_not_fit(layer: Path, drawn: Path, statement: str, message: str) -> None:
    edit(layer, statement)
    with pytest.raises(InputError, match=message) as refused:
        assess_sample(drawn, layer)
    assert refused.value.hint and "\n" not in refused.value.message


def test_the_number_of_tiles_fits_the_sample(layer: Path, drawn: Path) -> None:
    kept = pyogrio.read_dataframe(drawn, layer="sample", read_geometry=False)["tile_id"].tolist()
    quoted = ", ".join(f"'{tile}'" for tile in kept)
    edit(layer, f"DELETE FROM tiles WHERE fid = (SELECT MIN(fid) FROM tiles WHERE tile_id NOT IN ({quoted}))")
    with pytest.raises(InputError, match=r"has 143 tiles with data, and .* was drawn from 144"):
        assess_sample(drawn, layer)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["{layer}", "{layer}", "--sample", "{sample}"], "--sample assesses one layer, 2 were given"),
        (["{layer}", "--sample", "{sample}", "--reference", "{sample}", "--field", "x"], "use one of them"),
        (["{layer}", "--sample", "{layer}"], "is not a probability sample that bimors sample drew"),
        (["{sample}", "--sample", "{sample}"], "holds no layer of bimors classify"),
        (["{layer}", "--reference", "{sample}", "--field", "reference"], "use --sample"),
        (["{layer}"], "--sample sample.gpkg; bimors sample draws one"),
        (["{sample}", "-o", "areas.csv"], "the results are a folder"),
    ],
)
def test_errors(layer: Path, drawn: Path, args: list[str], message: str) -> None:
    result = evaluate(*(word.format(layer=layer, sample=drawn) for word in args))
    assert result.exit_code == 2 and message in " ".join(result.stderr.split()) and "hint:" in result.stderr
