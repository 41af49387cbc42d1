"""The journal survives kills, torn lines and second runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bimors_cli.errors import InputError, JournalError
from bimors_cli.pipeline.checkpoint.journal import Journal
from bimors_cli.pipeline.tile_result import TileResult
from tests.hardening.forks import Forks

RUN = {"labels": ["forest", "river"], "tile size": "224"}
SIZES = [10, 5]


def results(*tiles: tuple[int, int]) -> list[TileResult]:
    return [TileResult(s, i, None, ((0, 0.75), (1, 0.25)), f"a caption of {i} é") for s, i in tiles]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.gpkg.bimors-journal"


def test_records_come_back_in_the_order_of_the_grid(path: Path) -> None:
    with Journal(path, RUN, SIZES, resume=False) as journal:
        journal.append(results((1, 2), (0, 7)))
        journal.append(results((0, 3)))
        journal.append([])
        assert [(r.scene, r.index) for r in journal.results()] == [(0, 3), (0, 7), (1, 2)]
        assert list(journal.results())[2] == results((1, 2))[0]


def test_resume_knows_what_is_done(path: Path) -> None:
    with Journal(path, RUN, SIZES, resume=False) as journal:
        journal.append(results((0, 3), (1, 0)))
    with Journal(path, RUN, SIZES, resume=True) as journal:
        assert journal.is_done(0, 3) and journal.is_done(1, 0) and not journal.is_done(0, 0)
        assert journal.count() == 2
        journal.append(results((0, 0)))
        assert [r.index for r in journal.results()] == [0, 3, 0]


def test_without_resume_it_starts_anew(path: Path) -> None:
    with Journal(path, RUN, SIZES, resume=False) as journal:
        journal.append(results((0, 3)))
    with Journal(path, RUN, SIZES, resume=False) as journal:
        assert journal.count() == 0


def test_failed_tiles_are_tried_again_and_the_new_answer_counts(path: Path) -> None:
    with Journal(path, RUN, SIZES, resume=False) as journal:
        journal.append([TileResult(0, 1, "read_error"), TileResult(0, 2, "nodata")])
        assert [r.reason for r in journal.results()] == ["read_error", "nodata"]
    with Journal(path, RUN, SIZES, resume=True) as journal:
        assert not journal.is_done(0, 1) and journal.is_done(0, 2)
        journal.append(results((0, 1)))
        assert [r.reason for r in journal.results()] == [None, "nodata"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(cut=st.integers(1, 400), junk=st.binary(max_size=30))
def test_a_torn_tail_costs_only_itself(path: Path, cut: int, junk: bytes) -> None:
    """Whatever a kill cuts off or garbles at the end, whole lines before it count, and nothing else does."""
    with Journal(path, RUN, SIZES, resume=False) as journal:
        journal.append(results((0, 0), (0, 1), (0, 2), (1, 4)))
    content = path.read_bytes()
    kept = content[: max(content.index(b"\n") + 1, len(content) - cut)]
    path.write_bytes(kept + junk)
    whole = kept[: kept.rindex(b"\n") + 1].count(b'{"session"'), kept.count(b"\n")
    with Journal(path, RUN, SIZES, resume=True) as journal:
        assert journal.count() == whole[1] - 1 - whole[0]
        journal.append(results((0, 9)))
        assert [r for r in journal.results() if r.index == 9] == results((0, 9))
    with Journal(path, RUN, SIZES, resume=True) as journal:
        assert journal.is_done(0, 9)


def test_other_options_are_named(path: Path) -> None:
    with Journal(path, RUN, SIZES, resume=False):
        pass
    with pytest.raises(InputError, match=r'tile size \("224", now "128"\)'):
        Journal(path, {**RUN, "tile size": "128"}, SIZES, resume=True)
    with Journal(path, RUN, SIZES, resume=True):
        pass  # the refused one left no lock


@pytest.mark.parametrize("content", [b"", b"hello\n", b"00000000 {}\n"])
def test_a_file_that_is_no_journal_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(JournalError, match="not a journal"):
        Journal(path, RUN, SIZES, resume=True)
    assert path.read_bytes() == content


def open_journal(path: Path) -> None:
    try:
        Journal(path, RUN, SIZES, resume=False)
    except JournalError as error:
        print(error)


def test_a_second_run_is_refused_and_told_who_holds_it(path: Path, forks: Forks) -> None:
    with Journal(path, RUN, SIZES, resume=False) as journal:
        journal.append(results((0, 0)))
        refused = forks.call(open_journal, path)
        assert f"another run is writing this output (process {os.getpid()}" in refused.stdout, refused
        assert journal.count() == 1
    again = forks.call(open_journal, path)
    assert (again.code, again.stdout) == (0, "")


def test_nothing_is_left_after_the_end(path: Path) -> None:
    with Journal(path, RUN, SIZES, resume=False) as journal:
        journal.append(results((0, 0)))
        journal.delete()
    assert list(path.parent.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(JournalError, match="cannot be written"):
        Journal(file / "x.bimors-journal", RUN, SIZES, resume=False)
