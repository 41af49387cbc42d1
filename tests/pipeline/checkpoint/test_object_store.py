"""A folder by its URL: this machine's, and those that pyarrow and fsspec know."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bimors_cli.errors import InputError, OutputError
from bimors_cli.pipeline.checkpoint.object_store import ObjectStore

pytest.importorskip("pyarrow")

URLS: dict[str, Callable[[Path], str]] = {
    "a path": str,
    "file": lambda path: path.as_uri(),
    "pyarrow's own": lambda path: path.as_uri() + "/",
    "fsspec": lambda path: f"local://{path}",
}


@pytest.fixture(params=URLS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return ObjectStore(URLS[request.param](tmp_path / "run 1"))


def test_files_come_and_go(place: ObjectStore, tmp_path: Path) -> None:
    assert place.read("run.json") is None and place.list_files("tiles", "") == []
    place.write("tiles/b/2.parquet", b"two")
    place.write("tiles/a/1.parquet", b"one")
    place.write("run.json", b"{}")
    place.write("run.json", b"{...}")
    assert place.read("run.json") == b"{...}"
    assert place.list_files("tiles", ".parquet") == ["tiles/a/1.parquet", "tiles/b/2.parquet"]
    with place.open("tiles/b/2.parquet") as file:
        assert file.read() == b"two"
    place.remove("tiles", "run.json", "never there")
    assert not (tmp_path / "run 1").exists()
    place.remove("tiles")


def test_what_is_of_others_stays(place: ObjectStore, tmp_path: Path) -> None:
    place.write("run.json", b"")
    (tmp_path / "run 1" / "mine").touch()
    place.remove("run.json")
    assert [path.name for path in tmp_path.rglob("*")] == ["run 1", "mine"]


def test_a_file_that_is_not_whole_has_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = ObjectStore(str(tmp_path))

    def killed(path: str, content: bytes) -> None:
        Path(path).write_bytes(content[:3])
        raise KeyboardInterrupt

    monkeypatch.setattr(place, "_write", killed)
    with pytest.raises(KeyboardInterrupt):
        place.write("tiles/1.parquet", b"whole")
    assert place.list_files("tiles", ".parquet") == [] and len(place.list_files("tiles", "")) == 1


@pytest.mark.parametrize(
    ("url", "why"),
    [("nonsense://x", "nonsense"), ("https2://u:hush@h/x?sig=hush", "https2")],
)
def test_a_url_that_nothing_opens(url: str, why: str) -> None:
    with pytest.raises(InputError, match=why) as error:
        ObjectStore(url)
    assert "hush" not in error.value.message and error.value.hint


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="ermission"):
        ObjectStore(str(tmp_path / "run")).write("run.json", b"")


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(OutputError) as error:
        ObjectStore(str(tmp_path / "run")).write("run.json", b"")
    assert error.value.hint
