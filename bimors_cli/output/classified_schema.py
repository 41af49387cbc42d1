"""Schemas of layers: the rows of classify, their columns, and checks of a frame against its schema."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from bimors_cli.errors import InputError, OutputError
from bimors_cli.labels import BAR, Labels
from bimors_cli.output.style import Style, confidence_qml, label_sets_qml, qml

if TYPE_CHECKING:
    import geopandas

REASONS: Final = ("nodata", "outside_aoi", "low_confidence", "unlike_examples", "read_error", "model_error")
# Tiles that no model has processed: they get no row, unless --keep-empty is given.
EMPTY: Final = frozenset({"nodata", "outside_aoi"})
# --resume computes tiles with these reasons again.
RETRIED: Final = frozenset({"read_error", "model_error"})
# Tiles whose pixels no model has seen: nothing is known of their ground.
UNSEEN: Final = EMPTY | RETRIED

TEXT: Final = np.dtype(object)
INTEGER: Final = np.dtype(np.int32)
REAL: Final = np.dtype(np.float64)

# SQLite refuses a table of more than 2000 columns; fid and geom are two of them.
MAX_COLUMNS: Final = 1998
# Long enough for a class name, short enough for the attribute table of any GIS.
MAX_COLUMN_NAME: Final = 100

# Between the labels of a set: no name of a labels file has a bar.
SET_SEPARATOR: Final = f" {BAR} "

_RESERVED_LAYER = re.compile(
    r"(gpkg_|rtree_|sqlite_)|(layer_styles|bimors_(predictions|features|sample))$", re.IGNORECASE
)
# What neither XML 1.0 nor UTF-8 can hold: control characters, lone surrogates, the two non-characters of the plane.
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_METADATA_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class TileRow:
    """The values of one tile. ``label`` is None exactly when ``reason`` (one of `REASONS`) is given.

    ``row`` and ``col`` start at 0 at the first pixel of the scene. ``confidence`` and ``probabilities`` are 0..1, the
    latter in the order of the labels. ``runners_up`` are (label, confidence) pairs, second best first. ``novelty`` is
    how unlike the examples or training images the tile is, 0..1. ``label_set`` are the labels that the tile may have,
    the most probable first; None for a tile that no model has processed.
    """

    tile_id: str
    scene: str
    row: int
    col: int
    label: str | None = None
    confidence: float | None = None
    reason: str | None = None
    runners_up: tuple[tuple[str, float], ...] = ()
    caption: str | None = None
    probabilities: tuple[float, ...] | None = None
    novelty: float | None = None
    label_set: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.reason is not None and self.reason not in REASONS:
            raise ValueError(f"{self.tile_id}: {self.reason!r} is not a reason")
        if (self.label is None) != (self.reason is not None):
            raise ValueError(f"{self.tile_id}: a tile has either a label or a reason")


class LayerSchema(Protocol):
    """Name, CRS, columns, styles and provenance of a layer of tiles, for any format."""

    @property
    def name(self) -> str:
        """Name of the layer."""

    @property
    def crs_wkt(self) -> str:
        """CRS of the polygons; WKT, or anything else that GDAL and pyproj understand."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """Provenance. Keys are ASCII identifiers."""

    @property
    def multipart(self) -> bool:
        """Whether a tile may be a MultiPolygon."""

    def with_metadata(self, metadata: Mapping[str, str]) -> Self:
        """Return the schema with other provenance."""

    def columns(self) -> dict[str, np.dtype[Any]]:
        """Return the names and dtypes of the attribute columns, in order, without the geometry.

        Text is ``object`` (str or None), integers are ``int32``, reals are ``float64`` (NaN for null).
        """

    def styles(self) -> tuple[Style, ...]:
        """Return the styles of the layer; QGIS applies the first."""


@dataclass(frozen=True)
class ClassifiedSchema:
    """The `LayerSchema` of classify.

    Parameters
    ----------
    name : str
        Name of the layer.
    crs_wkt : str
        CRS of the polygons; WKT, or anything else that GDAL and pyproj understand.
    labels : Labels
        The classes, in order.
    top_k : int
        Number of labels per row, the best one included; at least 2.
    probabilities : bool
        Whether each class has a column ``p_<label>``.
    novelty : bool
        Whether there is a column ``novelty``.
    label_sets : bool
        Whether there are columns ``label_set`` and ``label_set_size``.
    metadata : mapping of str to str
        Provenance. Keys are ASCII identifiers.
    multipart : bool
        Whether a tile may be a MultiPolygon, as when reprojection moves it across the antimeridian. A layer of a
        GeoPackage has one geometry type, so all its tiles are MultiPolygons then.

    Raises
    ------
    InputError
        The layer name is invalid in a GeoPackage, or there are too many columns for one.
    ValueError
        ``top_k`` is below 2, or a metadata key is not an identifier.
    """

    name: str
    crs_wkt: str
    labels: Labels
    top_k: int = 2
    probabilities: bool = False
    novelty: bool = False
    label_sets: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    multipart: bool = False

    def __post_init__(self) -> None:
        check_layer_name(self.name)
        if self.top_k < 2:
            raise ValueError("top_k is the label and at least one runner-up")
        for key in self.metadata:
            if not _METADATA_KEY.fullmatch(key):
                raise ValueError(f"{key!r} is not a metadata key")
        count = (
            8
            + self.novelty
            + 2 * self.label_sets
            + 2 * (self.top_k - 1)
            + (len(self.labels) if self.probabilities else 0)
        )
        if count > MAX_COLUMNS:
            raise InputError(
                f"the layer would have {count} columns; a GeoPackage holds at most {MAX_COLUMNS}",
                "leave out --probabilities or lower --top-k",
            )

    def with_metadata(self, metadata: Mapping[str, str]) -> Self:
        """As `LayerSchema`."""
        return replace(self, metadata=metadata)

    def columns(self) -> dict[str, np.dtype[Any]]:
        """As `LayerSchema`."""
        result: dict[str, np.dtype[Any]] = {
            "tile_id": TEXT,
            "scene": TEXT,
            "row": INTEGER,
            "col": INTEGER,
            "label": TEXT,
            "confidence": REAL,
            "reason": TEXT,
        }
        for rank in range(2, self.top_k + 1):
            result |= {f"label_{rank}": TEXT, f"confidence_{rank}": REAL}
        result["caption"] = TEXT
        if self.novelty:
            result["novelty"] = REAL
        if self.label_sets:
            result |= {"label_set": TEXT, "label_set_size": INTEGER}
        if self.probabilities:
            result |= dict.fromkeys(probability_names(self.labels), REAL)
        return result

    def styles(self) -> tuple[Style, ...]:
        """As `LayerSchema`: one colour per label, and the confidence."""
        sets = label_sets_qml if self.label_sets else qml
        return (
            Style("labels", sets(self.labels), "a colour a label, by bimors"),
            Style("confidence", confidence_qml(), "how sure, by bimors"),
        )


def check_layer_name(name: str) -> None:
    """Raise InputError if the name of a layer is invalid in a GeoPackage."""
    if not name.strip() or _ILLEGAL.search(name) or _RESERVED_LAYER.match(name):
        raise InputError(f"invalid layer name {name!r}", "choose another name with --layer")


def to_frame(rows: Sequence[TileRow], geometries: NDArray[Any], schema: ClassifiedSchema) -> geopandas.GeoDataFrame:
    """Make a frame of rows and their polygons, with the columns of the layer and ``geometry``.

    Parameters
    ----------
    rows : sequence of TileRow
        N rows.
    geometries : ndarray of shapely polygons, shape (N,)
        In the CRS of the layer, in the order of the rows; None for a tile that cannot be reprojected to it.
    schema : ClassifiedSchema
        The schema of the layer.

    Raises
    ------
    ValueError
        The numbers of rows and polygons differ, or a row does not have one probability per class.
    """
    if geometries.shape != (len(rows),):
        raise ValueError(f"{len(rows)} rows, but geometries of shape {geometries.shape}")
    data: dict[str, Sequence[Any]] = {
        "tile_id": [row.tile_id for row in rows],
        "scene": [row.scene for row in rows],
        "row": [row.row for row in rows],
        "col": [row.col for row in rows],
        "label": [row.label for row in rows],
        "confidence": [row.confidence for row in rows],
        "reason": [row.reason for row in rows],
    }
    for index in range(schema.top_k - 1):
        pairs = [row.runners_up[index] if index < len(row.runners_up) else (None, None) for row in rows]
        data[f"label_{index + 2}"] = [pair[0] for pair in pairs]
        data[f"confidence_{index + 2}"] = [pair[1] for pair in pairs]
    data["caption"] = [row.caption for row in rows]
    if schema.novelty:
        data["novelty"] = [row.novelty for row in rows]
    if schema.label_sets:
        data["label_set"] = [None if row.label_set is None else SET_SEPARATOR.join(row.label_set) for row in rows]
        data["label_set_size"] = [len(row.label_set or ()) for row in rows]
    if schema.probabilities:
        table = _probability_table(rows, len(schema.labels))
        data |= {name: table[:, index].tolist() for index, name in enumerate(probability_names(schema.labels))}
    return make_frame(data, geometries, schema)


def make_frame(
    data: Mapping[str, Sequence[Any]], geometries: NDArray[Any], schema: LayerSchema
) -> geopandas.GeoDataFrame:
    """Make a frame of columns and polygons, in the order of the tiles, that passes `check_frame`.

    Raises
    ------
    ValueError
        The columns and the polygons differ in length.
    KeyError
        A column of the layer is missing.
    """
    import geopandas

    arrays = {name: _array(data[name], dtype) for name, dtype in schema.columns().items()}
    return geopandas.GeoDataFrame(_series(arrays), geometry=geometries, crs=schema.crs_wkt)


def empty_frame(schema: LayerSchema) -> geopandas.GeoDataFrame:
    """Make a frame without rows."""
    return make_frame({name: [] for name in schema.columns()}, np.empty(0, dtype=object), schema)


def check_frame(frame: geopandas.GeoDataFrame, schema: LayerSchema) -> None:
    """Check a frame against its schema: names, order and dtypes of the columns, the CRS, polygons (or null) only.

    pyogrio appends columns in any order and polygons in any CRS without an error, so nothing else checks this.

    Raises
    ------
    OutputError
        The frame does not match; the message has the first difference.
    """
    import pyproj

    expected = schema.columns()
    found = dict(frame.drop(columns=frame.geometry.name).dtypes)
    if list(found) != list(expected):
        raise OutputError(f"layer {schema.name}: rows with columns {list(found)}, expected {list(expected)}")
    for name, dtype in expected.items():
        if found[name] != dtype:
            raise OutputError(f"layer {schema.name}: column {name} is {found[name]}, expected {dtype}")
    if frame.crs is None or frame.crs != pyproj.CRS.from_user_input(schema.crs_wkt):
        raise OutputError(f"layer {schema.name}: the CRS of the rows differs from that of the layer")
    types = set(frame.geometry.geom_type.dropna())
    if other := types - ({"Polygon", "MultiPolygon"} if schema.multipart else {"Polygon"}):
        raise OutputError(f"layer {schema.name}: a {other.pop()} in a layer of polygons")


def clean_text(text: str) -> str:
    r"""Replace characters that no format can hold (control characters, lone surrogates of file names) by U+FFFD."""
    return _ILLEGAL.sub("\ufffd", text)


def probability_names(labels: Labels) -> list[str]:
    """Name the probability columns of labels; unique without regard to case, as SQLite and QGIS require."""
    taken: set[str] = set()
    names = []
    for label in labels.names:
        base = name = f"p_{clean_text(label)}"[:MAX_COLUMN_NAME]
        number = 2
        while name.casefold() in taken:
            suffix = f"_{number}"
            name = base[: MAX_COLUMN_NAME - len(suffix)] + suffix
            number += 1
        taken.add(name.casefold())
        names.append(name)
    return names


def _probability_table(rows: Sequence[TileRow], count: int) -> NDArray[np.float64]:
    table = np.full((len(rows), count), np.nan)
    for index, row in enumerate(rows):
        if row.probabilities is not None:
            if len(row.probabilities) != count:
                raise ValueError(f"{row.tile_id}: {len(row.probabilities)} probabilities for {count} labels")
            table[index] = row.probabilities
    return table


def _array(values: Sequence[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype == TEXT:
        values = [None if value is None else clean_text(value) for value in values]
    return np.array(values, dtype=dtype)  # None becomes NaN in a float array


def _series(arrays: Mapping[str, NDArray[Any]]) -> Any:
    import pandas

    # Series by Series: of plain arrays pandas 3 would make its own string type, where None turns into NaN.
    return pandas.DataFrame({name: pandas.Series(array, dtype=array.dtype) for name, array in arrays.items()})
