"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

import pytest

from bimors_cli.errors import OutputError, OutputExistsError
from bimors_cli.output.atomic import check_target, replacing


def write(path: Path, text: str, *, overwrite: bool = False) -> None:
    with replacing(path, overwrite=overwrite) as built:
        built.write_text(text)
        built.with_name("beside").write_text("a library's journal")


def test_the_file_and_nothing_else_is_there_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "out.gpkg"
    write(target, "new")
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["out.gpkg"]


def test_during_the_work_the_target_is_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "out.gpkg"
    target.write_text("old")
    with replacing(target, overwrite=True) as built:
        built.write_text("new")
        assert built.name == "out.gpkg"
        assert built.parent.name.startswith("out.gpkg.tmp-")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_after_an_error_the_old_file_is_there_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "out.gpkg"
    target.write_text("old")
    with pytest.raises(error), replacing(target, overwrite=True) as built:
        built.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.gpkg"]


def test_an_existing_file_is_refused_with_the_way_out(tmp_path: Path) -> None:
    target = tmp_path / "out.gpkg"
    target.write_text("old")
    with pytest.raises(OutputExistsError, match=r"out\.gpkg exists") as caught:
        write(target, "new")
    assert "--overwrite" in str(caught.value.hint)
    assert target.read_text() == "old"


def test_a_file_that_appears_during_the_work_is_not_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "out.gpkg"
    with pytest.raises(OutputError, match="cannot be replaced"), replacing(target, overwrite=False) as built:
        built.write_text("mine")
        target.write_text("somebody else's")
    assert target.read_text() == "somebody else's"
    (kept,) = tmp_path.glob("out.tmp-*.gpkg")
    assert kept.read_text() == "mine"


def test_a_held_target_leaves_the_finished_file_and_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out.gpkg"
    target.write_text("old")

    def held(source: object, destination: object) -> None:
        raise PermissionError(errno.EACCES, "The process cannot access the file")

    monkeypatch.setattr(os, "replace", held)
    with pytest.raises(OutputError) as caught:
        write(target, "new", overwrite=True)
    (kept,) = tmp_path.glob("out.tmp-*.gpkg")
    assert str(kept) in caught.value.message
    assert "\n" not in caught.value.message
    assert "QGIS" in str(caught.value.hint)
    assert (target.read_text(), kept.read_text()) == ("old", "new")
    assert len(os.listdir(tmp_path)) == 2


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_a_file_that_another_program_has_open_is_refused(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / "out.gpkg"
    target.write_text("old")
    Path(f"{target}{suffix}").write_text("pages of the old file")
    with pytest.raises(OutputError, match="open in another program"):
        write(target, "new", overwrite=True)
    assert target.read_text() == "old"


def test_unusable_places_have_a_line_and_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path, said in (
        (tmp_path, "is a folder"),
        (tmp_path / "missing" / "out.gpkg", "folder .* not found"),
        (tmp_path / "file" / "out.gpkg", "folder .* not found"),
    ):
        with pytest.raises(OutputError, match=said) as caught:
            check_target(path, overwrite=True)
        assert caught.value.hint
        assert caught.value.message.count(str(path)) == 1
    with pytest.raises(OutputError, match="too long"):
        write(tmp_path / ("x" * 300), "new")


def test_a_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> str:  # tests may run as root, who is never refused
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with pytest.raises(OutputError, match="cannot write to the folder: Permission denied"):
        write(tmp_path / "out.gpkg", "new")


def test_a_disk_that_is_found_full_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out.gpkg"
    target.write_text("old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write(target, "new", overwrite=True)
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.gpkg"]


def test_a_drive_that_cannot_sync_is_good_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(handle: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", cannot)
    write(tmp_path / "out.gpkg", "new")
    assert (tmp_path / "out.gpkg").read_text() == "new"


@pytest.mark.skipif(os.name == "nt", reason="links and modes of POSIX")
def test_links_and_modes_stay(tmp_path: Path) -> None:
    real = tmp_path / "real" / "data.gpkg"
    real.parent.mkdir()
    real.write_text("old")
    real.chmod(0o664)
    link = tmp_path / "out.gpkg"
    link.symlink_to(real)
    write(link, "new", overwrite=True)
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert stat.S_IMODE(real.stat().st_mode) == 0o664
    fresh = tmp_path / "fresh.gpkg"
    mask = os.umask(0o022)
    try:
        write(fresh, "new")
    finally:
        os.umask(mask)
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o644
