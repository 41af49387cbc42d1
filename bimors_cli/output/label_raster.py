"""The classification as a Cloud Optimized GeoTIFF: numbers of labels with colours and names, and confidences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from bimors_cli.errors import InputError, OutputError
from bimors_cli.labels import Labels
from bimors_cli.output.atomic import check_target, replacing
from bimors_cli.output.attribute_table import band_xml
from bimors_cli.output.classified_schema import clean_text
from bimors_cli.output.formats import style_path
from bimors_cli.output.geopackage import METADATA_PREFIX
from bimors_cli.output.style import colours

NO_DATA: Final = 0
# Confidence has four decimals; as a number of ten-thousandths it is exact in 16 bits.
CONFIDENCE_SCALE: Final = 1e-4
# Both bands of a GeoTIFF have one type, uint16; 0 is kept for no label.
MAX_LABELS: Final = 65_535
# Descriptions of the two bands.
BANDS: Final = ("label", "confidence")
# The size of COG: a raster that fits in one block needs no overview.
_BLOCK: Final = 512
# Pyramids and masks that another program made for a former raster: GDAL would apply them to the new one.
_STALE: Final = (".ovr", ".msk")


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
    """Return all files of a raster: the GeoTIFF, the attribute table for GDAL, the style for QGIS."""
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
    for file in (*raster_files(path), *_stale(path)):
        check_target(file, overwrite=overwrite)


def write_raster(
    path: Path, labels: NDArray[np.uint16], confidence: NDArray[np.uint16], spec: RasterSpec, *, overwrite: bool
) -> None:
    """Write a GeoTIFF, its attribute table and its QGIS style; each appears whole or not at all, the GeoTIFF last.

    The GeoTIFF has the layout of a COG: overviews before the pixels, blocks in order. Band 2 has scale and offset. The
    colour table is in the .aux.xml, see `band_xml`. Memory use is that of some blocks; on the disk there is a second,
    temporary copy. Pyramids (.ovr) and masks (.msk) of an earlier raster are removed.

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
        As `check_raster` and `atomic.replacing`; the disk is full; or an old pyramid cannot be removed.
    """
    check_raster(path, spec.labels, overwrite=overwrite)
    with ExitStack() as stack:
        built, table, style = (stack.enter_context(replacing(file, overwrite=overwrite)) for file in raster_files(path))
        with _as_output_error(path):
            pixels = built.with_suffix(".pixels.tif")
            _write_pixels(pixels, labels, confidence, spec)
            _write_cog(pixels, built)
            counts = _count(built, len(spec.labels))
            style.write_text(raster_qml(spec.labels), encoding="utf-8")
            table.write_text(band_xml(Path(f"{built}.aux.xml"), spec.labels, counts), encoding="utf-8")
    for file in _stale(path):
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            reason = error.strerror or str(error)
            raise OutputError(
                f"{file} cannot be removed: {reason}; it belongs to an earlier {path.name}",
                "delete it before you use the raster",
            ) from error


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
        zlevel=1,
        bigtiff="IF_SAFER",
    ) as raster:
        # All of the header before the pixels: a header that grows is written twice.
        raster.descriptions = BANDS
        raster.scales, raster.offsets = (1, CONFIDENCE_SCALE), (0, 0)
        raster.update_tags(**{METADATA_PREFIX + key: clean_text(text) for key, text in spec.metadata.items()})
        for _, window in raster.block_windows(1):
            rows, cols = window.toslices()
            tiles = np.ix_(spec.tile_rows[rows], spec.tile_cols[cols])
            raster.write(np.stack([labels[tiles], confidence[tiles]]), window=window)


def _write_cog(pixels: Path, path: Path) -> None:
    """Copy a raster to a COG, which GDAL cannot write block by block, and remove it."""
    # MODE, the value of most pixels, never invents a label as averages do. All bands of a COG are resampled in one way:
    # a confidence in an overview is that of a tile too, not a mean.
    rasterio.shutil.copy(
        pixels,
        path,
        driver="COG",
        compress="DEFLATE",
        blocksize=_BLOCK,
        overview_resampling="MODE",
        bigtiff="IF_SAFER",
    )
    pixels.unlink()


def _count(path: Path, labels: int) -> NDArray[np.int64]:
    """Return the pixels of each value from 0, read from the written file: GDAL may not report an error on closing."""
    counts = np.zeros(labels + 1, np.int64)
    with rasterio.open(path) as raster:
        for _, window in raster.block_windows(1):
            numbers, _ = raster.read(window=window)
            counts += np.bincount(numbers.ravel(), minlength=labels + 1)
    return counts


def _stale(path: Path) -> tuple[Path, ...]:
    return tuple(Path(f"{path}{suffix}") for suffix in _STALE)


@contextmanager
def _as_output_error(path: Path) -> Iterator[None]:
    try:
        yield
    except (RasterioError, CPLE_BaseError, OSError) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise OutputError(f"{path.name}: {reason}", "check the free disk space and that the folder exists") from error
