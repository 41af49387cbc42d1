"""Adding a layer to a GeoPackage: what was there stays, and nothing is ever half done."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import pyogrio
import pytest

from bimors_cli.errors import InputError, OutputError, OutputExistsError
from bimors_cli.labels import Labels
from bimors_cli.output.classified_schema import ClassifiedSchema
from bimors_cli.output.formats import GPKG, append_layer
from bimors_cli.output.geopackage import check_append, choose_layer, read_provenance
from tests.geopackages import append_geopackage, write_geopackage
from tests.hardening.forks import Forks
from tests.output.conftest import HARD_NAMES, MakeFrame


@pytest.fixture
def other(spec: ClassifiedSchema) -> ClassifiedSchema:
    """A second layer: another CRS, other columns, another provenance."""
    return replace(
        spec, name='later "one"', crs_wkt="EPSG:3857", top_k=2, probabilities=False, metadata={"version": "2"}
    )


@pytest.fixture
def target(tmp_path: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> Path:
    """A GeoPackage with a layer of bimors and one of another program."""
    path = tmp_path / "out.gpkg"
    write_geopackage(path, [make_frame(spec, 7)], spec, overwrite=False)
    make_frame(spec, 4)[["tile_id", "geometry"]].to_file(path, layer="roads")
    return path


def append(path: Path, chunks: Any, spec: ClassifiedSchema, *, replace: bool = False) -> int:
    return append_geopackage(path, chunks, spec, replace=replace)


def query(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(sql).fetchall()


def tables(path: Path, names: tuple[str, ...]) -> list[list[Any]]:
    return [query(path, f'SELECT * FROM "{name}"') for name in names]


def test_the_layers_that_are_there_stay(
    target: Path, spec: ClassifiedSchema, other: ClassifiedSchema, make_frame: MakeFrame
) -> None:
    before = tables(target, ("tiles", "roads", "rtree_tiles_geom"))
    styles = query(target, "SELECT * FROM layer_styles")
    assert append(target, [make_frame(other, 10), make_frame(other, 5, 10)], other) == 15
    assert tables(target, ("tiles", "roads", "rtree_tiles_geom")) == before
    assert query(target, "SELECT * FROM layer_styles")[: len(styles)] == styles
    assert [name for name, geometry in pyogrio.list_layers(target) if geometry] == ["tiles", "roads", other.name]
    assert query(target, "PRAGMA integrity_check") == [("ok",)] and query(target, "PRAGMA foreign_key_check") == []
    assert query(target, "SELECT count(*) FROM gpkg_contents WHERE table_name = 'layer_styles'") == [(1,)]
    assert os.listdir(target.parent) == ["out.gpkg"]


def test_the_new_layer_is_as_one_of_its_own_file(
    target: Path, tmp_path: Path, other: ClassifiedSchema, make_frame: MakeFrame
) -> None:
    frame, alone = make_frame(other, 15), tmp_path / "alone.gpkg"
    append(target, [frame], other)
    write_geopackage(alone, [frame], other, overwrite=False)
    a, b = (pyogrio.read_dataframe(path, layer=other.name) for path in (target, alone))
    assert a.equals(b) and a.crs == "EPSG:3857" and a["label"].tolist()[:6] == list(HARD_NAMES)
    style = f"SELECT styleName, styleQML, useAsDefault FROM layer_styles WHERE f_table_name = '{other.name}'"
    assert query(target, style) == query(alone, style) != []


def test_each_layer_has_its_own_provenance(
    target: Path, spec: ClassifiedSchema, other: ClassifiedSchema, make_frame: MakeFrame
) -> None:
    append(target, [make_frame(other, 3)], other)
    assert read_provenance(target) == read_provenance(target, "tiles") == dict(spec.metadata)
    assert read_provenance(target, other.name) == {"version": "2"}
    assert read_provenance(target, "roads") == read_provenance(target, "none") == {}
    assert os.listdir(target.parent) == ["out.gpkg"]


def test_of_several_layers_one_must_be_named(
    target: Path, tmp_path: Path, other: ClassifiedSchema, make_frame: MakeFrame
) -> None:
    assert choose_layer(target, None) == "tiles"  # the other one is not of bimors
    assert choose_layer(target, "roads") == "roads"
    append(target, [make_frame(other, 3)], other)
    with pytest.raises(InputError, match="several layers written by bimors") as caught:
        choose_layer(target, None)
    assert caught.value.hint == f"choose one with --layer: tiles, {other.name}"
    assert choose_layer(target, other.name) == other.name
    with pytest.raises(InputError, match="has no layer 'none'") as caught:
        choose_layer(target, "none")
    assert "tiles, roads" in str(caught.value.hint)
    (tmp_path / "text.gpkg").write_text("no layer")
    with pytest.raises(InputError, match="cannot read its layers"):
        choose_layer(tmp_path / "text.gpkg", None)


def test_a_file_that_is_not_there_is_made(tmp_path: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    path = tmp_path / "new.gpkg"
    check_append(path, "tiles", replace=False)
    assert append(path, [make_frame(spec, 3)], spec) == 3
    assert len(pyogrio.read_dataframe(path, layer="tiles")) == 3


@pytest.mark.parametrize("name", ["tiles", "TILES", "roads", "bimors_Predictions", "rtree_tiles_geom"])
def test_a_name_that_is_taken_is_refused(
    target: Path, spec: ClassifiedSchema, make_frame: MakeFrame, name: str
) -> None:
    before = target.read_bytes()
    with pytest.raises(OutputExistsError, match="exists") as caught:
        check_append(target, name, replace=False)
    assert "--layer" in str(caught.value.hint)
    with pytest.raises((OutputExistsError, InputError)):
        append(target, [make_frame(spec, 3)], replace_name(spec, name))
    assert target.read_bytes() == before


def replace_name(spec: ClassifiedSchema, name: str) -> ClassifiedSchema:
    return replace(spec, name=name)


def test_a_layer_is_replaced_on_request(target: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    before = tables(target, ("roads",))
    assert append(target, [make_frame(spec, 9)], spec, replace=True) == 9
    assert tables(target, ("roads",)) == before
    assert len(pyogrio.read_dataframe(target, layer="tiles")) == 9
    assert query(target, "SELECT count(*) FROM layer_styles WHERE useAsDefault") == [(1,)]
    assert query(target, "SELECT count(*) FROM bimors_predictions") == [(9,)]
    assert query(target, "PRAGMA integrity_check") == [("ok",)]
    with pytest.raises(OutputExistsError):
        check_append(target, "Tiles", replace=True)


def test_what_is_no_geopackage_is_refused(tmp_path: Path, spec: ClassifiedSchema, make_frame: MakeFrame) -> None:
    (tmp_path / "text.gpkg").write_text("not a database, not at all " * 100)
    (tmp_path / "empty.gpkg").write_bytes(b"")
    with closing(sqlite3.connect(tmp_path / "plain.gpkg")) as database, database:
        database.execute("CREATE TABLE t (a)")
    for name in ("text.gpkg", "empty.gpkg", "plain.gpkg"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(InputError, match="not a GeoPackage"):
            append(tmp_path / name, [make_frame(spec, 3)], spec)
        assert (tmp_path / name).read_bytes() == before


def test_a_file_that_is_open_elsewhere_is_refused(target: Path, other: ClassifiedSchema) -> None:
    Path(f"{target}-wal").write_text("")
    with pytest.raises(OutputError, match="open in another program"):
        check_append(target, other.name, replace=False)


def test_an_error_of_the_rows_leaves_the_file_as_it_was(
    target: Path, other: ClassifiedSchema, make_frame: MakeFrame
) -> None:
    before = target.read_bytes()

    def chunks() -> Iterator[geopandas.GeoDataFrame]:
        yield make_frame(other, 10)
        raise ConnectionError("the reader's own")

    with pytest.raises(ConnectionError):
        append(target, chunks(), other)
    assert target.read_bytes() == before and os.listdir(target.parent) == ["out.gpkg"]


def test_what_others_change_in_the_meantime_is_kept(
    target: Path, other: ClassifiedSchema, make_frame: MakeFrame
) -> None:
    def chunks() -> Iterator[geopandas.GeoDataFrame]:
        yield make_frame(other, 10)
        with closing(sqlite3.connect(target)) as database, database:
            database.execute("UPDATE bimors_predictions SET label = 'corrected'")

    with pytest.raises(OutputError, match="changed by another program"):
        append(target, chunks(), other)
    assert query(target, "SELECT DISTINCT label FROM bimors_predictions") == [("corrected",)]
    assert other.name not in pyogrio.list_layers(target)[:, 0] and os.listdir(target.parent) == ["out.gpkg"]


def test_a_disk_without_room_for_the_copy(
    target: Path, other: ClassifiedSchema, make_frame: MakeFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = target.read_bytes()
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OutputError, match="No space left"):
        append(target, [make_frame(other, 3)], other)
    assert target.read_bytes() == before and os.listdir(target.parent) == ["out.gpkg"]


def append_and_die(path: Path) -> None:
    def chunks() -> Iterator[geopandas.GeoDataFrame]:
        os.kill(os.getpid(), signal.SIGKILL)
        yield geopandas.GeoDataFrame()

    schema = ClassifiedSchema("x", "EPSG:3857", Labels.of(["a", "b"]))
    append_layer(path, chunks(), GPKG, schema, replace=False)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_killed_append_leaves_the_file_as_it_was(
    target: Path, other: ClassifiedSchema, make_frame: MakeFrame, forks: Forks
) -> None:
    before = target.read_bytes()
    assert forks.call(append_and_die, target).code == -signal.SIGKILL
    assert target.read_bytes() == before
    append(target, [make_frame(other, 3)], other)
    assert len(pyogrio.read_dataframe(target, layer=other.name)) == 3
