"""Files of a bundle are hashed once; any change of their state voids the stamp."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bimors_cli.bundle import files, stamps
from bimors_cli.bundle.manifest import Bundle, open_bundle
from bimors_cli.bundle.store import verify_bundle
from bimors_cli.errors import BundleError

NAME = "captioner/model.safetensors"


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are hashed, in order."""
    found: list[Path] = []
    original = files.sha256_of

    def sha256_of(path: Path) -> str:
        found.append(path)
        return original(path)

    monkeypatch.setattr(files, "sha256_of", sha256_of)
    return found


@pytest.fixture
def copy(tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle whose files have settled."""
    monkeypatch.setattr(stamps, "SETTLED_NS", 0)
    return Path(shutil.copytree(tiny_bundle.folder, tmp_path / "copy"))


def flip_last_byte(path: Path) -> None:
    """Change the content in place, without a change of the size."""
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))


def stamp_file() -> Path:
    (path,) = Path(os.environ["BIMORS_CACHE"]).glob("verified/*.json")
    return path


def test_a_second_start_hashes_nothing(copy: Path, hashed: list[Path]) -> None:
    first = open_bundle(copy)
    assert len(hashed) == len(first.files)
    assert open_bundle(copy) == first and len(hashed) == len(first.files)


def test_nothing_is_written_into_the_bundle_and_only_the_user_reads_the_stamp(copy: Path) -> None:
    before = sorted(copy.rglob("*"))
    open_bundle(copy)
    assert sorted(copy.rglob("*")) == before
    assert stamp_file().stat().st_mode & 0o777 == 0o600


def rewrite_with_old_times(path: Path) -> None:
    old = path.stat()
    flip_last_byte(path)
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))


def replace_with_old_times(path: Path) -> None:
    other = path.with_name(".other")
    shutil.copy2(path, other)
    rewrite_with_old_times(other)
    other.replace(path)


@pytest.mark.parametrize("change", [flip_last_byte, rewrite_with_old_times, replace_with_old_times])
def test_a_changed_file_is_found(copy: Path, change: Callable[[Path], None]) -> None:
    open_bundle(copy)
    change(copy / NAME)
    with pytest.raises(BundleError, match="changed since"):
        open_bundle(copy)
    with pytest.raises(BundleError, match="changed since"):  # the failure left no stamp
        open_bundle(copy)


@pytest.mark.parametrize("change", [Path.touch, lambda path: shutil.copy2(shutil.move(path, f"{path}.x"), path)])
def test_only_the_files_with_another_state_are_hashed(
    copy: Path, hashed: list[Path], change: Callable[[Path], object]
) -> None:
    open_bundle(copy)
    hashed.clear()
    change(copy / NAME)
    (copy / f"{NAME}.x").unlink(missing_ok=True)
    open_bundle(copy)
    assert hashed == [copy / NAME]
    open_bundle(copy)
    assert hashed == [copy / NAME]


def test_another_device_or_inode_voids_the_stamp(copy: Path, hashed: list[Path]) -> None:
    open_bundle(copy)
    content = json.loads(stamp_file().read_text())
    for field in range(5):
        changed = json.loads(json.dumps(content))
        changed["files"][NAME][1][field] += 1
        stamp_file().write_text(json.dumps(changed))
        hashed.clear()
        open_bundle(copy)
        assert hashed == [copy / NAME]


def test_another_hash_in_the_manifest_voids_the_stamp(copy: Path) -> None:
    open_bundle(copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    for entry in manifest["files"]:
        if entry["path"] == NAME:
            entry["sha256"] = hashlib.sha256(b"other").hexdigest()
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="changed since"):
        open_bundle(copy)


def test_a_bundle_at_another_place_is_hashed(copy: Path, hashed: list[Path]) -> None:
    bundle = open_bundle(copy)
    hashed.clear()
    open_bundle(copy.rename(copy.with_name("moved")))
    assert len(hashed) == len(bundle.files)


def test_a_stamp_does_not_replace_the_other_checks(copy: Path) -> None:
    open_bundle(copy)
    target = copy / NAME
    target.rename(copy.parent / "elsewhere")
    target.symlink_to(copy.parent / "elsewhere")
    with pytest.raises(BundleError, match="a link"):
        open_bundle(copy)


def test_files_that_changed_a_moment_ago_get_no_stamp(
    copy: Path, hashed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stamps, "SETTLED_NS", 3600 * 10**9)
    old = time.time_ns() - 7200 * 10**9
    os.utime(copy / NAME, ns=(old, old))  # ctime is still that of now
    bundle = open_bundle(copy)
    open_bundle(copy)
    assert len(hashed) == 2 * len(bundle.files)


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b'{"schema": 1}', b'{"schema": 99, "files": {}}'])
def test_a_damaged_stamp_is_replaced(copy: Path, hashed: list[Path], content: bytes) -> None:
    bundle = open_bundle(copy)
    stamp_file().write_bytes(content)
    hashed.clear()
    open_bundle(copy)
    assert len(hashed) == len(bundle.files)
    open_bundle(copy)
    assert len(hashed) == len(bundle.files)


def test_without_a_cache_folder_all_is_hashed(copy: Path, hashed: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    # A file stands where the folder should be: this fails for the superuser as well.
    monkeypatch.setenv("BIMORS_CACHE", str(copy / "manifest.json"))
    bundle = open_bundle(copy)
    open_bundle(copy)
    assert len(hashed) == 2 * len(bundle.files)


def test_no_temporary_file_is_left(copy: Path) -> None:
    open_bundle(copy)
    (copy / NAME).touch()
    open_bundle(copy)
    assert list(stamp_file().parent.iterdir()) == [stamp_file()]


def test_verify_hashes_again_and_finds_what_no_state_shows(copy: Path, hashed: list[Path]) -> None:
    bundle = open_bundle(copy)
    flip_last_byte(copy / NAME)
    # As if the disk had changed the content, with no write: the stamp has the state of the changed file.
    content = json.loads(stamp_file().read_text())
    content["files"][NAME][1] = stamps.take_states(copy, bundle.files).states[NAME][1]
    stamp_file().write_text(json.dumps(content))
    open_bundle(copy)
    for verify in (verify_bundle, lambda folder: open_bundle(folder, hash_again=True)):
        hashed.clear()
        with pytest.raises(BundleError, match="changed since"):
            verify(copy)
        assert copy / NAME in hashed
    with pytest.raises(BundleError, match="changed since"):  # the stamp that trusted the file is gone
        open_bundle(copy)
