"""The file of a probability sample: a layer for labelling, and what labellers should not see in a table of its own."""

from __future__ import annotations

import sqlite3
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import shapely

from bimors_cli.errors import InputError
from bimors_cli.evaluation.areas.design import CANNOT_TELL, SampleDesign
from bimors_cli.output.atomic import replacing
from bimors_cli.output.classified_schema import TEXT, make_frame
from bimors_cli.output.geopackage import as_output_error, build_geopackage, pam_disabled, read_layer
from bimors_cli.output.layer_schema import TILE_COLUMNS, TileSchema
from bimors_cli.output.predictions import renamed
from bimors_cli.output.sample_style import sample_qml
from bimors_cli.output.style import Style
from bimors_cli.provenance import RunProvenance, read_run
from bimors_cli.results.copy_hint import find_original, is_copy, restore_command
from bimors_cli.run_warnings import warnings_so_far
from bimors_cli.scene.polygons import Polygons

if TYPE_CHECKING:
    import geopandas

LAYER: Final = "sample"
# Not in gpkg_contents: GDAL and QGIS do not list it as a layer, so labellers do not see the labels of the map.
TABLE: Final = "bimors_sample"
# Not ``label``: finetune takes changes of that column as examples, and a sample must not be learned from.
MAP_LABEL: Final = "map_label"

COLUMNS: Final = {**TILE_COLUMNS, "reference": TEXT, "note": TEXT}

_HINT: Final = "give the .gpkg that bimors sample wrote; an exported copy has no design"
_RESTORE: Final = "undo it in QGIS, or draw the sample again: bimors sample"


@dataclass(frozen=True)
class DrawnTiles:
    """n drawn tiles, in the order in which the layer holds them.

    Attributes
    ----------
    tile_ids, scenes : tuple of str
        Their ids, and the names of their scenes.
    rows, cols : tuple of int
        Their places in the grids of the scenes, from 0.
    polygons : object array [n] of Polygon or MultiPolygon
        In the CRS of the layer.
    mapped : tuple of (str or None)
        Their labels on the map.
    strata : tuple of str
        The names of their strata.
    hectares : float64 array [n]
        Their areas on the ground.
    """

    tile_ids: tuple[str, ...]
    scenes: tuple[str, ...]
    rows: tuple[int, ...]
    cols: tuple[int, ...]
    polygons: Polygons
    mapped: tuple[str | None, ...]
    strata: tuple[str, ...]
    hectares: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """A probability sample, as its file holds it now: n tiles, without those that were deleted from the layer.

    Attributes
    ----------
    path : Path
        The file.
    design : SampleDesign
        How the tiles were drawn.
    labels : tuple of str
        The labels of the run that made the map.
    tile_ids : tuple of str
        The ids of the tiles, in the order of the layer.
    references : tuple of (str or None)
        Their references, stripped; None for a tile without one. `design.CANNOT_TELL` is one of the values.
    mapped : tuple of (str or None)
        Their labels on the map when the sample was drawn; None for a tile without one.
    strata : tuple of str
        The names of their strata.
    hectares : float64 array [n]
        Their areas on the ground.
    missing : tuple of str
        The ids of drawn tiles that were deleted from the layer.
    """

    path: Path
    design: SampleDesign
    labels: tuple[str, ...]
    tile_ids: tuple[str, ...]
    references: tuple[str | None, ...]
    mapped: tuple[str | None, ...]
    strata: tuple[str, ...]
    hectares: npt.NDArray[np.float64]
    missing: tuple[str, ...] = ()


