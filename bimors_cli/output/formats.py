"""The vector formats, one row each, and how a layer is written in one of them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Final, Protocol

from bimors_cli.errors import InputError
from bimors_cli.output.atomic import changing, check_target, replacing, scratch
from bimors_cli.output.classified_schema import LayerSchema

if TYPE_CHECKING:
    import geopandas

# Image features by tile: (tile_id, bytes), see `image_features.add_features`.
Features = Iterable[tuple[str, bytes]]


class BuildFile(Protocol):
    """A function that writes a layer to a file; `Format.build` names it."""

    def __call__(
        self, path: Path, chunks: Iterable[geopandas.GeoDataFrame], schema: LayerSchema, *, features: Features = ...
    ) -> int:
        """Write the rows and the provenance of a layer to ``path``.

        Parameters
        ----------
        path : Path
            A scratch file that is moved to the output when this returns: it does not exist, or, in a format that
            ``appends``, is a copy of the file that the layer is added to.
        chunks : iterable of GeoDataFrame
            From `classified_schema.make_frame`, to be written one at a time and checked with
            `classified_schema.check_frame`; none at all gives an empty layer with all columns.
        schema : LayerSchema
            Name, CRS, columns, styles and provenance.
        features : iterable of (tile_id, bytes)
            Passed to a format that ``keeps_features`` only. Not to be iterated before all chunks are written.

        Returns
        -------
        int
            Number of rows.

        Raises
        ------
        InputError
            The format cannot hold the CRS, or a package that it needs is not installed.
        OutputError
            The file cannot be written, or a chunk does not match ``schema``. Errors that ``chunks`` raises pass
            unchanged.
        """


@dataclass(frozen=True)
class Format:
    """A vector format.

    Attributes
    ----------
    name, alias : str
        Its GDAL name, and another that ``--format`` takes.
    suffix : str
        Of its files, lower case, with the dot.
    build : str
        ``module:function`` of a `BuildFile`. Imported at the first use: geopandas and pyogrio take a second.
    streams : bool
        Whether it can be written to standard output, as a GeoJSON sequence.
    wgs84 : bool
        Whether it holds no other CRS.
    rs : bool
        Whether a record separator precedes each feature (RFC 8142).
    styled : bool
        Whether the file holds its QGIS style; if not, the style is written next to it.
    appends : bool
        Whether the file is an SQLite database of several layers, and ``--append`` adds one.
    keeps_features : bool
        Whether it stores image features (``--keep-features``).
    identifies_run : bool
        Whether `geopackage.read_provenance` reads from a finished file which run wrote it, as ``--resume`` needs.
    """

    name: str
    suffix: str
    build: str
    streams: bool = False
    wgs84: bool = False
    rs: bool = False
    styled: bool = False
    appends: bool = False
    keeps_features: bool = False
    identifies_run: bool = False
    alias: str = ""

    def is_called(self, name: str) -> bool:
        """Tell whether a name, in any case, means this format."""
        return name.strip().lower() in {self.name.lower(), self.alias.lower()} - {""}

    def builder(self) -> BuildFile:
        """Import the function that writes a file."""
        function: BuildFile = resolve_name(self.build)
        return function


_PACKAGE: Final = "bimors_cli.output"
GPKG: Final = Format(
    "GPKG",
    ".gpkg",
    f"{_PACKAGE}.geopackage:build_geopackage",
    styled=True,
    appends=True,
    keeps_features=True,
    identifies_run=True,
    alias="GeoPackage",
)
FLATGEOBUF: Final = Format("FlatGeobuf", ".fgb", f"{_PACKAGE}.flatgeobuf:build_flatgeobuf")
GEOPARQUET: Final = Format("Parquet", ".parquet", f"{_PACKAGE}.geoparquet:build_geoparquet", alias="GeoParquet")
GEOJSON: Final = Format("GeoJSON", ".geojson", f"{_PACKAGE}.sequence:build_geojson", wgs84=True)
GEOJSONSEQ: Final = Format("GeoJSONSeq", ".geojsonl", f"{_PACKAGE}.sequence:build_sequence", streams=True, wgs84=True)
GEOJSONSEQ_RS: Final = Format(
    "GeoJSONSeq", ".geojsons", f"{_PACKAGE}.sequence:build_sequence_rs", streams=True, wgs84=True, rs=True
)
# All formats. A program that adds a row has a new format in every command.
FORMATS: Final = [GPKG, FLATGEOBUF, GEOPARQUET, GEOJSON, GEOJSONSEQ, GEOJSONSEQ_RS]

STDOUT: Final = Path("-")
WGS84: Final = "EPSG:4326"


def find_format(name: str) -> Format:
    """Return the format of a name, in any case; GeoJSONSeq is the one without record separators.

    Raises
    ------
    InputError
        The format is not supported.
    """
    found = next((known for known in FORMATS if known.is_called(name)), None)
    if found is None:
        raise InputError(f"unsupported format {name!r}", _known_formats())
    return found


def guess_format(path: Path, requested: str | None = None) -> Format:
    """Return the format for ``--format`` (a GDAL name) and the suffix of a file, both in any case.

    ``-`` is standard output, by default a GeoJSON sequence without separators. A requested format can have any suffix
    but that of another format.

    Raises
    ------
    InputError
        The format or the suffix is not supported, they contradict each other, or the format cannot be streamed.
    """
    suffix = path.suffix.lower()
    by_suffix = next((known for known in FORMATS if known.suffix == suffix), None)
    if requested is None:
        found = GEOJSONSEQ if path == STDOUT else by_suffix
        if found is None:
            if path.is_dir():
                raise InputError(f"{path} is a folder", f"add the name of a file: {path / 'out.gpkg'}")
            found_suffix = f"unsupported suffix {suffix!r}" if suffix else "the name has no suffix"
            hint = f"write {path.with_suffix('.gpkg')} for a GeoPackage; {_known_formats()}"
            raise InputError(f"{path}: {found_suffix}", hint)
        return found
    named = find_format(requested)
    if path == STDOUT:
        if not named.streams:
            raise InputError(f"{named.name} cannot be written to standard output", "use -f GeoJSONSeq, or a file")
        return named
    if by_suffix is not None and by_suffix.name != named.name:
        raise InputError(f"{path}: the suffix {suffix} is of {by_suffix.name}, not of {named.name}", _known_formats())
    if not named.styled and style_path(path) == path:
        raise InputError(f"{path}: .qml is the suffix of a QGIS style", f"use -o {path.with_suffix(named.suffix)}")
    return by_suffix or named


def is_known_suffix(path: Path) -> bool:
    """Tell whether the suffix of a file is that of a format."""
    return any(known.suffix == path.suffix.lower() for known in FORMATS)


def with_separators(form: Format) -> Format:
    """Return the GeoJSON sequence with a record separator before each line (RFC 8142).

    Raises
    ------
    InputError
        The format is not a GeoJSON sequence.
    """
    if form.name != GEOJSONSEQ_RS.name:
        raise InputError(
            f"--rs supports GeoJSON sequences only, not {form.name}", "use -f GeoJSONSeq, or a file named .geojsons"
        )
    return GEOJSONSEQ_RS


def style_path(path: Path) -> Path:
    """Return the path where QGIS finds the style of a file that cannot hold it: ``<stem>.qml`` next to it."""
    return path.with_suffix(".qml")


def written_files(path: Path, form: Format) -> tuple[Path, ...]:
    """Return all files that `write_layer` writes."""
    return (path,) if form.styled else (path, style_path(path))


def check_layer(path: Path, form: Format, schema: LayerSchema, *, overwrite: bool) -> None:
    """Check before a long run that `write_layer` will succeed: write an empty layer next to ``path`` and remove it.

    Takes some 0.1 s. Raises what `write_layer` would for this folder, name, CRS, columns and provenance.
    """
    for file in written_files(path, form):
        check_target(file, overwrite=overwrite)
    try_layer(path, form, schema)


def try_layer(path: Path, form: Format, schema: LayerSchema) -> None:
    """Write an empty layer next to ``path`` and remove it; raises as `write_layer`, whether ``path`` exists or not."""
    with scratch(path.resolve()) as built:
        write_layer(built, (), form, schema, overwrite=False)


def write_layer(
    path: Path,
    chunks: Iterable[geopandas.GeoDataFrame],
    form: Format,
    schema: LayerSchema,
    *,
    overwrite: bool,
    features: Features = (),
) -> int:
    """Write a layer and its style to a file that appears whole or not at all.

    Where the format cannot hold the style, ``<stem>.qml`` appears next to the file, just before it does.

    Parameters
    ----------
    path : Path
        The file to write. An existing file is replaced as a whole, other layers in it included.
    chunks : iterable of GeoDataFrame
        From `classified_schema.to_frame`, one in memory at a time; a chunk costs 12 ms in a GeoPackage, so take some
        10 000 rows. None at all gives an empty layer with all columns.
    form : Format
        The format.
    schema : LayerSchema
        Name, CRS, columns, styles and provenance.
    overwrite : bool
        Whether an existing file may be replaced.
    features : iterable of (tile_id, bytes)
        Image features, stored by a format that ``keeps_features``; iterated after all chunks are written.

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    OutputExistsError
        The file or its style exists, and ``overwrite`` is off.
    InputError, OutputError
        As `BuildFile`. An existing file is left as it was.
    """
    with ExitStack() as stack:
        built = stack.enter_context(replacing(path, overwrite=overwrite))
        if not form.styled:
            style = stack.enter_context(replacing(style_path(path), overwrite=overwrite))
            style.write_text(schema.styles()[0].qml, encoding="utf-8")
        return _build(built, chunks, form, schema, features)


def append_layer(
    path: Path,
    chunks: Iterable[geopandas.GeoDataFrame],
    form: Format,
    schema: LayerSchema,
    *,
    replace: bool,
    features: Features = (),
) -> int:
    """Add a layer, its provenance and its styles to a file of a format that ``appends``; the rest of the file stays.

    A missing file is created. The layer is added to a copy, which replaces the file at the end: chunks are written one
    by one, and no SQLite transaction could span them. An interrupted append leaves the file as it was; a copy of the
    file needs room on the disk.

    Parameters
    ----------
    path, chunks, form, schema, features
        As `write_layer`.
    replace : bool
        Whether an existing layer of this name may be replaced.

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    InputError, OutputExistsError
        As `geopackage.check_append`.
    OutputError
        As `write_layer`; or another program changed the file in the meantime.
    """
    from bimors_cli.output.geopackage import check_append

    if not path.exists():
        return write_layer(path, chunks, form, schema, overwrite=False, features=features)
    check_append(path, schema.name, replace=replace)
    with changing(path) as built:
        return _build(built, chunks, form, schema, features)


def _build(
    built: Path, chunks: Iterable[geopandas.GeoDataFrame], form: Format, schema: LayerSchema, features: Features
) -> int:
    build = form.builder()
    return build(built, chunks, schema, features=features) if form.keeps_features else build(built, chunks, schema)


def _known_formats() -> str:
    return "supported formats: " + ", ".join(f"{known.name} ({known.suffix})" for known in FORMATS)
