"""QGIS itself opens a sample: the form offers the labels, and tiles show whether they are labelled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import pytest
import shapely

from bimors_cli.evaluation.areas.design import CANNOT_TELL
from bimors_cli.evaluation.areas.neighbours import neighbours
from bimors_cli.evaluation.areas.sample_file import read_sample
from bimors_cli.output.form import NULL_VALUE
from bimors_cli.output.sample_style import CONTEXT, FINISHED, OPEN, UNSURE
from bimors_cli.provenance import RunProvenance
from tests.evaluation.areas.samples import SOURCE, drawn_tiles, write
from tests.qgis.conftest import InQgis

pytestmark = pytest.mark.qgis

LABELS = ["forest & 'heath'", 'a "big" <river>', "back\\slash", "المدينة", "=1+1"]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = RunProvenance(
        version="0", command="bimors classify", run_key=SOURCE.run_key, scene_paths=("/s.tif",),
        labels=dict.fromkeys(LABELS),
    )  # fmt: skip
    grid = geopandas.GeoDataFrame(
        {"tile_id": ["s/0/0", "s/0/1"], "scene": "s.tif", "row": [0, 0], "col": [0, 1]},
        geometry=[shapely.box(5e5 + 100 * col, 4.6e6, 500_100 + 100 * col, 4_600_100) for col in (0, 1)],
        crs=32618,
    )
    context = neighbours(grid, grid[:1])
    return write(
        tmp_path_factory.mktemp("sample") / "sample.gpkg", drawn_tiles([*LABELS, None]), source=source, context=context
    )


@pytest.fixture(scope="module")
def shown(sample: Path, in_qgis: InQgis) -> dict[str, Any]:
    """The sample as QGIS has it after a user answered five of six tiles."""
    answers = {"s/0/0": LABELS[0], "s/1/0": LABELS[1], "s/2/0": LABELS[2], "s/3/0": "Cannot tell ", "s/4/0": " "}
    found: dict[str, Any] = in_qgis("form.py", layer=str(sample), name="sample", answers=answers)
    return found


def test_the_form_offers_the_labels_and_nothing_else_can_be_changed(shown: dict[str, Any]) -> None:
    fields = shown["fields"]
    assert {name for name, about in fields.items() if not about["readonly"]} == {"reference", "note"}
    assert {name: about["widget"] for name, about in fields.items()} == {
        **dict.fromkeys(fields, "TextEdit"),
        "fid": "Hidden",
        "reference": "ValueMap",
    }
    choices = fields["reference"]["config"]["map"]
    assert [value for choice in choices for value in choice.values()] == [NULL_VALUE, *LABELS, CANNOT_TELL]
    assert [shown for choice in choices[1:] for shown in choice] == [*LABELS, CANNOT_TELL]
    assert fields["note"]["config"]["IsMultiline"] is True and shown["hidden"] == ["fid"]


def test_tiles_show_whether_they_are_labelled(shown: dict[str, Any]) -> None:
    assert shown["renderer"] == "RuleRenderer"
    outlines = [shown["drawn"][f"s/{row}/0"] for row in range(6)]
    assert all(set(one["fill"]) == {0} for one in outlines)  # Qt::NoBrush: the image stays visible
    wanted = [FINISHED, FINISHED, FINISHED, UNSURE, OPEN, OPEN]
    assert [(one["outline"], one["width"]) for one in outlines] == [(one.colour, one.width_mm) for one in wanted]
    assert shown["names"]["s/0/0"] == f"s/0/0: {LABELS[0]}" and shown["names"]["s/5/0"] == "s/5/0: to label"


def test_what_qgis_writes_is_read(shown: dict[str, Any], sample: Path) -> None:
    assert read_sample(sample).references == (*LABELS[:3], "Cannot tell", None, None)


def test_neighbours_are_thin_outlines(sample: Path, in_qgis: InQgis) -> None:
    shown = in_qgis("form.py", layer=str(sample), name="neighbours")
    (outline,) = shown["drawn"].values()
    assert (shown["renderer"], outline["outline"], set(outline["fill"])) == ("singleSymbol", CONTEXT.colour, {0})
    assert outline["width"] < OPEN.width_mm / 2 and shown["names"] == {"s/0/1": "s/0/1"}
