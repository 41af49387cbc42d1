"""A map against a reference: which tiles count, what they are worth, what is said of it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import InputError
from bimors_cli.evaluation.accuracy.assess import Assessment, AssessOptions, assess
from bimors_cli.evaluation.accuracy.layer import read_map_layer
from bimors_cli.evaluation.accuracy.reference import read_reference, samples_from_polygons
from bimors_cli.options.scene import SceneOptions
from bimors_cli.output.geopackage import read_layer
from bimors_cli.training.examples.polygons import from_polygons
from tests import api
from tests.conftest import MakeRaster
from tests.evaluation.accuracy.map_files import LABELS, tile, write_layer, write_reference

F, R, B = LABELS
# Two rows of four tiles.
ANSWERS = [F, F, R, None, B, R, R, None]


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    return write_layer(tmp_path / "out.gpkg", ANSWERS, confidence=[0.9, 0.8, 0.7, 0.3, 0.6, 0.5, 0.5, None])


def check(path: Path, reference: str, **more: Any) -> Assessment:
    field = more.pop("field", "class")
    return assess(AssessOptions(layer_file=str(path), reference=reference, field=field, **more))


def edit(path: Path, statement: str) -> None:
    """Change a layer as QGIS would."""
    with closing(sqlite3.connect(path)) as database, database:
        for name in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):  # of the triggers of a spatial index
            database.create_function(name, 1, lambda _geometry: 0)
        database.execute(statement)


def test_a_synonym_in_the_reference_or_typed_into_the_layer_is_its_label(tmp_path: Path) -> None:
    told = {"synonyms": {F: ["woodland", "Tree_Cover"]}}
    path = write_layer(tmp_path / "out.gpkg", [F, R, "Woodland", B], **told)  # type: ignore[arg-type]
    shapes = [tile(0, 0), tile(0, 1), tile(0, 2), tile(0, 3)]
    found = check(path, write_reference(tmp_path / "truth.gpkg", shapes, ["WOODLAND", R, "tree cover", "golf course"]))
    assert found.scores.labels == (F, R, B, "golf course") and found.unknown_classes == ("golf course",)
    assert found.scores.all_samples.accuracy.correct == 3


def test_figures_worked_out_by_hand(layer: Path, tmp_path: Path) -> None:
    """Truth: forest forest forest forest / bare river - -."""
    shapes = [tile(0, 0, 1, 4), tile(1, 0), tile(1, 1, 1, 1.4)]
    found = check(layer, write_reference(tmp_path / "truth.gpkg", shapes, [F, B, R])).as_json()
    assert found["counts"] == {
        "tiles": 8, "with_truth": 6, "without_truth": 2, "samples": 6, "unlabelled": 1, "corrected": 0,
        "points_outside": None, "features_elsewhere": 0, "features_without_class": 0, "features_repaired": 0,
        "unlabelled_by_reason": {"low_confidence": 1},
    }  # fmt: skip
    assert found["accuracy"] == pytest.approx(4 / 6) and found["accuracy_labelled"] == pytest.approx(4 / 5)
    assert found["coverage"] == pytest.approx(5 / 6)
    assert found["confusion"] == {
        "labels": [F, R, B], "rows": [[2, 1, 0], [0, 1, 0], [0, 0, 1]], "unlabelled": [1, 0, 0]
    }  # fmt: skip
    assert found["confusion_hectares"]["rows"] == [[2.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    assert found["per_class"][F] == pytest.approx(
        {"tiles": 4, "precision": 1, "recall": 0.5, "f1": 2 / 3, "accuracy": 0.5, "accuracy_labelled": 2 / 3}
    )
    assert found["per_class"][R] == pytest.approx(
        {"tiles": 1, "precision": 0.5, "recall": 1, "f1": 2 / 3, "accuracy": 1, "accuracy_labelled": 1}
    )
    assert found["balanced_accuracy"] == pytest.approx(2.5 / 3)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    chance = (4 * 2 + 1 * 2 + 1 * 1) / 36
    assert found["kappa"] == pytest.approx((4 / 6 - chance) / (1 - chance), abs=1e-6)
    # Of the labelled: 0.9 0.8 0.6 0.5 right, 0.7 wrong, each in a bin of its own.
    assert found["ece"] == pytest.approx((0.1 + 0.2 + 0.7 + 0.4 + 0.5) / 5, abs=1e-6)
    assert found["area_weighted_accuracy"] == pytest.approx(4 / 6)
    assert found["area_weighted_accuracy_labelled"] == pytest.approx(4 / 5)
    json.dumps(found, allow_nan=False)


def test_tiles_weigh_by_their_area(tmp_path: Path) -> None:
    polygons = [tile(0, 0), tile(0, 1, 1, 0.25)]
    layer = write_layer(tmp_path / "out.gpkg", [F, R], polygons=polygons)
    found = check(layer, write_reference(tmp_path / "truth.gpkg", [tile(0, 0, 1, 2)], [F])).as_json()
    assert (found["accuracy"], found["area_weighted_accuracy"]) == (0.5, pytest.approx(0.8))
    assert found["confusion_hectares"]["rows"][0] == pytest.approx([1.0, 0.25, 0.0])


def test_points_are_samples(layer: Path, tmp_path: Path) -> None:
    corner = shapely.Point(tile(0, 1).bounds[:2])  # of four tiles, the first of which is 0, 0
    points = [tile(0, 2).centroid, corner, tile(0, 3).centroid, tile(0, 0).centroid]
    outside = [tile(0, 4.5).centroid, tile(0, 90).centroid]
    path = write_reference(tmp_path / "truth.gpkg", [*points, *outside], [F, F, R, F, F, F])
    found = check(layer, path).as_json()
    assert found["counts"]["samples"] == 4 and found["counts"]["points_outside"] == 2
    assert found["counts"]["with_truth"] == 3 and found["counts"]["without_truth"] == 5
    assert found["accuracy"] == 0.5 and found["accuracy_labelled"] == pytest.approx(2 / 3)
    assert found["area_weighted_accuracy"] is None and found["confusion_hectares"] is None
    assert found["reference"]["kind"] == "points" and found["reference"]["min_overlap"] is None
    rows = [f"{point.x},{point.y},{name}" for point, name in zip([*points, *outside], [F, F, R, F, F, F], strict=True)]
    (tmp_path / "truth.csv").write_text("\n".join(["x,y,class", *rows]))
    again = check(layer, str(tmp_path / "truth.csv"), points_crs="EPSG:32618").as_json()
    own = {"reference": None, "warnings": None}
    assert again | own == found | own
    assert [text.replace(".csv:", ".gpkg:") for text in again["warnings"]] == found["warnings"] != []


@pytest.mark.parametrize("crs", [32618, 4326, 3857])
@pytest.mark.parametrize("own", [32618, 4326])
def test_a_reference_made_of_the_layer_agrees_with_it(tmp_path: Path, crs: int, own: int) -> None:
    """Its labels as classes, dissolved: all that has a label is right."""
    random = np.random.default_rng(crs + own)
    answers = [None if place == 3 else LABELS[place] for place in random.integers(0, 4, 80)]
    layer = write_layer(tmp_path / "out.gpkg", answers, crs=own)
    frame = geopandas.read_file(layer, layer="tiles")
    frame.loc[frame["label"].isna(), "label"] = F  # what has no label is forest
    frame.dissolve("label", as_index=False)[["label", "geometry"]].to_crs(crs).to_file(tmp_path / "truth.gpkg")
    found = check(layer, str(tmp_path / "truth.gpkg"), field="label").as_json()
    assert found["accuracy_labelled"] == 1 and found["counts"]["without_truth"] == 0
    assert found["accuracy"] == found["coverage"] == 1 - answers.count(None) / 80
    hectares = sum(map(sum, found["confusion_hectares"]["rows"])) + sum(found["confusion_hectares"]["unlabelled"])
    assert hectares == pytest.approx(80, rel=2e-3)  # of one hectare each; UTM is 0.04 % short at its middle


def test_rows_in_any_order_and_in_pieces(layer: Path, tmp_path: Path) -> None:
    shapes, classes = [tile(0, 0, 1, 2.7), tile(0, 2.7, 1, 1.3), tile(1, 0, 1, 4)], [F, R, "Bare_Land"]
    first = check(layer, write_reference(tmp_path / "a.gpkg", shapes, classes)).scores
    turned = check(layer, write_reference(tmp_path / "b.gpkg", shapes[::-1], classes[::-1])).scores
    pieces = [tile(0, 0, 0.4, 2.7), tile(0.4, 0, 0.6, 2.7), *shapes[1:]]
    cut = check(layer, write_reference(tmp_path / "c.gpkg", pieces, [F, F, R, B])).scores
    assert first.as_json() == turned.as_json() == cut.as_json()


def test_classes_are_matched_as_they_are_said(layer: Path, tmp_path: Path) -> None:
    path = write_reference(
        tmp_path / "t.gpkg", [tile(0, 0), tile(1, 0), tile(1, 1)], ["FOREST", "bare_land", "Bare  land"]
    )
    found = check(layer, path)
    assert found.unknown_classes == () and found.scores.labels == LABELS
    assert found.scores.all_samples.confusion[2][:3] == (0, 1, 1)


def test_classes_that_are_no_labels_are_always_wrong(layer: Path, tmp_path: Path) -> None:
    shapes = [tile(0, 0), tile(0, 1), tile(0, 2), tile(1, 0)]
    found = check(layer, write_reference(tmp_path / "t.gpkg", shapes, ["moor", F, "Kelp bed", "kelp_bed"]))
    assert found.unknown_classes == ("Kelp bed", "moor")
    told = found.as_json()
    assert told["confusion"]["labels"] == [*LABELS, "Kelp bed", "moor"]
    assert told["per_class"]["Kelp bed"]["tiles"] == 2 and told["per_class"]["Kelp bed"]["precision"] is None
    assert told["accuracy"] == 0.25 and told["classes_without_label"] == ["Kelp bed", "moor"]


def test_no_class_in_common(layer: Path, tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(8)]
    path = write_reference(tmp_path / "t.gpkg", [tile(0, 0)] * 8, names)
    with pytest.raises(InputError, match="no value of class is a label") as caught:
        check(layer, path)
    assert caught.value.hint == (
        "the reference has 'c0', 'c1', 'c2', 'c3', 'c4' and 3 more; the layer has 'forest', 'river', 'bare land'"
    )


def test_corrected_rows_are_taken_as_they_are_now(layer: Path, tmp_path: Path) -> None:
    """What was typed has no confidence: it was of another label."""
    edit(layer, "UPDATE tiles SET label = ' Forest ' WHERE row = 0 AND col IN (1, 2, 3)")
    edit(layer, "UPDATE tiles SET label = 'moor' WHERE row = 1 AND col = 0")
    read = read_map_layer(str(layer))
    assert read.labels == (*LABELS, "moor") and read.edited == 3
    assert read.classes[:5].tolist() == [0, 0, 0, 0, 3]
    assert np.isnan(read.confidence).nonzero()[0].tolist() == [2, 3, 4, 7]
    found = check(layer, write_reference(tmp_path / "t.gpkg", [tile(0, 0, 1, 4)], [F])).as_json()
    assert found["accuracy"] == 1 and found["counts"]["corrected"] == 3
    assert found["ece"] == pytest.approx(0.15, abs=1e-6)  # of 0.9 and 0.8


def test_a_copy_says_less_and_serves(layer: Path, tmp_path: Path) -> None:
    """QGIS's export: no provenance, no record of what was predicted."""
    reference = write_reference(tmp_path / "t.gpkg", [tile(0, 0, 2, 4)], [F])
    for name in ("copy.gpkg", "copy.geojson"):
        frame = geopandas.read_file(layer, layer="tiles")
        frame.to_file(tmp_path / name)
        found = check(tmp_path / name, reference)
        assert found.counts["corrected"] is None and found.counts["unlabelled"] == 2
        assert found.scores.all_samples.accuracy.correct == 2 and found.scores.labels == (F, R, B)


