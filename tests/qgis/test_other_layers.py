"""QGIS itself opens the layers of tiles, caption and search: their styles are as meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from PIL import Image

from bimors_cli.labels import Label, Labels
from bimors_cli.output.classified_schema import INTEGER, REAL, TEXT, make_frame
from bimors_cli.output.formats import GPKG, write_layer
from bimors_cli.output.layer_schema import TILE_COLUMNS, TileSchema
from bimors_cli.output.style import (
    CONFIDENCE_COLOURS,
    FILL_ALPHA,
    Style,
    caption_qml,
    change_probability_qml,
    change_qml,
    outline_qml,
    score_qml,
)
from tests.qgis.conftest import InQgis

pytestmark = pytest.mark.qgis

CENTRES = [[500_000 + 500 + 1000 * i, 4_600_000 + 500] for i in range(3)]
EDGE = [500_000 + 1000, 4_600_000 + 500]


def look(
    in_qgis: InQgis, folder: Path, style: str, more: Mapping[str, Sequence[Any]], **options: Any
) -> dict[str, Any]:
    kinds = {"caption": TEXT, "label": TEXT, "reason": TEXT, "rank": INTEGER, "score": REAL}
    kinds |= {"transition": TEXT, "stratum": TEXT, "change_probability": REAL}
    spec = TileSchema(
        "found",
        "EPSG:32633",
        {**TILE_COLUMNS, **{name: kinds[name] for name in more}},
        Style("theirs", style, "of the test"),
    )
    places: dict[str, Sequence[Any]] = {
        "tile_id": [f"scene/0/{i}" for i in range(3)],
        "scene": ["scene.tif"] * 3,
        "row": [0] * 3,
        "col": range(3),
    }
    polygons = np.array([shapely.box(x - 500, y - 500, x + 500, y + 500) for x, y in CENTRES], object)
    path = folder / "out.gpkg"
    write_layer(path, [make_frame({**places, **more}, polygons, spec)], GPKG, spec, overwrite=False)
    shown: dict[str, Any] = in_qgis("look.py", layer=str(path), name="found", **options)
    assert (shown["valid"], shown["styles"]) == (True, ["theirs"])
    return shown


def test_empty_tiles_are_outlines(tmp_path: Path, in_qgis: InQgis) -> None:
    png = str(tmp_path / "map.png")
    shown = look(in_qgis, tmp_path, outline_qml(), {}, png=png, points=[*CENTRES, EDGE], width=600)
    assert (shown["renderer"], shown["written"]) == ("singleSymbol", False)
    assert shown["tips"] == shown["names"] == [f"scene/0/{i}" for i in range(3)]
    *inside, edge = shown["pixels"]
    assert inside == [[255, 255, 255]] * 3 and edge != [255, 255, 255]


def test_a_caption_is_written_into_its_tile(tmp_path: Path, in_qgis: InQgis) -> None:
    said = {"caption": ["<i>many</i> trees & a river in the middle", "water", None], "reason": [None, None, "nodata"]}
    png = tmp_path / "map.png"
    shown = look(in_qgis, tmp_path, caption_qml(), said, png=str(png), written=True, width=1200)
    assert (shown["renderer"], shown["written"]) == ("singleSymbol", True)
    assert shown["tips"] == ["&lt;i>many&lt;/i> trees &amp; a river in the middle", "water", "no caption: nodata"]
    from PIL import Image

    # Something black stands in the first tile, though the sentence is wider than the tile; nothing in the last.
    first, _, last = np.split(np.asarray(Image.open(png).convert("L")), 3, axis=1)
    assert (first[:, 20:-20] < 60).sum() > 100 and (last[20:-20, 20:-20] < 60).sum() == 0


def test_found_tiles_are_coloured_by_score_and_numbered(tmp_path: Path, in_qgis: InQgis) -> None:
    hits = {"rank": [1, 2, 3], "score": [0.31, 0.27, 0.21], "label": ["a <b>", None, "c"], "caption": ["x", None, "y"]}
    shown = look(in_qgis, tmp_path, score_qml(0.21, 0.31), hits)
    assert (shown["renderer"], shown["attribute"], shown["written"]) == ("graduatedSymbol", "score", True)
    palette = [[*bytes.fromhex(colour[1:]), FILL_ALPHA] for colour in CONFIDENCE_COLOURS]
    assert shown["colours"] == palette and shown["fills"] == [palette[4], palette[2], palette[0]]
    assert shown["ranges"][0][0] == pytest.approx(0.21) and shown["ranges"][-1][1] == pytest.approx(0.31)
    assert shown["tips"] == ["<b>1</b> 0.31<br>a &lt;b><br>x", "<b>2</b> 0.27", "<b>3</b> 0.21<br>c<br>y"]


def test_equal_scores_have_one_colour(tmp_path: Path, in_qgis: InQgis) -> None:
    hits = {"rank": [1, 2, 3], "score": [0.25] * 3, "label": [None] * 3, "caption": [None] * 3}
    shown = look(in_qgis, tmp_path, score_qml(0.25, 0.25), hits)
    assert len(shown["ranges"]) == 1 and shown["fills"] == [[253, 231, 37, FILL_ALPHA]] * 3


CHANGES: Mapping[str, Sequence[Any]] = {
    "stratum": ["change", "doubtful", "no change"],
    "transition": ["forest → <lake>", None, None],
    "change_probability": [0.97, 0.5, 0.01],
    "caption": ["forest 91 % → <lake> 99 %", "forest 50 % → <lake> 60 %", "forest 99 % → forest 99 %"],
}


def test_changes_have_the_colour_of_the_class_after(tmp_path: Path, in_qgis: InQgis) -> None:
    labels = Labels((Label("forest", "#00ff00"), Label("<lake>", "#0000ff")))
    style = change_qml(labels, [("forest → <lake>", "forest", "<lake>")])
    png = str(tmp_path / "map.png")
    shown = look(in_qgis, tmp_path, style, CHANGES, png=png, points=[*CENTRES, EDGE], width=600)
    assert shown["renderer"] == "categorizedSymbol"
    assert [value for value, _ in shown["categories"]] == ["forest → <lake>", "doubtful", "no change", ""]
    assert shown["categories"][-1][1] == "not compared"
    assert shown["fills"][0] == [0, 0, 255, FILL_ALPHA] and shown["fills"][2][3] < 30
    changed, _, kept, _ = shown["pixels"]
    assert changed[2] > changed[0] + 100 and min(kept) > 245
    # The hatching of the doubtful tile leaves most of its ground free.
    drawn = np.asarray(Image.open(png).convert("L")).astype(int)
    middle = drawn[:, drawn.shape[1] // 3 + 20 : 2 * drawn.shape[1] // 3 - 20]
    hatched = (middle[middle.shape[0] // 3 : 2 * middle.shape[0] // 3] < 220).mean()
    assert 0.02 < hatched < 0.5
    assert shown["tips"][0] == "<b>forest → &lt;lake></b>, change 97 %<br>forest 91 % → &lt;lake> 99 %"
    assert shown["names"] == ["forest → <lake>", "doubtful", "no change"]


def test_the_probability_of_change_in_five_steps(tmp_path: Path, in_qgis: InQgis) -> None:
    shown = look(in_qgis, tmp_path, change_probability_qml(), CHANGES)
    assert (shown["renderer"], shown["attribute"]) == ("graduatedSymbol", "change_probability")
    steps = [[*bytes.fromhex(colour[1:]), FILL_ALPHA] for colour in CONFIDENCE_COLOURS]
    assert shown["fills"] == [steps[4], steps[2], steps[0]]
