"""What reads layers whose tiles settled their labels together."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest

from bimors_cli.pipeline.summary import Summary
from tests.pipeline.refining import LABELS, Classify, assert_same_rows, bimors, classify, options, rows, scene

__all__ = ["classify", "options", "scene"]


@pytest.fixture
def voted(scene: str, classify: Classify) -> Summary:
    return classify(scene, overlap="50%", vote=True, refine="spatial")


def test_preview_and_report_of_cells(voted: Summary, tmp_path: Path) -> None:
    assert bimors("preview", voted.output, "-o", "map.png", cwd=tmp_path).exit_code == 0
    assert bimors("report", voted.output, "-o", "page.html", cwd=tmp_path).exit_code == 0
    page = (tmp_path / "page.html").read_text()
    assert "16 x 16 pixels" in page and "spatial" in page and "Tiles overlap" not in page
    assert "scene/13/19" in page


def test_result_knows_the_grid_of_the_rows(voted: Summary, scene: str) -> None:
    from bimors_cli.results.classified_layer import read_classified_layer, read_tiles

    result = read_classified_layer(Path(str(voted.output)))
    assert len(result.scenes[0].grid) == 14 * 20
    tiles = read_tiles(result, result.scenes[0])
    assert len(tiles.windows) == len(rows(voted))
    assert set(np.diff(tiles.windows[:, [0, 2]]).ravel()) == {16, 6}  # the last column is clipped


def test_a_voted_layer_is_compared_with_a_reference(voted: Summary, tmp_path: Path) -> None:
    from bimors_cli.evaluation.accuracy.assess import assess
    from bimors_cli.options.accuracy import AssessOptions

    layer = rows(voted)
    truth = layer[["label", "geometry"]].rename(columns={"label": "class"})
    truth.to_file(tmp_path / "truth.gpkg")
    options = AssessOptions(layer_file=str(voted.output), reference=str(tmp_path / "truth.gpkg"), field="class")
    check = assess(options)
    accuracy = check.scores.all_samples.accuracy
    assert accuracy.correct == accuracy.total == check.counts["tiles"] == check.counts["with_truth"] == len(layer)


def test_a_corrected_cell_is_an_example(voted: Summary, scene: str, tmp_path: Path) -> None:
    from bimors_cli.training.examples.corrected_layer import from_layer
    from tests.scene.reading import read_all, reader_of
    from tests.training.examples.test_corrected_layer import edit

    layer = rows(voted)
    typed = next(name for name in LABELS if name != layer.set_index("tile_id").loc["scene/13/19", "label"])
    edit(Path(str(voted.output)), f"UPDATE tiles SET label = '{typed}' WHERE tile_id = 'scene/13/19'")
    examples = from_layer(Path(str(voted.output)), image_size=16)
    assert [(e.source_id, examples.labels.names[e.label]) for e in examples.examples] == [("scene/13/19", typed)]
    expected = read_all(reader_of(scene, 16), 16)[-1].image
    found = examples.images.read(0)
    assert found is not None and (found == expected).all()


def test_a_voted_layer_beside_another(voted: Summary, scene: str, classify: Classify) -> None:
    before = rows(voted)
    added = classify(scene, append=True, layer="refined", refine="transductive")
    assert rows(voted).equals(before) and len(rows(added, "refined")) == 60
    again = classify(scene, append=True, layer="cells", overlap="50%", vote=True, refine="spatial")
    assert_same_rows(rows(again, "cells"), before)
    assert classify(
        scene, append=True, layer="cells", overlap="50%", vote=True, refine="spatial", resume=True
    ).finished_before


def test_shards_settle_when_they_are_merged(scene: str, classify: Classify, tmp_path: Path) -> None:
    how = {"overlap": "50%", "vote": True, "refine": "spatial", "probabilities": True}
    whole = rows(classify(scene, "whole.gpkg", **how))
    journals = [str(classify(scene, shard=f"{part}/3", **how).output) for part in (1, 2, 3)]
    merged = bimors("merge", tmp_path / "out.gpkg", *journals, cwd=tmp_path)
    assert merged.exit_code == 0, merged.stderr
    assert_same_rows(geopandas.read_file(tmp_path / "out.gpkg", layer="tiles"), whole)
    assert "voted:" in merged.stderr and "refined:" in merged.stderr