def test_layers_of_other_names(tmp_path: Path) -> None:
    layer = write_layer(tmp_path / "out.gpkg", [F, R], name="mine")
    reference = write_reference(tmp_path / "t.gpkg", [tile(0, 0, 1, 2)], [F])
    assert check(layer, reference).layer == "mine"
    with pytest.raises(InputError, match="has no layer 'other'"):
        check(layer, reference, layer="other")


def test_without_confidence_there_is_no_calibration_error(tmp_path: Path) -> None:
    layer = write_layer(tmp_path / "out.gpkg", [F, R], confidence=[None, None])
    found = check(layer, write_reference(tmp_path / "t.gpkg", [tile(0, 0, 1, 2)], [F]))
    assert found.as_json()["ece"] is None and found.as_json()["accuracy"] == 0.5


def test_no_tile_has_a_label(tmp_path: Path) -> None:
    layer = write_layer(tmp_path / "out.gpkg", [None, None])
    found = check(layer, write_reference(tmp_path / "t.gpkg", [tile(0, 0, 1, 2)], [F])).as_json()
    assert (found["accuracy"], found["accuracy_labelled"], found["coverage"], found["ece"]) == (0, None, 0, None)
    assert found["area_weighted_accuracy"] == 0 and found["area_weighted_accuracy_labelled"] is None


