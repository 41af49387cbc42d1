"""What a scene is: opening a raster, checking that it can be used, and its facts."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import CRSError, NotGeoreferencedWarning
from rasterio.io import DatasetReader

from bimors_cli.errors import InputError, SceneError
from bimors_cli.scene.gdal import (
    GDAL_ERRORS,
    allowed_drivers,
    display_name,
    file_name,
    gdal_env,
    is_local,
    open_dataset,
    reason_of,
    shell_name,
)

# Far above any scene, far below what a hostile header may claim.
MAX_BANDS: Final = 10_000
# GDAL decodes a block as a whole, and several threads read: more would fill the memory of a laptop.
MAX_BLOCK_BYTES: Final = 512 << 20

MaskKind = Literal["none", "nodata", "alpha", "dataset"]


@dataclass(frozen=True, slots=True)
class SceneInfo:
    """The facts of a usable scene; holds no open file, may be pickled.

    Attributes
    ----------
    path : str
        As the user gave it.
    name, stem : str
        File name with and without its suffix; `stem` begins the ids of the tiles.
    width, height, count : int
        Pixels and bands.
    dtypes, colorinterp : tuple of str
        One a band, in numpy's and GDAL's words.
    crs : CRS
        Of the file, or the assumed one.
    crs_assumed : bool
        True where the file has no CRS and the user named one.
    transform : Affine
        Pixel corner (column, row) to map coordinates; neither identity nor degenerate.
    nodata : tuple of float or None
        One a band.
    block_shapes : tuple of (rows, columns)
        One a band.
    overviews : tuple of int
        Decimation factors of the first band.
    mask : {"none", "nodata", "alpha", "dataset"}
        What says first which pixels are empty.
    palette : bytes or None
        RGBA of each value of the first band, 4 bytes a value, where that band is a palette.
    size_bytes, mtime_ns : int or None
        Identity of a local file; None for what is not one.
    allowed : tuple of str
        Drivers that the user allowed beside the usual ones.
    """

    path: str
    name: str
    stem: str
    driver: str
    width: int
    height: int
    count: int
    dtypes: tuple[str, ...]
    colorinterp: tuple[str, ...]
    crs: CRS
    crs_assumed: bool
    transform: Affine
    nodata: tuple[float | None, ...]
    block_shapes: tuple[tuple[int, int], ...]
    overviews: tuple[int, ...]
    mask: MaskKind
    palette: bytes | None
    size_bytes: int | None
    mtime_ns: int | None
    allowed: tuple[str, ...] = ()

    @property
    def has_geotransform(self) -> bool:
        """Whether the scene has a position; without, pixels are taken for map units (only where a CRS is assumed)."""
        return bool(self.transform != Affine.identity())

    @property
    def is_palette(self) -> bool:
        """Whether the first band holds indexes into a colour table."""
        return self.palette is not None


@dataclass(frozen=True, slots=True)
class Scene:
    """An open scene: its facts and the rasterio dataset, to be used by one thread."""

    info: SceneInfo
    dataset: DatasetReader


@contextmanager
def open_scene(path: str, *, assume_crs: str | None = None, allow_drivers: Sequence[str] = ()) -> Iterator[Scene]:
    """Open a scene, check that it can be used, and close it at the end.

    Parameters
    ----------
    path : str
        Local path, /vsi path, URL or subdataset name; handed to GDAL as it is.
    assume_crs : str, optional
        CRS, such as ``EPSG:32615``, for a scene that has a position but no CRS. A scene's own CRS wins.
    allow_drivers : sequence of str
        GDAL's drivers to try beside `bimors_cli.scene.gdal.DRIVERS`.

    Yields
    ------
    Scene
        Facts and open dataset.

    Raises
    ------
    SceneError
        Not there, a directory, not a raster, no bands, complex pixels, no CRS, no position, or too large to be handled.
    InputError
        `assume_crs` is not a CRS, or a driver is not one.
    """
    name = display_name(path)
    assumed = None if assume_crs is None else parse_crs(assume_crs, "--assume-crs")
    if is_local(path):
        if os.path.isdir(path):
            raise SceneError(f"{name} is a directory", "give a raster; join many into one with gdalbuildvrt")
        if not os.path.exists(path):
            raise SceneError(f"{name} is not there", "check the path")
        if not os.path.isfile(path):
            raise SceneError(
                f"{name} is not a plain file", "a raster is read here and there: a pipe or a device cannot be"
            )
    allowed = allowed_drivers(allow_drivers)
    with gdal_env():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # said better by the checks below
            dataset = open_dataset(path, allowed)
        with dataset:
            try:
                info = _info(path, dataset, assumed, allowed)
            except (*GDAL_ERRORS, UnicodeDecodeError) as error:
                hint = f"see what GDAL says: gdalinfo {shell_name(path)}"
                raise SceneError(f"{name} has a damaged header: {reason_of(error)}", hint) from error
            yield Scene(info, dataset)


def scene_info(path: str, *, assume_crs: str | None = None, allow_drivers: Sequence[str] = ()) -> SceneInfo:
    """Return the facts of a scene; parameters and errors as in `open_scene`."""
    with open_scene(path, assume_crs=assume_crs, allow_drivers=allow_drivers) as scene:
        return scene.info


def _info(path: str, dataset: DatasetReader, assumed: CRS | None, allowed: tuple[str, ...]) -> SceneInfo:
    name = file_name(path)
    _check_pixels(path, dataset)
    crs = _crs(path, dataset, assumed)
    _check_size(path, dataset)
    status = os.stat(path) if is_local(path) else None
    return SceneInfo(
        path=path,
        name=name,
        stem=name if ":" in name else os.path.splitext(name)[0],
        driver=dataset.driver,
        width=dataset.width,
        height=dataset.height,
        count=dataset.count,
        dtypes=tuple(dataset.dtypes),
        colorinterp=tuple(c.name for c in dataset.colorinterp),
        crs=crs,
        crs_assumed=dataset.crs is None or not dataset.crs,
        transform=dataset.transform,
        nodata=tuple(dataset.nodatavals),
        block_shapes=tuple((int(h), int(w)) for h, w in dataset.block_shapes),
        overviews=tuple(dataset.overviews(1)),
        mask=_mask_kind(dataset),
        palette=_palette(dataset),
        size_bytes=status.st_size if status else None,
        mtime_ns=status.st_mtime_ns if status else None,
        allowed=allowed,
    )


def parse_crs(text: str, option: str) -> CRS:
    """Read the CRS of an option. Raises InputError where it is none, or an address."""
    if "://" in text:  # GDAL would fetch it
        raise InputError(f"{option} {display_name(text)} is an address, not a CRS", "write it as EPSG:32615, or as WKT")
    try:
        return CRS.from_user_input(text)
    except (CRSError, ValueError) as error:  # ValueError: EPSG:nope
        raise InputError(f"{option} {text!r} is not a CRS", "write it as EPSG:32615, or as WKT") from error


def _check_size(path: str, dataset: DatasetReader) -> None:
    """Refuse what could not be read within a computer's memory, before anything is allocated for it."""
    name, file = display_name(path), shell_name(path)
    if dataset.count > MAX_BANDS:
        hint = f"take those that you need: gdal_translate -b 1 -b 2 -b 3 {file} scene.tif"
        raise SceneError(f"{name} has {dataset.count:,} bands, more than {MAX_BANDS:,}", hint)
    rows, cols = dataset.block_shapes[0]
    # The bands of a pixel-interleaved file lie in one block.
    together = dataset.count if dataset.interleaving is not None and dataset.interleaving.name == "pixel" else 1
    size = rows * cols * together * np.dtype(dataset.dtypes[0]).itemsize
    if size > MAX_BLOCK_BYTES:
        hint = f"cut it into blocks: gdal_translate -co TILED=YES -co COMPRESS=DEFLATE {file} tiled.tif"
        raise SceneError(f"{name} is stored in blocks of {size >> 20:,} MiB, each read as a whole", hint)


