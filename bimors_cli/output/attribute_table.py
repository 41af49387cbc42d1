"""The .aux.xml of a label raster: colours, class names and the raster attribute table (RAT) of GDAL."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from bimors_cli.labels import Labels
from bimors_cli.output.palette import NO_LABEL, colours
from bimors_cli.output.style import NO_LABEL_NAME

# GDAL's types (GDALRATFieldType) and usages (GDALRATFieldUsage) of columns, with the names it writes next to them. The
# columns have the names that ArcGIS uses. Integers of a RAT have 32 bits, too few for the pixels of a large mosaic.
_INTEGER: Final = ("0", "Integer")
_REAL: Final = ("1", "Real")
_TEXT: Final = ("2", "String")
_COLUMNS: Final = (
    ("Value", _INTEGER, ("5", "MinMax")),
    ("Class_Name", _TEXT, ("2", "Name")),
    ("Red", _INTEGER, ("6", "Red")),
    ("Green", _INTEGER, ("7", "Green")),
    ("Blue", _INTEGER, ("8", "Blue")),
    ("Count", _REAL, ("1", "PixelCount")),
)


def band_xml(written: Path, labels: Labels, counts: NDArray[np.int64]) -> str:
    """Add colours, class names and attribute table of band 1 to the .aux.xml that GDAL wrote next to the raster.

    A GeoTIFF cannot hold names and tables: GDAL stores them in this file (PAM), and rasterio has no function for them.
    Colours would fit, but a table in a TIFF of 16 bits has 65,536 entries, 393 kB in each overview, and GDAL's COG
    driver declares the second band of a TIFF with a colour table as alpha.

    Parameters
    ----------
    written : Path
        The file of GDAL, with what else a GeoTIFF cannot hold; there is none for most rasters.
    labels : Labels
        The classes; the first one has the value 1. The table has a row for each, also without a pixel, and none for
        the nodata value 0.
    counts : int64 array [labels + 1]
        Pixels of each value from 0.

    Returns
    -------
    str
        The XML document.
    """
    root: Any = ET.parse(written).getroot() if written.exists() else ET.Element("PAMDataset")
    band = root.find("PAMRasterBand[@band='1']")
    if band is None:
        band = ET.SubElement(root, "PAMRasterBand", band="1")
    ET.SubElement(band, "ColorInterp").text = "Palette"
    _add_colours(band, labels)
    categories = ET.SubElement(band, "CategoryNames")
    for name in (NO_LABEL_NAME, *labels.names):
        ET.SubElement(categories, "Category").text = name
    _add_table(band, labels, counts)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def _add_colours(band: ET.Element, labels: Labels) -> None:
    table = ET.SubElement(band, "ColorTable")
    for number, colour in enumerate((NO_LABEL, *colours(labels))):
        red, green, blue = bytes.fromhex(colour[1:])
        # The nodata value is transparent.
        ET.SubElement(table, "Entry", c1=str(red), c2=str(green), c3=str(blue), c4="255" if number else "0")


def _add_table(band: ET.Element, labels: Labels, counts: NDArray[np.int64]) -> None:
    table = ET.SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    for index, (name, (kind, kind_name), (usage, usage_name)) in enumerate(_COLUMNS):
        column = ET.SubElement(table, "FieldDefn", index=str(index))
        ET.SubElement(column, "Name").text = name
        ET.SubElement(column, "Type", typeAsString=kind_name).text = kind
        ET.SubElement(column, "Usage", usageAsString=usage_name).text = usage
    for index, (name, colour) in enumerate(zip(labels.names, colours(labels), strict=True)):
        row = ET.SubElement(table, "Row", index=str(index))
        value = index + 1
        for cell in (value, name, *bytes.fromhex(colour[1:]), counts[value]):
            ET.SubElement(row, "F").text = str(cell)
