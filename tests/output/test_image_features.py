"""Image features in the GeoPackage: what is read is what was written, in blocks, layer by layer."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pyogrio
import pytest

from bimors_cli.errors import InputError
from bimors_cli.output import image_features as features
from bimors_cli.output.classified_schema import ClassifiedSchema
from bimors_cli.output.image_features import DTYPE, TABLE, add_features, read_features
from tests.geopackages import append_geopackage, write_geopackage
from tests.output.conftest import MakeFrame


def made(count: int, width: int = 4, first: int = 0) -> list[tuple[str, bytes]]:
    numbers = np.arange(first, first + count * width).reshape(count, width).astype(DTYPE)
    return [(f"scene/0/{i}", row.tobytes()) for i, row in enumerate(numbers)]


def read(path: Path, layer: str = "tiles") -> list[tuple[str, bytes]]:
    blocks = list(read_features(path, layer))
    return [(name, row.tobytes()) for ids, rows in blocks for name, row in zip(ids, rows, strict=True)]


def test_they_come_back_in_blocks(
    spec: ClassifiedSchema, make_frame: MakeFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.gpkg"
    write_geopackage(path, [make_frame(spec, 7)], spec, overwrite=False, features=iter(made(7)))
    assert read(path) == made(7)
    monkeypatch.setattr(features, "ROWS_AT_ONCE", 3)
    assert [(len(ids), rows.shape, rows.dtype) for ids, rows in read_features(path, "tiles")] == [
        (count, (count, 4), DTYPE) for count in (3, 3, 1)
    ]
    # Nobody else sees them.
    assert pyogrio.list_layers(path)[:, 0].tolist() == ["tiles", "layer_styles"]


def test_layers_have_their_own_and_replace_them(spec: ClassifiedSchema, make_frame: MakeFrame, tmp_path: Path) -> None:
    path = tmp_path / "out.gpkg"
    other = ClassifiedSchema("other", "EPSG:32633", spec.labels)
    write_geopackage(path, [make_frame(spec, 7)], spec, overwrite=False, features=made(7))
    append_geopackage(path, [make_frame(other, 2)], other, replace=False, features=made(2, first=50))
    assert read(path) == made(7) and read(path, "other") == made(2, first=50)
    append_geopackage(path, [make_frame(other, 3)], other, replace=True, features=made(3))
    assert read(path) == made(7) and read(path, "other") == made(3)
    append_geopackage(path, [make_frame(other, 3)], other, replace=True)
    with pytest.raises(InputError, match="no image features"):
        read(path, "other")


def test_a_layer_that_was_renamed_is_found(spec: ClassifiedSchema, make_frame: MakeFrame, tmp_path: Path) -> None:
    path = tmp_path / "out.gpkg"
    write_geopackage(path, [make_frame(spec, 7)], spec, overwrite=False, features=made(7))
    with closing(sqlite3.connect(path)) as database, database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{trigger}"')
        database.execute("ALTER TABLE tiles RENAME TO harbour")
    assert read(path, "harbour") == made(7)


def test_a_file_without_any_has_no_table(spec: ClassifiedSchema, make_frame: MakeFrame, tmp_path: Path) -> None:
    path = tmp_path / "out.gpkg"
    write_geopackage(path, [make_frame(spec, 7)], spec, overwrite=False)
    with closing(sqlite3.connect(path)) as database:
        assert not database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (TABLE,)).fetchone()
    with pytest.raises(InputError, match="layer 'tiles' has no image features") as raised:
        read(path)
    assert raised.value.hint is not None and "--keep-features" in raised.value.hint


def test_an_error_of_whoever_gives_them_leaves_nothing(
    spec: ClassifiedSchema, make_frame: MakeFrame, tmp_path: Path
) -> None:
    def broken() -> object:
        yield from made(2)
        raise InputError("the source is gone")

    with pytest.raises(InputError, match="the source is gone"):
        write_geopackage(tmp_path / "out.gpkg", [make_frame(spec, 7)], spec, overwrite=False, features=broken())  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", [b"", b"\0" * 6, b"\0" * 9])
def test_damage_is_named(spec: ClassifiedSchema, make_frame: MakeFrame, tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "out.gpkg"
    write_geopackage(path, [make_frame(spec, 7)], spec, overwrite=False)
    add_features(path, "tiles", [*made(3), ("scene/0/3", damage)])
    with pytest.raises(InputError, match="corrupt"):
        read(path)


def test_what_is_no_geopackage_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.gpkg").write_bytes(b"precious" * 100)
    with pytest.raises(InputError, match=r"x\.gpkg"):
        read(tmp_path / "x.gpkg")
