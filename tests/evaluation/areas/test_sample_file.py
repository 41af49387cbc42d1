"""The file of a sample: what it keeps, what it hides, and what becomes of edits."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely

from bimors_cli.errors import InputError, OutputExistsError
from bimors_cli.evaluation.areas.sample_file import read_sample
from bimors_cli.output.geopackage import read_provenance
from bimors_cli.provenance import read_run
from tests.evaluation.areas.samples import SOURCE, design_of, drawn_tiles, write

LABELS = ("river", None, "forest", "river")


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return write(tmp_path / "sample.gpkg", drawn_tiles(LABELS))


def edit(path: Path, *statements: str) -> None:
    """Change a layer as QGIS would, whose triggers Python's SQLite cannot run."""
    with closing(sqlite3.connect(path)) as database, database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        for statement in statements:
            database.execute(statement)


def test_what_is_written_is_read(sample: Path) -> None:
    tiles = drawn_tiles(LABELS)
    found = read_sample(sample)
    assert (found.path, found.design, found.labels) == (sample, design_of(tiles), ("forest", "river"))
    assert (found.tile_ids, found.mapped, found.strata) == (tiles.tile_ids, LABELS, tiles.strata)
    assert found.references == (None,) * 4 and found.missing == ()
    np.testing.assert_array_equal(found.hectares, [1, 2, 3, 4])


def test_the_layer_keeps_the_run_of_the_map_and_has_a_command_of_its_own(sample: Path) -> None:
    run = read_run(sample, "sample")
    assert (run.run_key, run.scene_paths, run.labels) == (SOURCE.run_key, SOURCE.scene_paths, SOURCE.labels)
    assert run.command == "bimors sample" and run.version != SOURCE.version and run.created
    told = json.loads(read_provenance(sample, "sample")["sample"])
    assert told == json.loads(json.dumps(design_of(drawn_tiles(LABELS)).to_json()))


def test_labellers_see_no_label_and_no_stratum(sample: Path) -> None:
    assert pyogrio.list_layers(sample)[:, 0].tolist() == ["sample", "layer_styles"]
    frame = pyogrio.read_dataframe(sample, layer="sample")
    assert list(frame.columns) == ["tile_id", "scene", "row", "col", "reference", "note", "geometry"]
    assert frame["tile_id"].tolist() == [f"s/{row}/0" for row in range(4)]
    assert frame["reference"].isna().all() and frame["note"].isna().all()
    assert not {"river", "forest", "no label"} & {str(value) for value in frame.to_numpy().ravel()}
    assert (frame.geometry.area == 10_000).all() and frame.crs.to_epsg() == 32618


def test_the_label_is_shown_on_demand(tmp_path: Path) -> None:
    path = write(tmp_path / "shown.gpkg", drawn_tiles(LABELS), show_label=True)
    frame = pyogrio.read_dataframe(path, layer="sample")
    assert list(frame.columns)[-2:] == ["map_label", "geometry"]
    assert [None if value != value else value for value in frame["map_label"].tolist()] == list(LABELS)


def test_references_are_read_stripped_and_in_one_form(sample: Path) -> None:
    edit(
        sample,
        "UPDATE sample SET reference = ' river ' WHERE tile_id = 's/0/0'",
        "UPDATE sample SET reference = '   ' WHERE tile_id = 's/1/0'",
        "UPDATE sample SET reference = 'fore\u0302t' WHERE tile_id = 's/2/0'",
        "UPDATE sample SET reference = 'cannot tell' WHERE tile_id = 's/3/0'",
    )
    assert read_sample(sample).references == ("river", None, "for\u00eat", "cannot tell")


def test_deleted_tiles_are_missing(sample: Path) -> None:
    edit(sample, "DELETE FROM sample WHERE tile_id IN ('s/1/0', 's/3/0')")
    found = read_sample(sample)
    assert found.tile_ids == ("s/0/0", "s/2/0") and found.mapped == ("river", "forest")
    assert found.missing == ("s/1/0", "s/3/0") and found.hectares.tolist() == [1, 3]


def test_a_renamed_layer_is_found(sample: Path) -> None:
    edit(
        sample,
        "ALTER TABLE sample RENAME TO checked",
        *(
            f"UPDATE {table} SET table_name = 'checked' WHERE table_name = 'sample'"
            for table in ("gpkg_contents", "gpkg_geometry_columns", "gpkg_metadata_reference", "gpkg_ogr_contents")
        ),
    )
    assert read_sample(sample).mapped == LABELS


def test_tiles_across_the_antimeridian(tmp_path: Path) -> None:
    parts = shapely.MultiPolygon([shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1)])
    tiles = drawn_tiles(["river", None], polygons=np.array([shapely.box(178, 0, 179, 1), parts], object))
    path = write(tmp_path / "wide.gpkg", tiles, crs_wkt="EPSG:4326")
    shapes = pyogrio.read_dataframe(path, layer="sample").geometry
    assert [shapely.bounds(shape).tolist() for shape in shapes] == [[178, 0, 179, 1], [-180, 0, 180, 1]]


def test_an_existing_file_is_kept_unless_it_may_be_replaced(sample: Path) -> None:
    with pytest.raises(OutputExistsError):
        write(sample, drawn_tiles(["forest"]))
    assert len(read_sample(sample).tile_ids) == 4
    write(sample, drawn_tiles(["forest"]), overwrite=True)
    assert read_sample(sample).mapped == ("forest",)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE sample SET tile_id = 's/9/9' WHERE tile_id = 's/1/0'", "tile 's/9/9' that was not drawn"),
        ("UPDATE sample SET tile_id = NULL WHERE tile_id = 's/1/0'", "tile '' that was not drawn"),
        ("UPDATE sample SET tile_id = 's/0/0' WHERE tile_id = 's/1/0'", "has the tile s/0/0 2 times"),
        ("ALTER TABLE sample DROP COLUMN reference", "no column reference"),
        ("DROP TABLE bimors_sample", "no record of the tiles that were drawn"),
        ("UPDATE bimors_sample SET hectares = 'wide'", "no record of the tiles that were drawn"),
        ("DELETE FROM bimors_sample WHERE tile_id = 's/1/0'", "not drawn"),
        ("UPDATE bimors_sample SET stratum = 'lake' WHERE tile_id = 's/1/0'", "contradicts the design"),
        ("UPDATE gpkg_metadata SET metadata = replace(metadata, 'stratified', 'by eye')", "design of the sample is"),
        ("UPDATE gpkg_metadata SET metadata = replace(metadata, '_sample', '_other')", "not a probability sample that"),
    ],
)
def test_damage_is_refused(sample: Path, statement: str, message: str) -> None:
    edit(sample, statement)
    with pytest.raises(InputError, match=message) as refused:
        read_sample(sample)
    assert refused.value.hint and "\n" not in refused.value.message


def test_other_files_are_refused(tmp_path: Path, sample: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_sample(tmp_path / "none.gpkg")
    (tmp_path / "text.gpkg").write_text("text")
    with pytest.raises(InputError, match="cannot be read"):
        read_sample(tmp_path / "text.gpkg")
    frame = pyogrio.read_dataframe(sample, layer="sample")
    frame.to_file(tmp_path / "export.gpkg", layer="sample")
    with pytest.raises(InputError, match="not a probability sample that bimors sample drew"):
        read_sample(tmp_path / "export.gpkg")
