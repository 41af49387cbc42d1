"""Accuracy and areas from a sample whose references are filled in."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bimors_cli.cli.main import app
from bimors_cli.errors import InputError
from bimors_cli.evaluation.areas.assess_sample import assess_sample
from tests.evaluation.areas.samples import drawn_tiles, write

MAPPED = ("forest", "forest", "forest", "forest", "river", "river", "river", None, None)
REFERENCE = ("forest", "Forest ", "river", "forest", "river", "river", "forest", "river", "river")


def filled(path: Path, references: tuple[str | None, ...] = REFERENCE) -> Path:
    tiles = drawn_tiles(MAPPED, hectares=np.full(len(MAPPED), 2.5))
    write(path, tiles)
    with closing(sqlite3.connect(path)) as database, database:
        # The triggers of the spatial index call functions of SpatiaLite, for changes of the geometry too.
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{trigger}"')
        for tile_id, reference in zip(tiles.tile_ids, references, strict=True):
            database.execute("UPDATE sample SET reference = ? WHERE tile_id = ?", (reference, tile_id))
    return path


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
    assert set(found["overall"]) == {"accuracy", "se"}
    keys = {"mapped_ha", "area_ha", "area_se_ha", "users", "users_se", "producers", "producers_se"}
    assert set(found["classes"]) == {"forest", "river"} and set(found["classes"]["river"]) == keys
    assert "overall accuracy 55.6 %" in result.stderr and "kappa" not in result.stderr


def test_an_ordinary_layer_needs_a_reference_or_a_sample(tmp_path: Path) -> None:
    (tmp_path / "out.gpkg").write_bytes(b"")
    result = CliRunner().invoke(app, ["evaluate", str(tmp_path / "out.gpkg")])
    assert result.exit_code == 2 and "bimors sample" in result.stderr
