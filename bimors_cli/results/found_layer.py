"""The layer of the tiles that a search found: written to be judged, and read with what was accepted and rejected."""

from __future__ import annotations

import sqlite3
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rasterio.crs import CRS

from bimors_cli.errors import InputError
from bimors_cli.options.search import SearchOptions
from bimors_cli.output.classified_schema import INTEGER, REAL, TEXT, make_frame
from bimors_cli.output.formats import STDOUT, WGS84, Format, check_layer, guess_format, write_layer
from bimors_cli.output.found_style import found_qml
from bimors_cli.output.geopackage import choose_layer
from bimors_cli.output.layer_schema import TILE_COLUMNS, TileSchema
from bimors_cli.output.predictions import read_predictions
from bimors_cli.output.sequence import write_sequence
from bimors_cli.output.style import Style
from bimors_cli.provenance import RecordedScene, RunProvenance, read_classify_run, read_run
from bimors_cli.results.classified_layer import ClassifiedLayer
from bimors_cli.results.copy_hint import refuse_copy
from bimors_cli.results.search_query import Given
from bimors_cli.run_warnings import warnings_so_far
from bimors_cli.scene.polygons import Polygons, reproject, tile_polygons

if TYPE_CHECKING:
    import geopandas

COLUMNS: Final = {
    **TILE_COLUMNS,
    "rank": INTEGER,
    "score": REAL,
    # A real number, as these layers have no integers that may be null.
    "accept": REAL,
    "label": TEXT,
    "caption": TEXT,
}
_HINT: Final = "give the .gpkg that bimors search wrote with -o; an exported copy has no provenance"


@dataclass(frozen=True, slots=True)
class Hit:
    """A tile that was found: ``rank`` from 1, ``score`` its similarity; the other fields as in the layer."""

    rank: int
    score: float
    tile_id: str
    scene: str
    row: int
    col: int
    label: str | None
    caption: str | None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return asdict(self)


class FoundLayerWriter:
    """Writes the tiles that were found. ``accepted_as`` is the class of those that will be accepted, if it is known."""

    def __init__(
        self,
        layer: ClassifiedLayer,
        options: SearchOptions,
        given: Given,
        accepted_as: str | None,
        command: Sequence[str],
    ) -> None:
        self._layer, self._options = layer, options
        self._path = Path(str(options.output))
        self._format: Format = guess_format(self._path, options.format)
        self._run = replace(
            RunProvenance.of_command(command),
            run_key=layer.run.run_key,
            scene_paths=layer.run.scene_paths,
            labels=layer.run.labels,
            warnings=(*(layer.run.warnings or ()), *warnings_so_far()) or None,
            query=options.query,
            like=given.like or None,
            unlike=given.unlike or None,
            accepted_as=accepted_as,
            query_bundle=layer.run.bundle,
        )

    def check(self) -> None:
        """Check that the layer can be written, before anything is computed."""
        if self._path != STDOUT:
            check_layer(self._path, self._format, self._schema([]), overwrite=self._options.overwrite)

    def write(self, hits: Sequence[Hit]) -> None:
        """Write the layer to the file or to standard output."""
        schema = self._schema(hits)
        chunks = [self._frame(hits, schema)]
        if self._path == STDOUT:
            write_sequence(sys.stdout, chunks, schema, rs=self._format.rs)
        else:
            write_layer(self._path, chunks, self._format, schema, overwrite=self._options.overwrite)

    def _schema(self, hits: Sequence[Hit]) -> TileSchema:
        crs = CRS.from_user_input(WGS84 if self._format.wgs84 else self._layer.run_key["crs"])
        scores = [hit.score for hit in hits] or [0.0]
        return TileSchema(
            self._options.output_layer,
            crs.to_wkt(),
            COLUMNS,
            Style("score", found_qml(tuple(COLUMNS), min(scores), max(scores)), "similarity to the query, by bimors"),
            self._run.to_metadata(),
            crs.is_geographic,
        )

    def _frame(self, hits: Sequence[Hit], schema: TileSchema) -> geopandas.GeoDataFrame:
        scenes = {recorded.name: recorded for recorded in self._layer.scenes}
        crs = CRS.from_wkt(schema.crs_wkt)
        polygons: Polygons = np.full(len(hits), None, object)
        for index, hit in enumerate(hits):
            scene = scenes[hit.scene]
            tile = scene.grid.tile(hit.row, hit.col)
            polygons[index] = reproject(tile_polygons([tile], scene.transform), CRS.from_wkt(scene.crs_wkt), crs)[0]
        values: dict[str, Sequence[Any]] = {
            name: [getattr(hit, name) for hit in hits] for name in COLUMNS if name != "accept"
        }
        return make_frame({**values, "accept": [None] * len(hits)}, polygons, schema)


