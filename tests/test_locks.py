"""Lock files: refused while another process holds one, and free afterwards."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bimors_cli.errors import BundleError
from bimors_cli.locks import acquire_lock, supports_locks
from bimors_cli.output.atomic import scratch


@pytest.mark.parametrize("keep_file", [False, True])
def test_a_lock_is_held_until_it_is_released(tmp_path: Path, keep_file: bool) -> None:
    path = tmp_path / "lock"
    with acquire_lock(path, BundleError, "busy", keep_file=keep_file) as lock:
        assert lock.is_held
        with pytest.raises(BundleError) as caught:
            acquire_lock(path, BundleError, "busy", "wait", owner=lambda: " (process 1)")
        assert (caught.value.message, caught.value.hint) == ("busy (process 1)", "wait")
    assert not lock.is_held and path.exists() == keep_file
    acquire_lock(path, BundleError, "busy").release()


def test_a_process_that_ends_leaves_a_free_lock(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from bimors_cli.errors import BundleError; "
        "from bimors_cli.locks import acquire_lock; acquire_lock(Path(sys.argv[1]), BundleError, 'busy'); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], check=False).returncode == 9
    acquire_lock(tmp_path / "lock", BundleError, "busy").release()


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        acquire_lock(tmp_path / "file" / "lock", BundleError, "busy")


@pytest.mark.parametrize("name", ["ENOLCK", "EOPNOTSUPP", "ENOSYS"])
def test_a_drive_without_locks_is_used_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Also where a killed run left the lock file: it says nothing on such a drive."""

    def no_locks(fd: int, operation: int) -> None:
        raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)))

    (tmp_path / "lock").touch()
    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert not supports_locks(tmp_path)
    with caplog.at_level(logging.WARNING, "bimors"), acquire_lock(tmp_path / "lock", BundleError, "busy") as lock:
        assert lock.is_held
    assert not lock.is_held
    assert [record.message for record in caplog.records] == [
        f"{tmp_path}: this drive does not support file locks: make sure that no other run writes there"
    ]
    with scratch(tmp_path / "out.gpkg") as built:
        built.touch()
    assert not list(tmp_path.glob("out.gpkg*"))
