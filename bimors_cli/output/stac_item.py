"""A classified layer and its label raster as a STAC item: one JSON file that catalogues and viewers read."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import shapely
from affine import Affine
from rasterio.crs import CRS

from bimors_cli.labels import Labels
from bimors_cli.output.atomic import replacing
from bimors_cli.output.formats import FLATGEOBUF, GEOJSON, GEOJSONSEQ, GEOPARQUET, GPKG
from bimors_cli.output.label_raster import CONFIDENCE_SCALE, NO_DATA
from bimors_cli.output.palette import NO_LABEL
from bimors_cli.output.style import NO_LABEL_NAME, colours
from bimors_cli.version import __version__

SUFFIX: Final = ".stac.json"
_EXTENSIONS: Final = tuple(
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("classification/v2.0.0", "projection/v2.0.0", "processing/v1.2.0")
)
_RASTER_EXTENSION: Final = "https://stac-extensions.github.io/raster/v2.0.0/schema.json"
_COG: Final = "image/tiff; application=geotiff; profile=cloud-optimized"
_MEDIA_TYPES: Final = {
    GPKG.name: "application/geopackage+sqlite3",
    FLATGEOBUF.name: "application/vnd.flatgeobuf",
    GEOPARQUET.name: "application/vnd.apache.parquet",
    GEOJSON.name: "application/geo+json",
    GEOJSONSEQ.name: "application/geo+json-seq",
}


@dataclass(frozen=True)
class StacRaster:
    """The label raster of an item: its file, CRS, geotransform, and size in pixels (height, width)."""

    path: Path
    crs: CRS
    transform: Affine
    shape: tuple[int, int]


@dataclass(frozen=True)
class StacLayer:
    """What an item says of a classified layer.

    Attributes
    ----------
    path : Path
        File of the layer; the item is ``<stem>.stac.json`` next to it.
    format, layer : str
        GDAL name of its format, and name of the layer in it.
    crs : CRS
        CRS of the layer.
    footprint : shapely geometry
        What the tiles cover, longitude and latitude in WGS 84, in -180..180.
    labels : Labels
        The classes; the first one has the value 1, as in the label raster.
    acquired : tuple of str
        Times of the scenes, RFC 3339, sorted; empty if none is known.
    created : str
        Time of the run, RFC 3339.
    lineage : str
        What made the layer of what, in a sentence.
    sources : tuple of str
        Paths or addresses of the STAC items of the scenes.
    raster : StacRaster or None
        The label raster.
    """

    path: Path
    format: str
    layer: str
    crs: CRS
    footprint: Any
    labels: Labels
    acquired: tuple[str, ...]
    created: str
    lineage: str
    sources: tuple[str, ...] = ()
    raster: StacRaster | None = field(default=None)


def stac_path(output: Path) -> Path:
    """Return the path of the item of a layer: ``<stem>.stac.json`` next to it."""
    return output.with_suffix(SUFFIX)


def write_stac_item(spec: StacLayer, *, overwrite: bool) -> Path:
    """Write the item of a layer next to it; returns its path. Raises as `atomic.replacing`."""
    path = stac_path(spec.path)
    with replacing(path, overwrite=overwrite) as built:
        built.write_text(json.dumps(stac_item(spec), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def stac_item(spec: StacLayer) -> dict[str, Any]:
    """Return the item of a layer, STAC 1.1, as JSON values."""
    assets: dict[str, Any] = {
        "layer": {
            "href": _href(spec.path, spec.path.parent),
            "title": f"Classified tiles, layer {spec.layer}",
            "description": "The column label holds the title of a class.",
            **({"type": _MEDIA_TYPES[spec.format]} if spec.format in _MEDIA_TYPES else {}),
            "roles": ["data"],
            **_projection(spec.crs),
            "classification:classes": classes(spec.labels),
        }
    }
    if spec.raster is not None:
        assets["labels"] = _raster(spec.raster, spec)
    item = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [*_EXTENSIONS, *([] if spec.raster is None else [_RASTER_EXTENSION])],
        "id": spec.path.stem,
        "geometry": json.loads(shapely.to_geojson(spec.footprint)),
        "bbox": bbox(spec.footprint),
        "properties": {
            "title": f"Classification {spec.path.stem}",
            **_times(spec),
            "created": spec.created,
            "processing:software": {"bimors": __version__},
            "processing:lineage": spec.lineage,
        },
        "links": [
            {"rel": "derived_from", "type": "application/geo+json", "href": _href(source, spec.path.parent)}
            for source in spec.sources
        ],
        "assets": assets,
    }
    return item


def classes(labels: Labels, *, no_label: bool = False) -> list[dict[str, Any]]:
    """Return the classes as the classification extension writes them: value, name, title, colour.

    With ``no_label`` the value of pixels without a label comes first.
    """
    first = (
        [{"value": NO_DATA, "name": "no_label", "title": NO_LABEL_NAME, "color_hint": _hex(NO_LABEL), "nodata": True}]
        if no_label
        else []
    )
    names = _names(labels.names, taken=["no_label"])
    return first + [
        {"value": number, "name": name, "title": title, "color_hint": _hex(colour)}
        for number, (name, title, colour) in enumerate(zip(names, labels.names, colours(labels), strict=True), 1)
    ]


def bbox(footprint: Any) -> list[float]:
    """Return west, south, east, north; west is larger than east if it crosses the antimeridian (RFC 7946, 5.2)."""
    west, south, east, north = footprint.bounds
    parts = [part.bounds for part in shapely.get_parts(footprint)]
    if len(parts) > 1 and west == -180 and east == 180:
        # The largest gap between parts is outside; the box begins east of it.
        ordered = sorted((low, high) for low, _, high, _ in parts)
        reach, gaps = ordered[0][1], []
        for low, high in ordered[1:]:
            gaps.append((low - reach, low, reach))
            reach = max(reach, high)
        gap, begin, end = max(gaps)
        if gap > 0:
            west, east = begin, end
    return [west, south, east, north]


def _raster(raster: StacRaster, spec: StacLayer) -> dict[str, Any]:
    return {
        "href": _href(raster.path, spec.path.parent),
        "title": "Labels and their confidence",
        "type": _COG,
        "roles": ["data"],
        **_projection(raster.crs),
        "proj:shape": list(raster.shape),
        "proj:transform": list(raster.transform)[:6],
        "data_type": "uint16",
        "nodata": NO_DATA,
        "bands": [
            {"name": "label", "classification:classes": classes(spec.labels, no_label=True)},
            {"name": "confidence", "raster:scale": CONFIDENCE_SCALE, "raster:offset": 0},
        ],
    }


def _projection(crs: CRS) -> Mapping[str, Any]:
    """Return the code of a CRS, or WKT2 for one without a code."""
    authority = crs.to_authority()
    if authority is not None:
        return {"proj:code": ":".join(authority)}
    return {"proj:code": None, "proj:wkt2": crs.to_wkt(version="WKT2_2019")}


def _times(spec: StacLayer) -> dict[str, Any]:
    """Return the time of the scenes: one, the first and the last, or that of the run if none is known."""
    if not spec.acquired:
        return {"datetime": spec.created, "description": "The scenes do not say when they were acquired: datetime is "
                "the time of the classification."}  # fmt: skip
    first, last = spec.acquired[0], spec.acquired[-1]
    if first == last:
        return {"datetime": first}
    return {"datetime": None, "start_datetime": first, "end_datetime": last}


def _names(titles: Sequence[str], taken: Sequence[str]) -> list[str]:
    """Return a name of letters, digits, - and _ for each class, unique, as the extension asks."""
    used, names = set(taken), []
    for number, title in enumerate(titles, 1):
        plain = re.sub(r"[^0-9A-Za-z_-]+", "_", title).strip("_")
        name = plain if plain and plain not in used else f"{plain or 'class'}_{number}"
        while name in used:
            name += "_"
        used.add(name)
        names.append(name)
    return names


def _hex(colour: str) -> str:
    return colour.removeprefix("#").upper()


def _href(path: Path | str, folder: Path) -> str:
    """Return a relative reference to a file from the folder of the item; a URL is returned as it is."""
    if "://" in str(path):
        return str(path)
    try:
        relative = Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive of Windows
        return Path(path).absolute().as_uri()
    return quote(relative if relative.startswith("../") else f"./{relative}")