def write_sample(
    path: Path,
    tiles: DrawnTiles,
    design: SampleDesign,
    *,
    source: RunProvenance,
    command: Sequence[str],
    crs_wkt: str,
    context: tuple[geopandas.GeoDataFrame, TileSchema] | None = None,
    show_label: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a sample to a GeoPackage that appears whole or not at all.

    Strata, labels and areas are in the table `TABLE`, out of sight. The layer has the columns ``reference`` and
    ``note`` to fill in.

    Parameters
    ----------
    path : Path
        The file.
    tiles : DrawnTiles
        The tiles. Their order should tell nothing of their strata.
    design : SampleDesign
        How they were drawn.
    source : RunProvenance
        The run that made the map: its key, scenes, labels and warnings are kept.
    command : sequence of str
        The command line of the draw.
    crs_wkt : str
        CRS of the polygons.
    context : (GeoDataFrame, TileSchema), optional
        Another layer of the file, for whoever labels: see `neighbours`.
    show_label : bool
        Whether the layer has the column `MAP_LABEL` too.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    OutputExistsError
        The file exists, and ``overwrite`` is off.
    OutputError
        It cannot be written.
    """
    run = replace(
        RunProvenance.of_command(command),
        run_key=source.run_key,
        scene_paths=source.scene_paths,
        labels=source.labels,
        warnings=(*(source.warnings or ()), *warnings_so_far()) or None,
        sample=design.to_json(),
    )
    fields = {**COLUMNS, **({MAP_LABEL: TEXT} if show_label else {})}
    schema = TileSchema(
        LAYER,
        crs_wkt,
        fields,
        Style(
            "form", sample_qml(_in_form(fields), tuple(source.labels or ()), CANNOT_TELL), "tiles to label, by bimors"
        ),
        run.to_metadata(),
        multipart=bool((shapely.get_type_id(tiles.polygons) == shapely.GeometryType.MULTIPOLYGON).any()),
    )
    nothing = [None] * len(tiles.tile_ids)
    columns: dict[str, Sequence[Any]] = {
        "tile_id": tiles.tile_ids,
        "scene": tiles.scenes,
        "row": tiles.rows,
        "col": tiles.cols,
        "reference": nothing,
        "note": nothing,
        MAP_LABEL: tiles.mapped,
    }
    frame = make_frame(columns, tiles.polygons, schema)
    hidden = zip(tiles.tile_ids, tiles.strata, tiles.mapped, tiles.hectares.tolist(), strict=True)
    with replacing(path, overwrite=overwrite) as built:
        build_geopackage(built, [frame], schema)
        if context is not None:
            build_geopackage(built, [context[0]], context[1])
        with as_output_error(path), closing(sqlite3.connect(built)) as database, database:
            database.execute(
                f"CREATE TABLE {TABLE} (layer TEXT, tile_id TEXT, stratum TEXT, label TEXT, hectares REAL,"
                " PRIMARY KEY (layer, tile_id)) WITHOUT ROWID"
            )
            database.executemany(f"INSERT INTO {TABLE} VALUES ('{LAYER}', ?, ?, ?, ?)", hidden)


def _in_form(fields: Iterable[str]) -> tuple[str, ...]:
    """Return the fields with those to fill in first."""
    return tuple(sorted(fields, key=lambda name: name not in ("reference", "note")))


def is_sample(path: Path) -> bool:
    """Whether a file is a GeoPackage with the record of a sample, whatever else is wrong with it."""
    return _finds(path, "SELECT 1 FROM sqlite_master WHERE name = ?", (TABLE,))


def is_exported_sample(path: Path) -> bool:
    """Whether a vector file has a layer like that of a sample, such as a copy, which has no design."""
    return is_copy(path, "reference")


def _finds(path: Path, query: str, values: tuple[str, ...] = ()) -> bool:
    if path.suffix.lower() != ".gpkg" or not path.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            return bool(database.execute(query, values).fetchone())
    except sqlite3.Error:
        return False


def read_sample(path: Path) -> Sample:
    """Read a sample and the references that it has by now.

    Raises
    ------
    InputError
        The file does not exist or cannot be read; it holds no layer with the design of a sample, or several; the layer
        has lost a column; it has a tile that was not drawn, or one twice; the record of the draw is damaged.
    """
    layer, run = find_sample(path)
    design = _design(path, run)
    frame = read_layer(path, layer, ["tile_id", "reference"])
    for column in ("tile_id", "reference"):
        if column not in frame:
            raise InputError(f"{path}: layer {layer!r} has no column {column}", _RESTORE)
    drawn = _read_table(path, layer)
    found = [_text(value) or "" for value in frame["tile_id"].tolist()]
    for tile_id, count in Counter(found).items():
        if tile_id not in drawn:
            raise InputError(
                f"{path}: layer {layer!r} has a tile {tile_id!r} that was not drawn", "delete the tiles that were added"
            )
        if count > 1:
            raise InputError(f"{path}: layer {layer!r} has the tile {tile_id} {count} times", "delete the copies")
    counts = Counter(stratum for stratum, _, _ in drawn.values())
    if counts != Counter({one.name: one.drawn for one in design.strata if one.drawn}):
        raise InputError(f"{path}: the record of the drawn tiles contradicts the design", _RESTORE)
    hidden = [drawn[tile_id] for tile_id in found]
    present = frozenset(found)
    return Sample(
        path,
        design,
        tuple(map(str, run.labels or {})),
        tuple(found),
        tuple(_text(value) for value in frame["reference"].tolist()),
        tuple(label for _, label, _ in hidden),
        tuple(stratum for stratum, _, _ in hidden),
        np.array([hectares for _, _, hectares in hidden], np.float64),
        tuple(tile_id for tile_id in drawn if tile_id not in present),
    )


def find_sample(path: Path) -> tuple[str, RunProvenance]:
    """Return the name of the layer with the design of a sample, and its provenance. Raises InputError."""
    import pyogrio
    import pyogrio.errors

    if not path.is_file():
        raise InputError(f"{path} does not exist", "give the .gpkg that bimors sample wrote")
    with pam_disabled():
        try:
            names = [str(name) for name, geometry in pyogrio.list_layers(path) if geometry is not None]
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
            raise InputError(f"{path} cannot be read as a vector file", _HINT) from error
    runs = {name: read_run(path, name) for name in names}
    ours = [name for name, run in runs.items() if run.sample is not None]
    if not ours:
        hint = restore_command(path, find_original(path)) if is_copy(path) else _HINT
        raise InputError(f"{path} is not a probability sample that bimors sample drew", hint)
    if len(ours) > 1:
        raise InputError(f"{path} has several samples: {', '.join(ours)}", "delete the layers that are copies")
    return ours[0], runs[ours[0]]


def _design(path: Path, run: RunProvenance) -> SampleDesign:
    try:
        return SampleDesign.from_json(run.sample or {})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: the design of the sample is damaged: {error!r}", "draw it again") from error


def _read_table(path: Path, layer: str) -> dict[str, tuple[str, str | None, float]]:
    """Return stratum, label and hectares of the drawn tiles by their ids, also if the layer was renamed."""
    try:
        # By SQLite and read-only: the layer may be open in QGIS.
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            known = [name for (name,) in database.execute(f"SELECT DISTINCT layer FROM {TABLE}")]
            recorded = layer if layer in known else renamed(database, known)
            rows = database.execute(
                f"SELECT tile_id, stratum, label, hectares FROM {TABLE} WHERE layer = ?", (recorded,)
            )
            return {tile_id: (str(stratum), label, float(area)) for tile_id, stratum, label, area in rows}
    except (sqlite3.Error, TypeError, ValueError) as error:
        raise InputError(f"{path} has no record of the tiles that were drawn", _HINT) from error


def _text(value: Any) -> str | None:
    """Return a text stripped and in the form NFC, as labels are; None for null and blanks."""
    return unicodedata.normalize("NFC", value.strip()) or None if isinstance(value, str) else None
