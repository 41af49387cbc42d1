"""Which format a file name or ``--format`` means, and how the layer is written in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bimors_cli.errors import InputError
from bimors_cli.output.atomic import check_target, replacing, scratch
from bimors_cli.output.classified_schema import LayerSchema

if TYPE_CHECKING:
    import geopandas


@dataclass(frozen=True)
class Format:
    """A vector format by its GDAL name, and what else people call it.

    ``streams`` says whether it can go to standard output, ``wgs84`` whether it holds no other CRS, ``rs`` is the record
    separator of GeoJSON sequences, ``styled`` whether its file holds the style; else that lies beside it.
    """

    name: str
    suffix: str
    streams: bool = False
    wgs84: bool = False
    rs: bool = False
    styled: bool = False
    alias: str = ""

    def is_called(self, name: str) -> bool:
        """Tell whether a name, in any case, means this format."""
        return name.strip().lower() in {self.name.lower(), self.alias.lower()} - {""}


GPKG: Final = Format("GPKG", ".gpkg", styled=True, alias="GeoPackage")
FLATGEOBUF: Final = Format("FlatGeobuf", ".fgb")
GEOPARQUET: Final = Format("Parquet", ".parquet", alias="GeoParquet")
GEOJSON: Final = Format("GeoJSON", ".geojson", wgs84=True)
GEOJSONSEQ: Final = Format("GeoJSONSeq", ".geojsonl", streams=True, wgs84=True)
GEOJSONSEQ_RS: Final = Format("GeoJSONSeq", ".geojsons", streams=True, wgs84=True, rs=True)
FORMATS: Final = (GPKG, FLATGEOBUF, GEOPARQUET, GEOJSON, GEOJSONSEQ, GEOJSONSEQ_RS)

STDOUT: Final = Path("-")


def find_format(name: str) -> Format:
    """Return the format of a name, in any case; of the two GeoJSON sequences, that without separators.

    Raises
    ------
    InputError
        There is no such format.
    """
    found = next((known for known in FORMATS if known.is_called(name)), None)
    if found is None:
        raise InputError(f"{name!r} is not a format that bimors writes", _choice())
    return found


def guess_format(path: Path, requested: str | None = None) -> Format:
    """Tell the format from ``--format`` (a GDAL name) and the suffix, both in any case.

    ``-`` is standard output and gets a GeoJSON sequence without separators. A name that was asked for goes with any
    suffix but that of another format.

    Raises
    ------
    InputError
        The format is unknown, the suffix says another one than ``--format``, or it cannot be streamed.
    """
    suffix = path.suffix.lower()
    by_suffix = next((known for known in FORMATS if known.suffix == suffix), None)
    if requested is None:
        found = GEOJSONSEQ if path == STDOUT else by_suffix
        if found is None:
            raise InputError(f"{path}: no format has the suffix {suffix!r}", _choice())
        return found
    named = find_format(requested)
    if path == STDOUT:
        if not named.streams:
            raise InputError(f"{named.name} cannot be written to standard output", "use -f GeoJSONSeq, or name a file")
        return named
    if by_suffix is not None and by_suffix.name != named.name:
        raise InputError(f"{path}: the suffix is that of {by_suffix.name}, not of {named.name}", _choice())
    if not named.styled and style_path(path) == path:
        raise InputError(f"{path}: that is the name of a style", f"-o {path.with_suffix(named.suffix)}")
    return by_suffix or named


def is_known_suffix(path: Path) -> bool:
    """Tell whether a file's suffix says a format."""
    return any(known.suffix == path.suffix.lower() for known in FORMATS)


def with_separators(form: Format) -> Format:
    """Return the GeoJSON sequence that RFC 8142 describes, with a record separator before each line.

    Raises
    ------
    InputError
        The format is no GeoJSON sequence.
    """
    if form.name != GEOJSONSEQ_RS.name:
        raise InputError(
            f"--rs is for GeoJSON sequences, not for {form.name}", "use -f GeoJSONSeq, or a file named .geojsons"
        )
    return GEOJSONSEQ_RS


def style_path(path: Path) -> Path:
    """Return where QGIS looks for the style of a file that cannot hold it: ``<stem>.qml`` beside it."""
    return path.with_suffix(".qml")


def written_files(path: Path, form: Format) -> tuple[Path, ...]:
    """Return all files that `write_layer` writes."""
    return (path,) if form.styled else (path, style_path(path))


def check_layer(path: Path, form: Format, spec: LayerSchema, *, overwrite: bool) -> None:
    """Try, before a long run, all that can go wrong at its end: write an empty layer beside ``path`` and remove it.

    Takes some 0.1 s. Raises what `write_layer` would for this folder, name, CRS, columns and provenance.
    """
    for file in written_files(path, form):
        check_target(file, overwrite=overwrite)
    try_layer(path, form, spec)


def try_layer(path: Path, form: Format, spec: LayerSchema) -> None:
    """Write an empty layer beside ``path`` and remove it; raises what `write_layer` would, whatever is at ``path``."""
    with scratch(path.resolve()) as built:
        write_layer(built, (), form, spec, overwrite=False)


def write_layer(
    path: Path,
    chunks: Iterable[geopandas.GeoDataFrame],
    form: Format,
    spec: LayerSchema,
    *,
    overwrite: bool,
    features: Iterable[tuple[str, bytes]] = (),
) -> int:
    """Write the layer to a file that appears whole or not at all, with its style; see `write_geopackage`.

    A format that holds no style gets it beside the file, for QGIS to find: ``<stem>.qml`` comes to its place just
    before the file does. Only a GeoPackage holds ``features``.

    Returns
    -------
    int
        How many rows were written.
    """
    if form is GPKG:
        # geopandas and pyogrio take a second to import; whoever only asks for a format does not wait for them.
        from bimors_cli.output.geopackage import write_geopackage

        return write_geopackage(path, chunks, spec, overwrite=overwrite, features=features)
    build = _builder(form)
    with replacing(path, overwrite=overwrite) as built, replacing(style_path(path), overwrite=overwrite) as beside:
        beside.write_text(spec.styles()[0].qml, encoding="utf-8")
        return build(built, chunks, spec)


def _builder(form: Format) -> Callable[[Path, Iterable[geopandas.GeoDataFrame], LayerSchema], int]:
    if form is FLATGEOBUF:
        from bimors_cli.output.flatgeobuf import build_flatgeobuf

        return build_flatgeobuf
    if form is GEOPARQUET:
        from bimors_cli.output.geoparquet import build_geoparquet

        return build_geoparquet
    from bimors_cli.output.sequence import build_geojson, build_sequence, build_sequence_rs

    return {GEOJSON: build_geojson, GEOJSONSEQ: build_sequence, GEOJSONSEQ_RS: build_sequence_rs}[form]


def _choice() -> str:
    return "there are " + ", ".join(f"{known.name} ({known.suffix})" for known in FORMATS)


WGS84 = "EPSG:4326"
