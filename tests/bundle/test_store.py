"""Where fetched bundles lie: found by name, verified, removed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from bimors_cli.bundle.fetch_record import record_of
from bimors_cli.bundle.locate import embedded_bundle, find_bundle
from bimors_cli.bundle.manifest import ADAPTER, Bundle
from bimors_cli.bundle.store import (
    bundle_folder,
    bundles_folder,
    installed,
    put_in_place,
    remove_bundle,
    staging,
    verify_bundle,
)
from bimors_cli.errors import BundleError, InputError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BIMORS_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "bundles"


@pytest.fixture
def there(home: Path, tiny_bundle: Bundle) -> Path:
    return Path(shutil.copytree(tiny_bundle.folder, home / "tiny"))


def test_the_folder_is_the_users_unless_the_variable_says_otherwise(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bundles_folder() == home
    monkeypatch.delenv("BIMORS_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert bundles_folder().name == "bundles" and bundles_folder().parent.name == "bimors"


def test_bundles_are_found_by_name(there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert installed() == {"tiny": there}
    assert find_bundle("tiny") == there and find_bundle(str(there)) == there
    assert find_bundle("mini") == embedded_bundle()
    # The name goes before a folder here; ./ is the folder.
    (tmp_path / "here" / "tiny").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert find_bundle("tiny") == there and find_bundle("./tiny") == Path("tiny")


def test_a_bundle_of_the_catalogue_that_is_not_there_says_how_to_get_it(home: Path) -> None:
    with pytest.raises(InputError, match="not installed") as caught:
        find_bundle("georsclip-h14")
    assert caught.value.hint == "bimors models fetch georsclip-h14"
    with pytest.raises(InputError, match="no bundle or folder"):
        find_bundle("georsclip")


def test_half_a_bundle_is_not_found(home: Path) -> None:
    (home / "tiny" / "clip").mkdir(parents=True)
    staging(home / "tiny").mkdir()
    (staging(home / "tiny") / "manifest.json").write_text("{}")
    assert installed() == {}


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc", "a\\b", ".hidden", "x" * 101, "a b", "a."])
def test_names_that_are_no_folders_are_refused(name: str, home: Path) -> None:
    with pytest.raises(BundleError, match="not a valid bundle name"):
        bundle_folder(name)


def test_remove(there: Path, home: Path) -> None:
    record_of(there).write_text("{}")
    staging(there).mkdir()
    size = sum(path.stat().st_size for path in there.rglob("*") if path.is_file())
    assert remove_bundle("tiny") == size
    assert not there.exists() and not staging(there).exists() and record_of(there).is_file()
    with pytest.raises(InputError, match="no such bundle"):
        remove_bundle("tiny")


def test_a_bundle_in_use_is_not_removed(there: Path, home: Path) -> None:
    with FileLock(home / ".tiny.lock"), pytest.raises(BundleError, match="another bimors"):
        remove_bundle("tiny")
    assert there.is_dir()


@pytest.mark.skipif(os.name == "nt", reason="links")
def test_removing_follows_no_links(there: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    (there / "clip" / "link").symlink_to(tmp_path / "mine")
    remove_bundle("tiny")
    assert (tmp_path / "mine" / "thesis.txt").is_file()


def test_a_home_that_cannot_be_made_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BIMORS_HOME", str(tmp_path / "file"))
    from bimors_cli.bundle.store import locked

    with pytest.raises(BundleError, match="file") as caught, locked(bundle_folder("tiny")):
        pass
    assert "BIMORS_HOME" in (caught.value.hint or "")


def test_a_new_bundle_takes_the_place_of_an_old_one_whole(there: Path, home: Path) -> None:
    (home / "new").mkdir()
    (home / "new" / "manifest.json").write_text("new")
    with pytest.raises(InputError, match="tiny exists"):
        put_in_place(home / "new", there, overwrite=False)
    put_in_place(home / "new", there, overwrite=True)
    assert [path.name for path in there.iterdir()] == ["manifest.json"]
    assert {path.name for path in home.iterdir()} == {"tiny"}


def test_verify_looks_at_the_adapter_too(there: Path) -> None:
    assert verify_bundle(there).name == "tiny"
    with (there / ADAPTER / "adapter.safetensors").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(BundleError, match=r"adapter\.safetensors"):
        verify_bundle(there)
    shutil.rmtree(there / ADAPTER)
    assert verify_bundle(there)  # a bundle need not bring one
