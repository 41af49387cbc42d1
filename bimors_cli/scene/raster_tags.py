"""What a raster says of its bands and its sensor in descriptions and tags."""

from __future__ import annotations

from typing import Final
from xml.etree import ElementTree

from rasterio.io import DatasetReader

from bimors_cli.scene.sensors import SENSOR_TAGS

# Domains of tags: the default one, GDAL's own for satellites, Maxar's, and that of photographs.
_DOMAINS: Final = (None, "IMAGERY", "IMD", "EXIF")
# Tags of a band that name it, where it has no description: of GDAL's Sentinel-2, netCDF and xarray files.
_NAME_TAGS: Final = ("BANDNAME", "BAND_NAME", "NETCDF_VARNAME", "LONG_NAME")


def descriptions_of(dataset: DatasetReader) -> tuple[str | None, ...]:
    """Return what a raster calls each band: its description, a tag, or in a VRT the name of its only source."""
    return tuple(
        text or _named_by_tag(dataset, index) or _named_by_source(dataset, index)
        for index, text in zip(dataset.indexes, dataset.descriptions, strict=True)
    )


def wavelength_of(dataset: DatasetReader, index: int) -> float | None:
    """Return the central wavelength of a band in nanometres, from GDAL's own tag or that of ENVI; None without one."""
    tags = {key.lower(): value for key, value in dataset.tags(index).items()}
    micrometres = dataset.tags(index, ns="IMAGERY").get("CENTRAL_WAVELENGTH_UM")
    text = tags.get("wavelength") if micrometres is None else micrometres
    unit = tags.get("wavelength_units", tags.get("wavelength_unit", "")).lower() if micrometres is None else "um"
    try:
        value = float(text or "")
    except ValueError:
        return None
    if not unit and value < 30:  # ENVI headers without units: no sensor has a band of 30 nm
        unit = "um"
    return value * 1000 if unit.startswith(("micro", "um", "µm", "μm")) else value


def sensor_tags(dataset: DatasetReader) -> tuple[tuple[str, str], ...]:
    """Return the tags of a raster that `SENSOR_TAGS` names, with names in capitals."""
    found: dict[str, str] = {}
    for domain in _DOMAINS:
        for key, value in dataset.tags(ns=domain).items():
            if key.upper() in SENSOR_TAGS:
                found.setdefault(key.upper(), value.strip('" '))
    return tuple(found.items())


def _named_by_tag(dataset: DatasetReader, index: int) -> str | None:
    tags = {key.upper(): value for key, value in dataset.tags(index).items()}
    return next((tags[name] for name in _NAME_TAGS if tags.get(name)), None)


def _named_by_source(dataset: DatasetReader, index: int) -> str | None:
    """Return the file name of the only source of a band of a VRT, as `gdalbuildvrt -separate` makes it."""
    if dataset.driver != "VRT" or dataset.count == 1:
        return None
    sources = list(dataset.tags(index, ns="vrt_sources").values())
    if len(sources) != 1:
        return None
    try:
        root = ElementTree.fromstring(sources[0])
    except ElementTree.ParseError:
        return None
    if (root.findtext("SourceBand") or "1") != "1":
        return None
    name = (root.findtext("SourceFilename") or "").replace("\\", "/").rpartition("/")[2]
    return name.rpartition(".")[0] or name or None
