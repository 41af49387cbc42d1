"""Opening a scene, and its properties."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import CRSError, NotGeoreferencedWarning
from rasterio.io import DatasetReader

from bimors_cli.errors import InputError, SceneError
from bimors_cli.scene.acquired import acquired
from bimors_cli.scene.band_names import identify_bands
from bimors_cli.scene.gdal import (
    GDAL_ERRORS,
    allowed_drivers,
    display_name,
    file_name,
    gdal_env,
    is_local,
    open_dataset,
    open_vrt,
    reason_of,
    shell_name,
)
from bimors_cli.scene.nodata_tags import nodata_values
from bimors_cli.scene.not_a_raster import folder_hint
from bimors_cli.scene.paths import why_missing
from bimors_cli.scene.proj_data import check_proj_data
from bimors_cli.scene.raster_checks import check_bands, check_memory, georeferenced_crs
from bimors_cli.scene.raster_tags import descriptions_of, sensor_tags, wavelength_of
from bimors_cli.scene.sensors import guess
from bimors_cli.scene.size import is_unit
from bimors_cli.scene.stac_scene import StacScene, is_stac, open_stac

MaskKind = Literal["none", "nodata", "alpha", "dataset"]


@dataclass(frozen=True, slots=True)
class SceneInfo:
    """The properties of a scene that was checked; holds no open file and can be pickled.

    Attributes
    ----------
    path : str
        Path as the user gave it.
    name, stem : str
        File name with and without its suffix; tile ids start with `stem`.
    width, height, count : int
        Size in pixels and number of bands.
    dtypes, colorinterp : tuple of str
        Numpy dtype and GDAL colour interpretation of each band; an alpha band that is ignored is ``undefined``.
    crs : CRS
        CRS of the file, or the assumed one.
    crs_assumed : bool
        True if the file has no CRS and the user gave one.
    transform : Affine
        Geotransform, pixel corner (column, row) to map coordinates; never degenerate.
    nodata : tuple of float or None
        Nodata value of each band.
    block_shapes : tuple of (rows, columns)
        Block shape of each band.
    overviews : tuple of int
        Decimation factors of the overviews of the first band.
    mask : {"none", "nodata", "alpha", "dataset"}
        What defines the valid pixels.
    palette : bytes or None
        RGBA of each value of the first band, 4 bytes per value, if it has a colour table.
    size_bytes, mtime_ns : int or None
        Size and modification time of a local file; None for other paths.
    allowed : tuple of str
        Additional drivers that the user allowed.
    band_names : tuple of str or None
        What each band is, such as ``nir``, see `bimors_cli.scene.band_names`; empty if that was not read.
    scales, offsets : tuple of float
        Of each band: value = stored value * scale + offset. Empty for 1 and 0.
    descriptions : tuple of str or None
        What the file calls each band.
    wavelengths : tuple of float or None
        Central wavelength of each band in nanometres.
    tags : tuple of (str, str)
        Those tags of the file that say something about its sensor; names are in capitals.
    repeated_colours : tuple of int
        Red, green and blue of the first of several images in a stack, numbered from 1; empty else.
    named_by_order : bool
        Whether only the order of the bands says which are red, green and blue, because the sensor is known.
    acquired : str or None
        When it was acquired, as its STAC item or its tags say, RFC 3339.
    stac : StacScene or None
        The assets of a STAC item that it consists of; ``path`` is their name.
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
    band_names: tuple[str | None, ...] = ()
    scales: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()
    descriptions: tuple[str | None, ...] = ()
    wavelengths: tuple[float | None, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    repeated_colours: tuple[int, ...] = ()
    named_by_order: bool = False
    acquired: str | None = None
    stac: StacScene | None = None

    @property
    def has_geotransform(self) -> bool:
        """Whether the scene has a geotransform; if not, pixels are map units (only with an assumed CRS)."""
        return bool(self.transform != Affine.identity())

    @property
    def is_palette(self) -> bool:
        """Whether the values of the first band are indices into a colour table."""
        return self.palette is not None


@dataclass(frozen=True, slots=True)
class Scene:
    """An open scene: its properties and the rasterio dataset, which one thread may use."""

    info: SceneInfo
    dataset: DatasetReader


@contextmanager
def open_scene(
    path: str,
    *,
    assume_crs: str | None = None,
    allow_drivers: Sequence[str] = (),
    ignore_alpha: bool = False,
    asset: Sequence[str] = (),
) -> Iterator[Scene]:
    """Open a scene, check it, and close it at the end of the block.

    Parameters
    ----------
    path : str
        Local path, /vsi path, URL or subdataset name, as GDAL takes it; or path or URL of a STAC item.
    assume_crs : str, optional
        CRS such as ``EPSG:32615`` for a scene without CRS. The CRS of the scene takes precedence.
    allow_drivers : sequence of str
        GDAL drivers to try in addition to `bimors_cli.scene.gdal.DRIVERS`.
    ignore_alpha : bool
        Whether a band that is flagged as alpha is one of data.
    asset : sequence of str
        Assets of the STAC item, see `bimors_cli.scene.stac_scene.open_stac`.

    Yields
    ------
    Scene
        Properties and open dataset.

    Raises
    ------
    SceneError
        The scene was not found, is not a raster, or is too large; or it has no bands, complex pixels, no CRS or no
        geotransform.
    InputError
        `assume_crs` is not a CRS, GDAL has no such driver, or the item has no such asset.
    """
    name = display_name(path)
    check_proj_data()
    assumed = None if assume_crs is None else parse_crs(assume_crs, "--assume-crs")
    if is_local(path):
        if os.path.isdir(path):
            raise SceneError(f"{name} is a folder", folder_hint(path))
        if any("\udc80" <= character <= "\udcff" for character in path):  # bytes that Python could not decode
            raise SceneError(f"{name}: GDAL needs a name in UTF-8", "rename the file")
        if not os.path.exists(path):
            hint = "write a length without a space: 500m" if is_unit(path) else "check the path"
            raise SceneError(f"{name} {why_missing(path)}", hint)
        if not os.path.isfile(path):
            raise SceneError(
                f"{name} is not a regular file", "rasters need random access: pipes and devices are not supported"
            )
    if asset and not is_stac(path):
        raise InputError(f"--asset {','.join(asset)}: {name} is not a STAC item", "leave out --asset for a raster")
    allowed = allowed_drivers(allow_drivers)
    with gdal_env():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # reported by the checks below
            stac = open_stac(path, asset, allowed) if is_stac(path) else None
            dataset = open_dataset(path, allowed) if stac is None else open_vrt(stac.vrt)
        with dataset:
            try:
                info = _read_info(path if stac is None else stac.name, dataset, assumed, allowed, ignore_alpha, stac)
            except (*GDAL_ERRORS, UnicodeDecodeError) as error:
                hint = f"check it with GDAL: gdalinfo {shell_name(path)}"
                raise SceneError(f"{name} has a damaged header: {reason_of(error)}", hint) from error
            yield Scene(info, dataset)


def open_again(info: SceneInfo) -> DatasetReader:
    """Open the raster of a scene that was checked. Raises SceneError if it can no longer be opened."""
    return open_dataset(info.path, info.allowed) if info.stac is None else open_vrt(info.stac.vrt)


def scene_info(path: str, *, assume_crs: str | None = None, allow_drivers: Sequence[str] = ()) -> SceneInfo:
    """Return the properties of a scene; parameters and errors as in `open_scene`."""
    with open_scene(path, assume_crs=assume_crs, allow_drivers=allow_drivers) as scene:
        return scene.info


def _read_info(
    path: str,
    dataset: DatasetReader,
    assumed: CRS | None,
    allowed: tuple[str, ...],
    ignore_alpha: bool,
    stac: StacScene | None,
) -> SceneInfo:
    name = file_name(path) if stac is None else f"{file_name(stac.item.path)}:{','.join(stac.assets)}"
    check_bands(path, dataset)
    crs = georeferenced_crs(path, dataset, assumed)
    check_memory(path, dataset)
    files = [os.stat(each) for each in ([path] if is_local(path) else stac.local_files() if stac else [])]
    stem = name if ":" in name else os.path.splitext(name)[0]
    colours = [colour.name for colour in dataset.colorinterp]
    if ignore_alpha:
        colours = ["undefined" if colour == "alpha" else colour for colour in colours]
    info = SceneInfo(
        path=path,
        name=name,
        stem=stem if stac is None else stac.stem,
        driver=dataset.driver,
        width=dataset.width,
        height=dataset.height,
        count=dataset.count,
        dtypes=tuple(dataset.dtypes),
        colorinterp=tuple(colours),
        crs=crs,
        crs_assumed=dataset.crs is None or not dataset.crs,
        transform=dataset.transform,
        nodata=nodata_values(dataset),
        block_shapes=tuple((int(h), int(w)) for h, w in dataset.block_shapes),
        overviews=tuple(dataset.overviews(1)),
        mask=_mask_kind(dataset),
        palette=_palette(dataset),
        size_bytes=sum(status.st_size for status in files) if files else None,
        mtime_ns=max((status.st_mtime_ns for status in files), default=None),
        allowed=allowed,
        scales=tuple(map(float, dataset.scales)),
        offsets=tuple(map(float, dataset.offsets)),
        descriptions=descriptions_of(dataset),
        wavelengths=tuple(wavelength_of(dataset, index) for index in dataset.indexes),
        tags=sensor_tags(dataset),
        acquired=acquired(dataset.tags(), dataset.tags(ns="IMAGERY")) if stac is None else stac.item.acquired,
        stac=stac,
    )
    return _with_identities(info)


def _with_identities(info: SceneInfo) -> SceneInfo:
    found = guess(info)
    bands = identify_bands(
        info.descriptions, info.wavelengths, info.colorinterp, None if found is None else found.sensor
    )
    return replace(info, band_names=bands.names, repeated_colours=bands.repeated, named_by_order=bands.by_order)


def parse_crs(text: str, option: str) -> CRS:
    """Parse the CRS of an option. Raises InputError if the text is not a CRS, or a URL."""
    if "://" in text:  # GDAL would download it
        raise InputError(f"{option} {display_name(text)} is a URL, not a CRS", "write it as EPSG:32615, or as WKT")
    try:
        return CRS.from_user_input(text)
    except (CRSError, ValueError) as error:  # ValueError: EPSG:nope
        raise InputError(f"{option} {text!r} is not a CRS", "write it as EPSG:32615, or as WKT") from error


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
    try:
        table = dataset.colormap(1)
    except ValueError:  # flagged as palette, without a colour table
        return None
    lut = np.zeros((max(table) + 1, 4), np.uint8)  # a value without an entry is transparent
    for value, rgba in table.items():
        lut[value] = rgba
    return lut.tobytes()
