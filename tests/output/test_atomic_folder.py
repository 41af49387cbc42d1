"""A folder is there whole or not at all, and takes the place of its own kind only."""

from __future__ import annotations

from pathlib import Path

import pytest

from bimors_cli.errors import InputError, OutputError, OutputExistsError
from bimors_cli.output.atomic import replacing_folder


def build(path: Path, text: str, *, overwrite: bool = False) -> None:
    with replacing_folder(path, marker="it.json", overwrite=overwrite) as built:
        (built / "part").mkdir()
        (built / "part" / "file").write_text(text)
        (built / "it.json").write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_folder_and_one_in_its_place(tmp_path: Path) -> None:
    build(tmp_path / "deep" / "coast", "one")
    with pytest.raises(OutputExistsError, match="coast exists"):
        build(tmp_path / "deep" / "coast", "two")
    assert (tmp_path / "deep" / "coast" / "part" / "file").read_text() == "one"
    (tmp_path / "deep" / "coast" / "old").touch()
    build(tmp_path / "deep" / "coast", "two", overwrite=True)
    assert (tmp_path / "deep" / "coast" / "part" / "file").read_text() == "two"
    assert names(tmp_path / "deep" / "coast") == ["it.json", "part"]
    assert names(tmp_path / "deep") == ["coast"]


def test_after_an_error_all_is_as_before(tmp_path: Path) -> None:
    build(tmp_path / "coast", "one")
    with (
        pytest.raises(ValueError, match="broken"),
        replacing_folder(tmp_path / "coast", marker="it.json", overwrite=True) as built,
    ):
        (built / "it.json").write_text("two")
        raise ValueError("broken")
    assert (tmp_path / "coast" / "it.json").read_text() == "one" and names(tmp_path) == ["coast"]


def test_what_is_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "file").touch()
    for name in ("home", "file"):
        with pytest.raises(InputError, match=r"has no it.json: it is not replaced"):
            build(tmp_path / name, "one", overwrite=True)
    assert names(tmp_path) == ["file", "home"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file"):
        build(tmp_path / "file" / "coast", "one")