@dataclass(frozen=True, slots=True)
class FoundTile:
    """A tile of the layer, as it is now.

    ``accepted`` is None for a tile that is not judged yet. ``corrected`` is the label as it was typed, stripped; None
    if it is still the one that the search wrote.
    """

    tile_id: str
    accepted: bool | None
    corrected: str | None


@dataclass(frozen=True)
class FoundLayer:
    """The layer of a search, with what was accepted and rejected in it.

    Attributes
    ----------
    path, name : Path, str
        The file, and the name of the layer.
    run : RunProvenance
        What the layer records of the search, and of the run that classified the tiles.
    scenes : tuple of RecordedScene
        The scenes of that run.
    tiles : tuple of FoundTile
        In the order of the layer, each once.
    """

    path: Path
    name: str
    run: RunProvenance
    scenes: tuple[RecordedScene, ...]
    tiles: tuple[FoundTile, ...]

    @property
    def given(self) -> Given:
        """The tiles of the wanted kind and of others: those that the search was given, and those that were judged."""
        like = [*(self.run.like or ()), *(tile.tile_id for tile in self.tiles if tile.accepted)]
        unlike = [*(self.run.unlike or ()), *(tile.tile_id for tile in self.tiles if tile.accepted is False)]
        return Given(tuple(like), tuple(unlike))


def is_found_layer(path: Path, layer: str | None = None) -> bool:
    """Whether `search` wrote a layer of a GeoPackage. Raises InputError as `choose_layer`."""
    return read_run(path, choose_layer(path, layer)).is_search


def read_found_layer(path: Path, layer: str | None = None) -> FoundLayer:
    """Read a layer that `search` wrote.

    Parameters
    ----------
    path : Path
        A GeoPackage, edited in place.
    layer : str, optional
        Name of the layer; by default the one that the search wrote.

    Raises
    ------
    InputError
        The file does not exist or holds no layer of a search; a column is missing; a value of ``accept`` is not 1, 0 or
        null; a tile is in two rows.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist", _HINT)
    refuse_copy(path)
    name = choose_layer(path, layer, default="found")
    if not read_run(path, name).is_search:
        raise InputError(f"{path}: layer {name!r} was not written by bimors search", _HINT)
    run, scenes = read_classify_run(path, name)
    predicted = read_predictions(path, name) or {}
    tiles: dict[str, FoundTile] = {}
    for tile_id, accept, label in _read_rows(path, name):
        if not isinstance(tile_id, str):
            raise InputError(f"{path}: layer {name!r} has a row without tile_id", "delete the rows that were added")
        if tile_id in tiles:
            raise InputError(f"{path}: layer {name!r} has the tile {tile_id} twice", "delete the copies")
        tiles[tile_id] = FoundTile(
            tile_id, _accepted(accept, f"{path}, {tile_id}"), _corrected(label, tile_id, predicted)
        )
    return FoundLayer(path, name, run, scenes, tuple(tiles.values()))


def _read_rows(path: Path, layer: str) -> list[tuple[Any, Any, Any]]:
    """Return tile_id, accept and label of the rows.

    By SQLite, read-only: the layer may be open in QGIS, and GDAL would read a text in the column accept as 0.
    """
    quoted = layer.replace('"', '""')
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            # Qualified: SQLite takes a quoted name without a column for a text.
            return database.execute(f'SELECT t.tile_id, t.accept, t.label FROM "{quoted}" AS t').fetchall()
    except sqlite3.Error as error:
        raise InputError(
            f"{path}: layer {layer!r} cannot be read: {error}", "undo changes of its columns in QGIS, or search again"
        ) from error


def _accepted(value: Any, where: str) -> bool | None:
    if value is None:
        return None
    if value not in (0, 1):
        raise InputError(f"{where}: accept is {value!r}", "write 1 to accept a tile, 0 to reject it, null for neither")
    return bool(value)


def _corrected(label: Any, tile_id: str, predicted: Mapping[str, str | None]) -> str | None:
    typed = unicodedata.normalize("NFC", label.strip()) if isinstance(label, str) else ""
    return typed if typed and typed != predicted.get(tile_id) else None
