"""References of a sample from CSV files."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from bimors_cli.cli.main import app
from bimors_cli.errors import InputError
from bimors_cli.evaluation.areas.answers import with_answers
from bimors_cli.evaluation.areas.assess_sample import assess_sample
from bimors_cli.evaluation.areas.design import CANNOT_TELL
from bimors_cli.evaluation.areas.sample_file import Sample, read_sample
from tests.evaluation.areas.samples import drawn_tiles, write
from tests.evaluation.areas.test_assess_sample import filled

MAPPED = ("forest", "forest", "forest", "river", "river", "river")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "sample.gpkg", drawn_tiles(MAPPED))


@pytest.fixture
def sample(path: Path) -> Sample:
    return read_sample(path)


def table(path: Path, references: dict[int, str], *, separator: str = ",", start: str = "", end: str = "\r\n") -> Path:
    """Write answers by the number of the tile."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=end)
    writer.writerow(["tile_id", "longitude", "reference", "note"])
    writer.writerows(
        [f"s/{row}/0", "7,25", reference, 'a "note";\nof two lines'] for row, reference in references.items()
    )
    path.write_bytes((start + text.getvalue()).encode())
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize(("start", "end"), [("", "\n"), ("\ufeff", "\r\n")])
def test_the_tables_of_programs_are_read(sample: Sample, tmp_path: Path, separator: str, start: str, end: str) -> None:
    answers = {0: " Forest", 1: "RIVER ", 2: "Cannot_Tell", 3: "", 5: "river"}
    file = table(tmp_path / "a.csv", answers, separator=separator, start=start, end=end)
    assert with_answers(sample, [file]).references == ("forest", "river", CANNOT_TELL, None, None, "river")


def test_columns_and_rows_may_be_in_any_order(sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Reference , TILE_ID\nriver,s/5/0\n\n,\nforest,s/0/0\n")
    assert with_answers(sample, [tmp_path / "a.csv"]).references == ("forest", None, None, None, None, "river")


def test_without_a_file_nothing_changes(sample: Sample) -> None:
    assert with_answers(sample, []) is sample


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return read_sample(write(tmp_path_factory.mktemp("answers") / "sample.gpkg", drawn_tiles(MAPPED)))


@given(st.lists(st.sampled_from(["forest", "river", CANNOT_TELL, ""]), min_size=6, max_size=6), st.data())
def test_answers_may_be_spread_over_files(lasting: Sample, references: list[str], data: st.DataObject) -> None:
    parts: list[dict[int, str]] = [{}, {}, {}]
    for row, reference in enumerate(references):
        for part in data.draw(st.sets(st.sampled_from(range(3)), min_size=1)):
            parts[part][row] = reference
    files = [table(lasting.path.with_name(f"{number}.csv"), part) for number, part in enumerate(parts)]
    assert with_answers(lasting, files).references == tuple(text or None for text in references)


def test_two_interpreters_who_differ_are_counted_and_refused(sample: Sample, tmp_path: Path) -> None:
    one = table(tmp_path / "one.csv", dict(enumerate(["forest", "forest", "forest", "river", "river", ""])))
    two = table(tmp_path / "two.csv", dict(enumerate(["forest", "river", "cannot tell", "river", "", "river"])))
    with pytest.raises(InputError) as error:
        with_answers(sample, [one, two])
    assert "different answers for 2 of 4 tiles (agreement 50.0 %): s/1/0, s/2/0" in error.value.message
    assert str(one) in error.value.message and str(two) in error.value.message
    assert error.value.hint is not None and "decide on these tiles together" in error.value.hint
    decided = table(tmp_path / "two.csv", dict(enumerate(["forest", "", "forest", "river", "", "river"])))
    merged = with_answers(sample, [one, decided])
    assert merged.references == ("forest", "forest", "forest", "river", "river", "river")


def test_a_file_may_not_contradict_the_layer(path: Path, tmp_path: Path) -> None:
    fill(path, ["forest", "forest", "river", None, None, None])
    sample = read_sample(path)
    agreeing = table(tmp_path / "a.csv", {0: "forest", 1: "", 3: "river"})
    expected = ("forest", "forest", "river", "river", None, None)
    assert with_answers(sample, [agreeing]).references == expected
    with pytest.raises(InputError, match=r"the column reference of .* different answers for 1 of 2 tiles .*: s/2/0"):
        with_answers(sample, [table(tmp_path / "b.csv", {0: "forest", 2: "forest"})])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tile_id,reference\ns/9/0,forest\n", "line 2: .* has no tile 's/9/0'"),
        ("tile_id,reference\ns/0/0,forest\ns/1/0,river\ns/0/0,forest\n", "line 4: the tile s/0/0 is also in line 2"),
        ("tile_id,reference\ns/0/0,harbour\n", "line 2: 'harbour' is not a label"),
        ("tile,reference\ns/0/0,forest\n", "no column tile_id"),
        ("tile_id;class\ns/0/0;forest\n", "no column reference"),
        ("tile_id,reference,Reference\ns/0/0,forest,river\n", "several columns reference"),
        ("", "no column tile_id"),
        ('tile_id,reference\n"s/0/0,forest\n', "invalid CSV"),
        ("tile_id,reference\n,forest\n", "has no tile ''"),
    ],
)
def test_what_is_refused(sample: Sample, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match=message) as error:
        with_answers(sample, [tmp_path / "a.csv"])
    assert error.value.hint and "\n" not in error.value.message + error.value.hint


def test_a_file_that_is_not_utf_8_or_does_not_exist(sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("tile_id,reference\ns/0/0,Gewässer\n".encode("cp1252"))
    with pytest.raises(InputError, match="line 2: not UTF-8"):
        with_answers(sample, [tmp_path / "a.csv"])
    with pytest.raises(InputError, match="cannot be read"):
        with_answers(sample, [tmp_path / "none.csv"])


def test_an_answer_for_a_tile_that_was_deleted(path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        drop_triggers(database)
        database.execute("DELETE FROM sample WHERE tile_id = 's/0/0'")
    with pytest.raises(InputError, match="the tile s/0/0 was deleted"):
        with_answers(read_sample(path), [table(tmp_path / "a.csv", {0: "forest"})])


def test_the_estimates_are_those_of_the_same_references_in_the_layer(tmp_path: Path) -> None:
    in_layer = filled(tmp_path / "filled.gpkg")
    references = read_sample(in_layer).references
    empty = filled(tmp_path / "empty.gpkg", (None,) * len(references))
    file = table(tmp_path / "a.csv", {row: text or "" for row, text in enumerate(references)})
    found, expected = (assess_sample(*given).as_json() for given in ((empty, None, None, (file,)), (in_layer,)))
    assert {**found, "sample": None} == {**expected, "sample": None}


def test_answers_are_for_samples(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", {})
    (tmp_path / "out.gpkg").write_bytes(b"")
    for more in ([], ["--reference", "truth.gpkg", "--field", "class"]):
        result = CliRunner().invoke(app, ["evaluate", str(tmp_path / "out.gpkg"), "--answers", str(file), *more])
        assert result.exit_code == 2 and "--answers is for a sample" in result.stderr


def fill(path: Path, references: Sequence[str | None]) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        drop_triggers(database)
        for row, reference in enumerate(references):
            database.execute("UPDATE sample SET reference = ? WHERE tile_id = ?", (reference, f"s/{row}/0"))


def drop_triggers(database: sqlite3.Connection) -> None:
    """Drop the triggers of the spatial index, which call functions of SpatiaLite."""
    for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        database.execute(f'DROP TRIGGER "{trigger}"')
