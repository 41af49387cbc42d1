"""Which format a file name or ``--format`` means, and how the layer is written in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bimors_cli.errors import InputError
from bimors_cli.output.atomic import check_target, scratch
from bimors_cli.output.rows import LayerSpec
from bimors_cli.output.style import qml

if TYPE_CHECKING:
    import geopandas


@dataclass(frozen=True)
class Format:
    """A vector format by its GDAL name.

    ``rs`` is the record separator of GeoJSON sequences, ``streams`` whether it can go to standard output, ``wgs84``
    whether it holds no other CRS.
    """

    name: str
    suffix: str
    streams: bool = False
    wgs84: bool = False
    rs: bool = False


GPKG: Final = Format("GPKG", ".gpkg")
GEOJSONSEQ: Final = Format("GeoJSONSeq", ".geojsonl", streams=True, wgs84=True)
GEOJSONSEQ_RS: Final = Format("GeoJSONSeq", ".geojsons", streams=True, wgs84=True, rs=True)
FORMATS: Final = (GPKG, GEOJSONSEQ, GEOJSONSEQ_RS)

STDOUT: Final = Path("-")


def guess_format(path: Path, requested: str | None = None) -> Format:
    """Tell the format from ``--format`` (a GDAL name) and the suffix, both in any case.

    ``-`` is standard output and gets a GeoJSON sequence without separators. A name that was asked for goes with any
    suffix but that of another format.

    Raises
    ------
    InputError
        The format is unknown or not there yet, the suffix says another one than ``--format``, or it cannot be streamed.
    """
    suffix = path.suffix.lower()
    by_suffix = next((known for known in FORMATS if known.suffix == suffix), None)
    if requested is None:
        found = GEOJSONSEQ if path == STDOUT else by_suffix
        if found is None:
            raise InputError(f"{path}: no format has the suffix {suffix!r}", _choice())
        return found
    names = [known for known in FORMATS if known.name.lower() == requested.strip().lower()]
    if not names:
        raise InputError(f"{requested!r} is not a format that bimors writes", _choice())
    if path == STDOUT:
        if not names[0].streams:
            raise InputError(
                f"{names[0].name} cannot be written to standard output", "use -f GeoJSONSeq, or name a file"
            )
        return names[0]
    if by_suffix is not None and by_suffix not in names:
        raise InputError(f"{path}: the suffix is that of {by_suffix.name}, not of {names[0].name}", _choice())
    return by_suffix or names[0]


def check_layer(path: Path, form: Format, spec: LayerSpec, *, overwrite: bool) -> None:
    """Try, before a long run, all that can go wrong at its end: write an empty layer beside ``path`` and remove it.

    Takes some 0.1 s. Raises what `write_layer` would for this folder, name, CRS, columns and provenance.
    """
    check_target(path, overwrite=overwrite)
    with scratch(path.resolve()) as built:
        write_layer(built, (), form, spec, overwrite=False)


def write_layer(
    path: Path, chunks: Iterable[geopandas.GeoDataFrame], form: Format, spec: LayerSpec, *, overwrite: bool
) -> int:
    """Write the layer to a file that appears whole or not at all; see `write_geopackage` and `write_sequence_file`.

    Returns
    -------
    int
        How many rows were written.
    """
    # geopandas and pyogrio take a second to import; whoever only asks for a format does not wait for them.
    if form is GPKG:
        from bimors_cli.output.geopackage import write_geopackage

        return write_geopackage(path, chunks, spec, qml(spec.labels), overwrite=overwrite)
    from bimors_cli.output.sequence import write_sequence_file

    return write_sequence_file(path, chunks, spec, rs=form.rs, overwrite=overwrite)


def _choice() -> str:
    return "now there are " + ", ".join(f"{known.name} ({known.suffix})" for known in FORMATS)