def test_refused(layer: Path, tmp_path: Path) -> None:
    reference = write_reference(tmp_path / "t.gpkg", [tile(0, 0)], [F])

    def refusal(path: Path = layer, other: str = reference, **more: Any) -> str:
        with pytest.raises(InputError) as caught:
            check(path, other, **more)
        assert caught.value.exit_code == 2
        assert "\n" not in caught.value.message + (caught.value.hint or "")
        return f"{caught.value.message} | {caught.value.hint}"

    assert "none.gpkg not found" in refusal(tmp_path / "none.gpkg")
    assert "has no column tile_id, label, confidence, reason | give a layer that bimors" in refusal(Path(reference))
    (tmp_path / "text.gpkg").write_text("no layer")
    assert "wrong signature" in refusal(tmp_path / "text.gpkg")
    assert "has no field 'klass'" in refusal(field="klass")
    assert "has no layer 'other'" in refusal(layer="other")
    assert "has no layer 'other'" in refusal(reference_layer="other")
    for wrong in (-0.1, 1.1, float("nan")):
        assert f"--min-overlap {wrong:g}: must be between 0 and 1" in refusal(min_overlap=wrong)
    little = write_reference(tmp_path / "little.gpkg", [tile(0, 0, 0.3, 1)], [F])
    assert "polygons cover no tile by 0.5 or more" in refusal(other=little)
    # Between two tiles that are far apart.
    apart = write_layer(tmp_path / "apart.gpkg", [F, R], polygons=[tile(0, 0), tile(5, 5)])
    between = write_reference(tmp_path / "between.gpkg", [tile(3, 3).centroid], [F])
    assert "no point is inside a tile" in refusal(apart, between)
    empty = write_layer(tmp_path / "empty.gpkg", [])
    assert "has no tiles" in refusal(empty)
    edit(layer, "UPDATE tiles SET confidence = 7 WHERE row = 0 AND col = 2")
    assert "tile scene/0/2: confidence 7 is not between 0 and 1" in refusal()


