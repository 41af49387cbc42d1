"""Accuracy and areas from a sample whose references are filled in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely
from typer.testing import CliRunner

from bimors_cli.cli.main import app
from bimors_cli.errors import InputError
from bimors_cli.evaluation.areas.assess_sample import assess_sample
from bimors_cli.evaluation.areas.report import doubts
from tests.evaluation.areas.samples import SOURCE, drawn_tiles, edit, fill, write

MAPPED = ("forest", "forest", "forest", "forest", "river", "river", "river", None, None)
REFERENCE = ("forest", "Forest ", "river", "forest", "river", "river", "forest", "river", "river")


def filled(path: Path, references: tuple[str | None, ...] = REFERENCE) -> Path:
    tiles = drawn_tiles(MAPPED, hectares=np.full(len(MAPPED), 2.5))
    return fill(write(path, tiles), dict(zip(tiles.tile_ids, references, strict=True)))


def test_the_estimates_by_hand(tmp_path: Path) -> None:
    found = assess_sample(filled(tmp_path / "sample.gpkg"))
    # Ten times as many tiles in each stratum: 40 forest, 30 river, 20 without a label, 2.5 ha each.
    assert found.overall.value == pytest.approx((40 * 3 / 4 + 30 * 2 / 3) / 90)
    forest, river = found.classes
    assert (forest.label, forest.mapped_ha, river.mapped_ha) == ("forest", 100, 75)
    assert forest.area_ha.value == pytest.approx(2.5 * (40 * 3 / 4 + 30 / 3))
    assert river.area_ha.value == pytest.approx(2.5 * (40 / 4 + 30 * 2 / 3 + 20))
    assert (forest.users.value, river.users.value) == pytest.approx((3 / 4, 2 / 3))
    assert forest.producers.value == pytest.approx(30 / 40)
    # s^2 of 3 of 4 is 1/4, of 1 of 3 it is 1/3, and none of the third stratum.
    variance = 40**2 * 0.9 * (1 / 4) / 4 + 30**2 * 0.9 * (1 / 3) / 3
    assert forest.area_ha.se == pytest.approx(2.5 * variance**0.5)
    assert found.confusion == ((3, 1), (1, 2), (0, 2))
    assert (found.finished, found.unfinished, found.cannot_tell, found.deleted) == (9, 0, 0, 0)


def test_what_is_not_known_is_counted_and_left_out(tmp_path: Path) -> None:
    references = ("forest", None, "river", "forest", "river", "Cannot tell", "forest", "river", None)
    found = assess_sample(filled(tmp_path / "sample.gpkg", references))
    assert (found.finished, found.unfinished, found.cannot_tell) == (6, 2, 1)
    assert found.alone == ("no label",) and np.isnan(found.overall.se)
    assert found.as_json()["overall"]["se"] is None
    assert found.overall.value == pytest.approx((40 * 2 / 3 + 30 / 2) / 90)


@pytest.mark.parametrize(
    ("references", "message"),
    [
        ((None,) * 9, "no tile has a reference"),
        ((*REFERENCE[:7], None, None), "no tile of the stratum 'no label'"),
        ((*REFERENCE[:8], "harbour"), "'harbour' is not a label"),
    ],
)
def test_references_that_cannot_be_used(tmp_path: Path, references: tuple[str | None, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        assess_sample(filled(tmp_path / "sample.gpkg", references))


def test_the_command_prints_json_alone_on_standard_output(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["evaluate", str(filled(tmp_path / "sample.gpkg")), "--json"])
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert set(found["overall"]) == {"accuracy", "se", "accuracy_low", "accuracy_high"}
    keys = {"mapped_ha", "area_ha", "area_se_ha", "users", "users_se", "producers", "producers_se"}
    bounds = {f"{name}_{end}" for name in ("users", "producers") for end in ("low", "high")}
    counts = {"tiles_mapped", "tiles_reference", "tiles_right"}
    assert set(found["classes"]) == {"forest", "river"}
    assert set(found["classes"]["river"]) == keys | bounds | counts | {"area_low_ha", "area_high_ha"}
    assert found["classes"]["river"]["tiles_reference"] == 5 and found["hectares"] == 225
    assert sum(map(sum, found["confusion"]["proportions"])) == pytest.approx(1)
    assert [(one["name"], one["tiles"], one["finished"]) for one in found["strata"]] == [
        ("forest", 40, 4), ("river", 30, 3), ("no label", 20, 2),
    ]  # fmt: skip
    assert "overall accuracy 55.6 % (" in result.stderr and "kappa" not in result.stderr


def test_a_class_of_which_all_tiles_are_right_has_an_interval(tmp_path: Path) -> None:
    found = assess_sample(filled(tmp_path / "sample.gpkg", ("forest",) * 4 + ("river",) * 5))
    forest, _ = found.classes
    assert (forest.users.value, forest.users.se, forest.users.high) == (1, 0, 1)
    # Four of four tiles, of 40: p^(4 / 0.9) / 2 is 2.5 %.
    assert forest.users.low == pytest.approx(0.05 ** (0.9 / 4))
    assert "use 50 or more" in "\n".join(doubts(found))


def test_labels_that_were_typed_into_the_map_are_classes(tmp_path: Path) -> None:
    tiles = drawn_tiles(["forest", "forest", "harbour", "harbour"], hectares=np.ones(4))
    write(tmp_path / "sample.gpkg", tiles)
    fill(tmp_path / "sample.gpkg", dict(zip(tiles.tile_ids, ("forest", "harbour", "Harbour", "harbour"), strict=True)))
    found = assess_sample(tmp_path / "sample.gpkg")
    assert [one.label for one in found.classes] == ["forest", "river", "harbour"]
    assert found.overall.value == 0.75 and found.classes[2].users.value == 1 and found.classes[2].mapped_ha == 50


def exchange(column: str) -> str:
    """A statement that exchanges a column of the first two tiles."""
    return (
        f"UPDATE sample SET {column} = (SELECT {column} FROM sample AS other WHERE other.fid = 3 - sample.fid)"
        " WHERE fid < 3"
    )


@pytest.mark.parametrize(
    "statements",
    [
        [exchange("geom")],
        ["UPDATE sample SET row = row + 1 WHERE fid = 1"],
        ["UPDATE sample SET row = 1000 WHERE fid = 1"],
        ["UPDATE sample SET row = NULL WHERE fid = 1"],
        ["UPDATE sample SET scene = 'other.tif' WHERE fid = 1"],
        ["UPDATE sample SET geom = NULL WHERE fid = 1"],
        # Of both columns of the place, but not of the id.
        [exchange("geom"), exchange('"row"')],
    ],
)
def test_a_tile_that_was_moved_is_refused(tmp_path: Path, statements: list[str]) -> None:
    path = edit(filled(tmp_path / "sample.gpkg"), *statements)
    with pytest.raises(InputError, match=r"the tile s/./0 is not where the run of the map had it") as refused:
        assess_sample(path)
    assert refused.value.hint and "\n" not in refused.value.message


@pytest.mark.parametrize(("shift", "is_refused"), [(0.05, False), (0.5, True)])
def test_a_thousandth_of_a_tile_is_rounding(tmp_path: Path, shift: float, is_refused: bool) -> None:
    tiles = drawn_tiles(["forest", "forest"], hectares=np.ones(2))
    moved = replace(tiles, polygons=shapely.transform(tiles.polygons, lambda xy: xy + np.array([shift, 0])))
    path = fill(write(tmp_path / "sample.gpkg", moved), dict.fromkeys(tiles.tile_ids, "forest"))
    if is_refused:
        with pytest.raises(InputError, match="not where"):
            assess_sample(path)
    else:
        assert assess_sample(path).overall.value == 1


def test_a_damaged_record_of_the_scenes(tmp_path: Path) -> None:
    source = replace(SOURCE, run_key={"scenes": [{"name": "s.tif"}]})
    path = write(tmp_path / "sample.gpkg", drawn_tiles(["forest"]), source=source)
    with pytest.raises(InputError, match="record of the scenes is damaged"):
        assess_sample(path)


def test_an_exported_copy_is_refused(tmp_path: Path) -> None:
    frame = pyogrio.read_dataframe(filled(tmp_path / "sample.gpkg"), layer="sample")
    frame.to_file(tmp_path / "copy.gpkg", layer="sample")
    result = CliRunner().invoke(app, ["evaluate", str(tmp_path / "copy.gpkg")])
    assert result.exit_code == 2 and "bimors restore" in result.stderr


def test_an_ordinary_layer_needs_a_reference_or_a_sample(tmp_path: Path) -> None:
    (tmp_path / "out.gpkg").write_bytes(b"")
    result = CliRunner().invoke(app, ["evaluate", str(tmp_path / "out.gpkg")])
    assert result.exit_code == 2 and "bimors sample" in result.stderr