def _check_pixels(path: str, dataset: DatasetReader) -> None:
    name, file = display_name(path), shell_name(path)
    if dataset.count == 0:
        inside = dataset.subdatasets[:3]
        hint = f"give one of its subdatasets: {', '.join(inside)}" if inside else f"see what is inside: gdalinfo {file}"
        raise SceneError(f"{name} has no bands", hint)
    if any(str(dtype).startswith("complex") for dtype in dataset.dtypes):
        hint = f'take the magnitude: gdal_calc.py -A {file} --calc="abs(A)" --type=Float32 --outfile=magnitude.tif'
        raise SceneError(f"{name} has complex pixels ({dataset.dtypes[0]})", hint)


def _crs(path: str, dataset: DatasetReader, assumed: CRS | None) -> CRS:
    name, file = display_name(path), shell_name(path)
    transform = dataset.transform
    placed = transform != Affine.identity()
    if not placed and dataset.gcps[0]:
        hint = f"warp it first: gdalwarp -tps {file} warped.tif"
        raise SceneError(f"{name} has ground control points but no transform", hint)
    if not placed and dataset.rpcs is not None:
        raise SceneError(f"{name} has RPCs but no transform", f"warp it first: gdalwarp -rpc {file} warped.tif")
    if not placed and dataset.crs is None and assumed is not None:
        # A plain picture whose user wants a layer all the same: its pixels' columns and rows are the coordinates.
        return assumed
    if not placed:
        place = f"gdal_edit.py -a_srs EPSG:... -a_ullr ULX ULY LRX LRY {file}"
        if not dataset.crs:
            hint = f"give it both: {place}; or take pixels for map units with --assume-crs EPSG:..."
            raise SceneError(f"{name} has no CRS and no position", hint)
        raise SceneError(f"{name} has a CRS but no position", f"give it one: {place}")
    if not all(map(math.isfinite, transform)) or transform.is_degenerate:
        hint = f"mend it: gdal_edit.py -a_ullr ULX ULY LRX LRY {file}"
        raise SceneError(f"{name} has a transform that maps it to nothing", hint)
    if dataset.crs:
        return dataset.crs
    if assumed is None:
        hint = f"name it with --assume-crs EPSG:..., or for good: gdal_edit.py -a_srs EPSG:... {file}"
        raise SceneError(f"{name} has no CRS", hint)
    return assumed


def _mask_kind(dataset: DatasetReader) -> MaskKind:
    flags = dataset.mask_flag_enums[0]
    if ColorInterp.alpha in dataset.colorinterp:
        return "alpha"
    if MaskFlags.nodata in flags:
        return "nodata"
    return "dataset" if MaskFlags.per_dataset in flags else "none"


def _palette(dataset: DatasetReader) -> bytes | None:
    if dataset.colorinterp[0].name != "palette" or np.dtype(dataset.dtypes[0]).kind != "u":
        return None
    table = dataset.colormap(1)
    lut = np.zeros((max(table) + 1, 4), np.uint8)  # a value without an entry is transparent
    for value, rgba in table.items():
        lut[value] = rgba
    return lut.tobytes()