def test_a_layer_that_classify_wrote(tiny_bundle: Bundle, make_raster: MakeRaster, tmp_path: Path) -> None:
    """Its tiles as the reference, in degrees; as a GeoPackage and as a sequence."""
    scene = make_raster(np.random.default_rng(0).integers(1, 255, (3, 70, 100), dtype=np.uint8), nodata=0)
    how: dict[str, Any] = {"model": str(tiny_bundle.folder), "tile_size": "16", "device": "cpu"}
    for name in ("out.gpkg", "out.geojsonl"):
        api.classify(scene, list(LABELS), tmp_path / name, **how)
    frame = read_layer(tmp_path / "out.gpkg", "tiles", ["label"])
    frame.dissolve("label", as_index=False)[["label", "geometry"]].to_crs(4326).to_file(tmp_path / "truth.geojson")
    before = sorted(tmp_path.iterdir())
    for name in ("out.gpkg", "out.geojsonl"):
        found = check(tmp_path / name, str(tmp_path / "truth.geojson"), field="label")
        assert found.scores.all_samples.accuracy.correct == found.counts["tiles"] == 35
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.shared
def test_the_real_landsat_polygons(tiny_bundle: Bundle, scenes: Path, tmp_path: Path) -> None:
    """The tiles that finetune would learn from the same polygons are those that are checked."""
    folder = scenes / "polygons"
    classes = ["forest", "barren", "herbaceous", "water", "urban"]
    out = tmp_path / "out.gpkg"
    how: dict[str, Any] = {"model": str(tiny_bundle.folder), "tile_size": "6", "device": "cpu", "captions": False}
    api.classify(str(folder / "landsat7_1999.tif"), classes, out, bidx=(3, 2, 1), **how)
    polygons = str(folder / "training_data.shp")
    layer = read_map_layer(str(out))
    reference = read_reference(polygons, "class", layer.place)
    places = np.array([classes.index(name) for name in reference.classes])
    truth = samples_from_polygons(layer.polygons, reference.geometries, places, 5, 0.5)
    learned = from_polygons(
        [str(folder / "landsat7_1999.tif")], polygons, "class", image_size=8, options=SceneOptions(tile_size="6")
    )
    ids = read_layer(out, "tiles", ["tile_id"])["tile_id"].tolist()
    shown = {ids[row]: classes[place] for row, place in zip(truth.rows, truth.classes, strict=True)}
    assert shown and {e.source_id: learned.labels.names[e.label] for e in learned.examples}.items() <= shown.items()
    assert check(out, polygons).counts["with_truth"] == len(shown)
