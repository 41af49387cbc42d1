"""What was predicted stays in the file, whatever is edited."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pandas
import pyogrio
import pytest

from bimors_cli.errors import InputError
from bimors_cli.output.classified_schema import ClassifiedSchema
from bimors_cli.output.predictions import read_predictions
from tests.geopackages import append_geopackage, write_geopackage
from tests.output.conftest import MakeFrame


@pytest.mark.parametrize("name", ["tiles", "tiles \"of\" 'it'; DROP TABLE 🌲"])
def test_labels_as_written(tmp_path: Path, spec: ClassifiedSchema, make_frame: MakeFrame, name: str) -> None:
    spec = replace(spec, name=name)
    path, frame = tmp_path / "a ?#%.gpkg", make_frame(spec, 21)
    write_geopackage(path, [frame.iloc[:10], frame.iloc[10:]], spec, overwrite=False)
    expected = dict(zip(frame["tile_id"], frame["label"], strict=True))
    assert None in expected.values() and read_predictions(path) == expected
    edited = pyogrio.read_dataframe(path, layer=name)
    edited["label"] = "edited"
    pyogrio.write_dataframe(edited, path, layer=name, driver="GPKG", append=False)
    assert set(pyogrio.read_dataframe(path, layer=name)["label"]) == {"edited"}
    assert read_predictions(path) == expected


def test_no_program_takes_it_for_a_layer(tmp_path: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    path = tmp_path / "out.gpkg"
    write_geopackage(path, [make_frame(spec)], spec, overwrite=False)
    assert pyogrio.list_layers(path)[:, 0].tolist() == ["tiles", "layer_styles"]


def test_files_without_the_record(tmp_path: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    make_frame(spec).to_file(tmp_path / "other.gpkg")
    assert read_predictions(tmp_path / "other.gpkg") is None
    (tmp_path / "text.gpkg").write_text("not a database, not at all " * 100)
    for name in ("text.gpkg", "missing.gpkg"):
        with pytest.raises(InputError):
            read_predictions(tmp_path / name)
    assert not (tmp_path / "missing.gpkg").exists()


def test_one_label_a_tile(tmp_path: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    path = tmp_path / "out.gpkg"
    write_geopackage(path, [make_frame(spec)], spec, overwrite=False)
    with closing(sqlite3.connect(path)) as database, pytest.raises(sqlite3.IntegrityError):
        database.execute("INSERT INTO bimors_predictions VALUES ('tiles', 'scene/0/0', 'twice')")


def test_each_layer_has_its_own(tmp_path: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    path, other = tmp_path / "out.gpkg", replace(spec, name="other")
    write_geopackage(path, [make_frame(spec, 7)], spec, overwrite=False)
    changed = make_frame(other, 9).assign(label=pandas.Series(["forest"] * 9, dtype=object))
    append_geopackage(path, [changed], other, replace=False)
    tiles = dict(zip(make_frame(spec, 7)["tile_id"], make_frame(spec, 7)["label"], strict=True))
    assert read_predictions(path, "tiles") == tiles
    assert set((read_predictions(path, "other") or {}).values()) == {"forest"}
    with pytest.raises(InputError, match="several layers: other, tiles") as caught:
        read_predictions(path)
    assert "--layer" in str(caught.value.hint)
    assert read_predictions(path, "layer_styles") is None


def test_a_renamed_layer_is_found(tmp_path: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    path, other = tmp_path / "out.gpkg", replace(spec, name="other")
    write_geopackage(path, [make_frame(spec, 7)], spec, overwrite=False)
    append_geopackage(path, [make_frame(other, 9)], other, replace=False)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("ALTER TABLE tiles RENAME TO mine")
    assert len(read_predictions(path, "mine") or {}) == 7
    assert len(read_predictions(path, "other") or {}) == 9
