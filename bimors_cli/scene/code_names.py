"""The names of class codes that a raster itself holds."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from typing import Final
from xml.etree import ElementTree

import rasterio.shutil
from rasterio.io import DatasetReader

from bimors_cli.scene.gdal import GDAL_ERRORS

_TAG: Final = re.compile(r"class[ _-]?(\d+)", re.IGNORECASE)
# Names that mean that a pixel has no class.
_NO_CLASS: Final = frozenset({"", "unclassified", "nodata", "no data", "no label"})
# GDAL's usages of the columns of a raster attribute table (GDALRATFieldUsage), and its type of text.
_NAME, _VALUE = "2", "5"
_TEXT: Final = "2"
_VALUE_COLUMNS: Final = frozenset({"value", "code", "id"})
_NAME_COLUMNS: Final = frozenset({"class_name", "class_names", "classname", "class name", "class", "name", "label"})


def read_code_names(dataset: DatasetReader) -> tuple[dict[int, str], str]:
    """Return the names of the codes of a raster with one band, and where they come from; ("" without any name).

    The first of these that holds a name counts: tags such as ``class_31=barren land`` of the band or of the file;
    GDAL's category names; the raster attribute table, by its columns of usage MinMax and Name, or those called value
    and class name. GDAL reads category names and attribute tables from the file itself (HFA, ENVI, VRT) or from
    ``.aux.xml``; a ``.vat.dbf`` is not read. Names such as "Unclassified" and "no data" are left out.
    """
    tags = {**dataset.tags(), **dataset.tags(1)}
    found = {int(match[1]): value for key, value in tags.items() if (match := _TAG.fullmatch(key))}
    if names := _named(found):
        return names, "band tags"
    band = _band_xml(dataset)
    if band is None:
        return {}, ""
    categories = [category.text or "" for category in band.findall("CategoryNames/Category")]
    if names := _named(dict(enumerate(categories))):
        return names, "category names"
    table = band.find("GDALRasterAttributeTable")
    names = {} if table is None else _named(dict(_table_rows(table)))
    return names, "raster attribute table" if names else ""


def _named(names: dict[int, str]) -> dict[int, str]:
    stripped = ((code, name.strip()) for code, name in names.items())
    return {code: name for code, name in sorted(stripped) if name.casefold() not in _NO_CLASS}


def _band_xml(dataset: DatasetReader) -> ElementTree.Element | None:
    """Return the first band as GDAL describes it in a VRT: rasterio has no function for names and tables."""
    path = f"/vsimem/{uuid.uuid4().hex}.vrt"
    try:
        rasterio.shutil.copy(dataset, path, driver="VRT")
        try:
            with DatasetReader(path, driver=["VRT"]) as copy:
                xml = "".join(copy.tags(ns="xml:VRT").values())
        finally:
            rasterio.shutil.delete(path, driver="VRT")
        return ElementTree.fromstring(xml).find("VRTRasterBand")
    except (*GDAL_ERRORS, ElementTree.ParseError):
        return None


def _table_rows(table: ElementTree.Element) -> Iterator[tuple[int, str]]:
    fields = [
        (field.findtext("Name", "").strip().casefold(), field.findtext("Type", ""), field.findtext("Usage", ""))
        for field in table.findall("FieldDefn")
    ]
    value = _column(fields, _VALUE, _VALUE_COLUMNS)
    texts = [field if field[1] == _TEXT else ("", "", "") for field in fields]
    name = _column(texts, _NAME, _NAME_COLUMNS)
    if name is None and sum(kind == _TEXT for _, kind, _ in texts) == 1:
        name = next(i for i, (_, kind, _) in enumerate(texts) if kind == _TEXT)
    if value is None or name is None:
        return
    for row in table.findall("Row"):
        cells = [cell.text or "" for cell in row.findall("F")]
        if len(cells) == len(fields) and re.fullmatch(r"\d+(\.0*)?", cells[value]):
            yield int(float(cells[value])), cells[name]


def _column(fields: Sequence[tuple[str, str, str]], usage: str, names: frozenset[str]) -> int | None:
    by_usage = (i for i, field in enumerate(fields) if field[2] == usage)
    by_name = (i for i, field in enumerate(fields) if field[0] in names)
    return next(by_usage, next(by_name, None))
