"""Checks of an opened raster: pixels, size and georeference that bimors supports."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.io import DatasetReader

from bimors_cli.errors import SceneError
from bimors_cli.scene.gdal import display_name, shell_name
from bimors_cli.scene.transformation import not_on_the_map

# Far above any scene, far below what a malicious header may claim.
MAX_BANDS: Final = 10_000
# GDAL decodes whole blocks, and several threads read: larger blocks would exhaust the memory of a laptop.
MAX_BLOCK_BYTES: Final = 512 << 20


def check_bands(path: str, dataset: DatasetReader) -> None:
    """Check that the raster has bands, and that their pixels are not complex. Raises SceneError."""
    name, file = display_name(path), shell_name(path)
    if dataset.count == 0:
        subdatasets = dataset.subdatasets[:3]
        if subdatasets:
            hint = f"give one of its subdatasets: {', '.join(subdatasets)}"
        else:
            hint = f"list its content: gdalinfo {file}"
        raise SceneError(f"{name} has no bands", hint)
    if any(str(dtype).startswith("complex") for dtype in dataset.dtypes):
        hint = f'compute the magnitude: gdal_calc.py -A {file} --calc="abs(A)" --type=Float32 --outfile=magnitude.tif'
        raise SceneError(f"{name} has complex pixels ({dataset.dtypes[0]})", hint)


def check_memory(path: str, dataset: DatasetReader) -> None:
    """Check that the number of bands and the size of the blocks fit in memory. Raises SceneError."""
    name, file = display_name(path), shell_name(path)
    if dataset.count > MAX_BANDS:
        hint = f"select the bands that you need: gdal_translate -b 1 -b 2 -b 3 {file} scene.tif"
        raise SceneError(f"{name} has {dataset.count:,} bands, more than {MAX_BANDS:,}", hint)
    rows, cols = dataset.block_shapes[0]
    # A block of a pixel-interleaved file contains all bands.
    bands = dataset.count if dataset.interleaving is not None and dataset.interleaving.name == "pixel" else 1
    size = rows * cols * bands * np.dtype(dataset.dtypes[0]).itemsize
    if size > MAX_BLOCK_BYTES:
        hint = f"convert it to smaller blocks: gdal_translate -co TILED=YES -co COMPRESS=DEFLATE {file} tiled.tif"
        raise SceneError(
            f"{name} has blocks of {size >> 20:,} MiB; at most {MAX_BLOCK_BYTES >> 20} MiB are supported", hint
        )


def georeferenced_crs(path: str, dataset: DatasetReader, assumed: CRS | None) -> CRS:
    """Return the CRS of the raster, or the assumed one, after checking its geotransform.

    Raises
    ------
    SceneError
        The raster has no CRS, or no usable geotransform.
    """
    name, file = display_name(path), shell_name(path)
    transform = dataset.transform
    has_geotransform = transform != Affine.identity()
    if not has_geotransform and dataset.gcps[0]:
        hint = f"warp it first: gdalwarp -tps {file} warped.tif"
        raise SceneError(f"{name} has ground control points but no geotransform", hint)
    if not has_geotransform and dataset.rpcs is not None:
        raise SceneError(f"{name} has RPCs but no geotransform", f"warp it first: gdalwarp -rpc {file} warped.tif")
    if not has_geotransform and dataset.crs is None and assumed is not None:
        # A plain image: columns and rows of its pixels are the coordinates.
        return assumed
    if not has_geotransform:
        command = f"gdal_edit.py -a_srs EPSG:... -a_ullr ULX ULY LRX LRY {file}"
        if not dataset.crs:
            hint = f"assign both: {command}; or use pixel coordinates with --assume-crs EPSG:..."
            raise SceneError(f"{name} has no CRS and no geotransform", hint)
        raise SceneError(f"{name} has a CRS but no geotransform", f"assign one: {command}")
    if not all(map(math.isfinite, transform)) or transform.is_degenerate:
        hint = f"assign a valid one: gdal_edit.py -a_ullr ULX ULY LRX LRY {file}"
        raise SceneError(f"{name} has a degenerate geotransform", hint)
    if dataset.crs:
        _check_horizontal(name, file, dataset.crs)
        return dataset.crs
    if assumed is None:
        hint = f"give it with --assume-crs EPSG:..., or write it to the file: gdal_edit.py -a_srs EPSG:... {file}"
        raise SceneError(f"{name} has no CRS", hint)
    return assumed


def _check_horizontal(name: str, file: str, crs: CRS) -> None:
    """Check that a CRS is not vertical or geocentric. Raises SceneError."""
    from pyproj import CRS as ProjCRS
    from pyproj.exceptions import CRSError

    if crs.is_projected or crs.is_geographic:
        return
    try:
        kind = not_on_the_map(ProjCRS.from_wkt(crs.to_wkt()))
    except CRSError:
        return
    if kind is not None and kind != "local":
        raise SceneError(
            f"{name} has a {kind} CRS, not a horizontal one",
            f"assign the right one: gdal_edit.py -a_srs EPSG:... {file}",
        )
