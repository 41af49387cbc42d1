"""The classification as a GeoTIFF: band 1 is the number of the label, with colours and names, band 2 the confidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from bimors_cli.errors import InputError, OutputError
from bimors_cli.labels import Labels
from bimors_cli.output.atomic import check_target, replacing
from bimors_cli.output.classified_schema import clean_text
from bimors_cli.output.formats import style_path
from bimors_cli.output.geopackage import METADATA_PREFIX
from bimors_cli.output.palette import NO_LABEL
from bimors_cli.output.style import NO_LABEL_NAME, colours

NO_DATA: Final = 0
# Confidence has four decimals; as a number of ten-thousandths it is exact in 16 bits.
CONFIDENCE_SCALE: Final = 1e-4
# Both bands of a GeoTIFF have one type, uint16; 0 is kept for no label.
MAX_LABELS: Final = 65_535
_BLOCK: Final = 256


@dataclass(frozen=True)
class RasterSpec:
    """Georeferencing and labels of a raster of tiles.

    Attributes
    ----------
    crs_wkt : str
        CRS of the raster.
    transform : Affine
        From pixel corners (column, row) to map coordinates.
    tile_rows, tile_cols : integer array [height], [width]
        Row and column of the tile grid that each row and column of pixels shows.
    labels : Labels
        The classes, in order; the first one is number 1.
    metadata : mapping of str to str
        Provenance.
    """

    crs_wkt: str
    transform: Affine
    tile_rows: NDArray[np.intp]
    tile_cols: NDArray[np.intp]
    labels: Labels
    metadata: Mapping[str, str] = field(default_factory=dict)


def raster_files(path: Path) -> tuple[Path, ...]:
    """Return all files of a raster: the GeoTIFF, the class names for GDAL, the style for QGIS."""
    return path, Path(f"{path}.aux.xml"), style_path(path)


def check_raster(path: Path, labels: Labels, *, overwrite: bool) -> None:
    """Check, without writing anything, that a label raster can be written at ``path``.

    Raises
    ------
    InputError
        The suffix is not that of a GeoTIFF, or there are too many labels.
    OutputExistsError, OutputError
        As `atomic.check_target`, for all files of the raster.
    """
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise InputError(f"{path}: the label raster must be a GeoTIFF", f"use --raster {path.with_suffix('.tif')}")
    if len(labels) > MAX_LABELS:
        raise InputError(
            f"--raster supports at most {MAX_LABELS:,} labels, {len(labels):,} were given", "leave out --raster"
        )
    for file in raster_files(path):
        check_target(file, overwrite=overwrite)


def write_raster(
    path: Path, labels: NDArray[np.uint16], confidence: NDArray[np.uint16], spec: RasterSpec, *, overwrite: bool
) -> None:
    """Write a GeoTIFF, its class names and its QGIS style; each appears whole or not at all, the GeoTIFF last.

    Band 1 has a colour table, band 2 scale and offset. Memory use is that of one block.

    Parameters
    ----------
    path : Path
        The GeoTIFF.
    labels : uint16 array [rows of tiles, columns of tiles]
        Number of each tile's label, from 1; `NO_DATA` for none.
    confidence : uint16 array of the same shape
        In units of `CONFIDENCE_SCALE`; `NO_DATA` for none.
    spec : RasterSpec
        Georeferencing and labels.
    overwrite : bool
        Whether existing files may be replaced.

    Raises
    ------
    OutputExistsError, OutputError
        As `atomic.replacing`; or the disk is full.
    """
    with ExitStack() as stack:
        built, names, style = (stack.enter_context(replacing(file, overwrite=overwrite)) for file in raster_files(path))
        with _as_output_error(path):
            _write_pixels(built, labels, confidence, spec)
            style.write_text(raster_qml(spec.labels), encoding="utf-8")
            names.write_text(_with_names(Path(f"{built}.aux.xml"), spec.labels), encoding="utf-8")


def raster_qml(labels: Labels) -> str:
    """Make the QGIS style of a label raster: a palette of the labels in their colours."""
    root = ET.Element("qgis", version="3.22.0", styleCategories="Symbology")
    pipe = ET.SubElement(root, "pipe")
    renderer = ET.SubElement(pipe, "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1")
    palette = ET.SubElement(renderer, "colorPalette")
    for number, (name, colour) in enumerate(zip(labels.names, colours(labels), strict=True), 1):
        ET.SubElement(palette, "paletteEntry", value=str(number), label=name, color=colour, alpha="255")
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def _write_pixels(path: Path, labels: NDArray[np.uint16], confidence: NDArray[np.uint16], spec: RasterSpec) -> None:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=len(spec.tile_cols),
        height=len(spec.tile_rows),
        count=2,
        dtype="uint16",
        nodata=NO_DATA,
        crs=rasterio.crs.CRS.from_user_input(spec.crs_wkt),
        transform=spec.transform,
        tiled=True,
        blockxsize=_BLOCK,
        blockysize=_BLOCK,
        compress="DEFLATE",
        bigtiff="IF_SAFER",
    ) as raster:
        # All of the header before the pixels: a header that grows is written twice.
        raster.write_colormap(1, _colour_table(spec.labels))
        raster.descriptions = ("label", "confidence")
        raster.scales, raster.offsets = (1, CONFIDENCE_SCALE), (0, 0)
        raster.update_tags(**{METADATA_PREFIX + key: clean_text(text) for key, text in spec.metadata.items()})
        for _, window in raster.block_windows(1):
            rows, cols = window.toslices()
            tiles = np.ix_(spec.tile_rows[rows], spec.tile_cols[cols])
            raster.write(np.stack([labels[tiles], confidence[tiles]]), window=window)


def _colour_table(labels: Labels) -> dict[int, tuple[int, int, int]]:
    def rgb(colour: str) -> tuple[int, int, int]:
        red, green, blue = bytes.fromhex(colour[1:])
        return red, green, blue

    return {number: rgb(colour) for number, colour in enumerate((NO_LABEL, *colours(labels)))}


def _with_names(written: Path, labels: Labels) -> str:
    """Add class names to the .aux.xml that GDAL wrote next to the raster.

    A GeoTIFF cannot hold class names: GDAL stores them in this file (PAM), and rasterio has no function for them.
    """
    root: Any = ET.parse(written).getroot() if written.exists() else ET.Element("PAMDataset")
    band = root.find("PAMRasterBand[@band='1']")
    if band is None:
        band = ET.SubElement(root, "PAMRasterBand", band="1")
    categories = ET.SubElement(band, "CategoryNames")
    for name in (NO_LABEL_NAME, *labels.names):
        ET.SubElement(categories, "Category").text = name
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


@contextmanager
def _as_output_error(path: Path) -> Iterator[None]:
    try:
        yield
    except (RasterioError, OSError) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise OutputError(f"{path.name}: {reason}", "check the free disk space and that the folder exists") from error
