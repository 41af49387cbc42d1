"""A scene that is one or several assets of a STAC item: its name, and the VRT that GDAL opens."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree

import numpy as np
import rasterio.shutil
from affine import Affine
from rasterio.enums import MaskFlags
from rasterio.io import DatasetReader, MemoryFile

from bimors_cli.errors import InputError, SceneError
from bimors_cli.scene.gdal import display_name, is_local, open_dataset, shell_name
from bimors_cli.scene.raster_checks import check_bands, check_memory
from bimors_cli.scene.stac_item import Asset, AssetBand, Item, is_http, named_json, read_item

# As GDAL names a subdataset: STAC:"/data/item.json":visual
_NAME: Final = re.compile(r'^STAC:"(?P<item>[^"]+)":(?P<assets>.+)$')
_TOLERANCE: Final = 1e-2  # pixels between corners of assets of one grid


@dataclass(frozen=True, slots=True)
class StacScene:
    """Assets of a STAC item, as one raster.

    Attributes
    ----------
    name : str
        What names it in place of a path: ``STAC:"item.json":red,green,blue``.
    stem : str
        Id of the item and keys of the assets: tile ids start with it.
    sources : tuple of str
        Local paths, /vsi paths and URLs of the assets.
    bands : tuple of AssetBand
        What the item says of each band of the raster.
    acquired : str or None
        Time of the item.
    vrt : str
        VRT that refers to the files of the assets, with the item's nodata values where a file has none.
    """

    name: str
    stem: str
    item: Item
    assets: tuple[str, ...]
    sources: tuple[str, ...]
    bands: tuple[AssetBand, ...]
    vrt: str

    def local_files(self) -> tuple[str, ...]:
        """Return the files on this machine that it is read from, the item included."""
        return tuple(path for path in (self.item.path, *self.sources) if is_local(path) and os.path.isfile(path))


def is_stac(path: str) -> bool:
    """Tell whether a path is that of a STAC item, or of assets of one."""
    return named_json(path) or _NAME.match(path) is not None


def file_of(path: str) -> str:
    """Return the path whose file says whether a scene is there: that of the item of a STAC scene, or its own."""
    found = _NAME.match(path)
    return path if found is None else found["item"]


def lasting_name(name: str) -> str:
    """Return the name of a scene with an absolute path of its item."""
    found = _NAME.match(name)
    if found is None or is_http(found["item"]):
        return name
    return f'STAC:"{os.path.abspath(found["item"])}":{found["assets"]}'


def remote_sources(path: str, asset: Sequence[str] = ()) -> tuple[str, ...]:
    """Return what of a STAC scene is not on this machine; empty for another file, which `open_stac` reports."""
    item_path, keys = _split(path, asset)
    if not is_local(item_path):
        return (item_path,)
    try:
        item = read_item(item_path)
        return tuple(source for each in _choose(item, keys) if not is_local(source := item.source(each)))
    except InputError:
        return ()


def open_stac(path: str, asset: Sequence[str] = (), allowed: Sequence[str] = ()) -> StacScene:
    """Choose assets of a STAC item, and make one raster of them; to be called in `gdal_env`.

    Parameters
    ----------
    path : str
        Path or URL of the item, or the name of a `StacScene`.
    asset : sequence of str
        Keys of assets, or common names of assets of one band. Without it the name says them; else the item must have
        one raster only.
    allowed : sequence of str
        Additional drivers, see `bimors_cli.scene.gdal.allowed_drivers`.

    Raises
    ------
    SceneError
        The item cannot be read, or is not an item; an asset cannot be opened; assets differ in their grids, or one that
        is combined with others has a mask.
    InputError
        The item has no such asset, or several rasters and none was chosen.
    """
    item_path, keys = _split(path, asset)
    item = read_item(item_path)
    chosen = _choose(item, keys)
    sources = tuple(map(item.source, chosen))
    names = ",".join(each.key for each in chosen)
    combined, bands = _combine(item, chosen, sources, allowed)
    return StacScene(
        name=f'STAC:"{item.path}":{names}',
        stem=re.sub(r"[^\w.+-]+", "_", f"{item.id}_{names.replace(',', '-')}"),
        item=item,
        assets=tuple(each.key for each in chosen),
        sources=sources,
        bands=bands,
        vrt=combined,
    )


def _split(path: str, asset: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    found = _NAME.match(path)
    return (path, tuple(asset)) if found is None else (found["item"], tuple(asset) or tuple(found["assets"].split(",")))


def _choose(item: Item, keys: Sequence[str]) -> list[Asset]:
    name = display_name(item.path)
    if keys:
        return [_find(item, key) for key in keys]
    rasters = [asset for asset in item.assets.values() if asset.is_raster]
    if len(rasters) == 1:
        return rasters
    what = f"{len(rasters)} raster assets" if rasters else "no asset that is known to be a raster"
    hint = f'choose with --asset NAME, or as STAC:"{name}":NAME; its assets: {item.listed()}'
    raise InputError(f"{name} has {what}", hint)


def _find(item: Item, key: str) -> Asset:
    name = display_name(item.path)
    if key in item.assets:
        return item.assets[key]
    named = [
        asset for asset in item.assets.values() if len(asset.bands) == 1 and asset.bands[0].common_name == key
        and asset.is_raster
    ]  # fmt: skip
    if len(named) == 1:
        return named[0]
    if named:
        keys = ", ".join(asset.key for asset in named)
        raise InputError(f"--asset {key}: {name} has {len(named)} assets of this common name", f"give one of {keys}")
    raise InputError(f"--asset {key}: {name} has no such asset", f"its assets: {item.listed()}")


def _combine(
    item: Item, assets: Sequence[Asset], sources: Sequence[str], allowed: Sequence[str]
) -> tuple[str, tuple[AssetBand, ...]]:
    """Return the VRT of the files of assets, and what the item says of its bands."""
    root: ElementTree.Element | None = None
    first: DatasetReader | None = None
    found: list[AssetBand] = []
    try:
        for asset, source in zip(assets, sources, strict=True):
            if is_local(source) and not os.path.isfile(source):
                hint = f"download the asset to {source}, or correct its href in {display_name(item.path)}"
                raise SceneError(f"{display_name(source)}, the asset {asset.key}, not found", hint)
            dataset = open_dataset(source, allowed)
            if first is None:
                first = dataset
            try:
                check_bands(source, dataset)
                check_memory(source, dataset)
                if dataset is not first:
                    _check_grid(assets[0], first, asset, dataset, sources)
                if len(assets) > 1:
                    _check_mask(asset, dataset, sources)
                # An item that says something of another number of bands says nothing of these.
                bands = asset.bands if len(asset.bands) == dataset.count else (AssetBand(),) * dataset.count
                part = _vrt_of(dataset, bands)
            finally:
                if dataset is not first:
                    dataset.close()
            if root is None:
                root = part
            else:
                for band in part.findall("VRTRasterBand"):
                    root.append(band)
            found += bands
    finally:
        if first is not None:
            first.close()
    assert root is not None  # an item has one asset at least that was chosen
    for number, band in enumerate(root.findall("VRTRasterBand"), 1):
        band.set("band", str(number))
    return ElementTree.tostring(root, encoding="unicode"), tuple(found)


def _vrt_of(dataset: DatasetReader, bands: Sequence[AssetBand]) -> ElementTree.Element:
    """Return the VRT that GDAL makes of a raster, with the nodata values and names of an item where it has none."""
    with MemoryFile(ext=".vrt") as file:
        rasterio.shutil.copy(dataset, file.name, driver="VRT")
        root = ElementTree.fromstring(file.read())
    unmasked = dataset.mask_flag_enums[0] == [MaskFlags.all_valid]
    for element, band, dtype, description in zip(
        root.findall("VRTRasterBand"), bands, dataset.dtypes, dataset.descriptions, strict=True
    ):
        value = band.nodata
        if unmasked and value is not None and _can_hold(dtype, value):
            text = ElementTree.Element("NoDataValue")
            text.text = repr(value)
            element.insert(0, text)
        name = band.common_name or band.name
        if name and (band.common_name or not description):
            for old in element.findall("Description"):
                element.remove(old)
            text = ElementTree.Element("Description")
            text.text = name
            element.insert(0, text)
    return root


def _can_hold(dtype: str, value: float) -> bool:
    """Tell whether a pixel of this type can have the value."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return True
    limits = np.iinfo(kind)
    return math.isfinite(value) and value == int(value) and limits.min <= value <= limits.max


def _check_grid(one: Asset, first: DatasetReader, other: Asset, dataset: DatasetReader, sources: Sequence[str]) -> None:
    same = (first.width, first.height) == (dataset.width, dataset.height) and first.crs == dataset.crs
    if same and not first.transform.is_degenerate:
        moved: Affine = ~first.transform @ dataset.transform
        corners = [(0, 0), (first.width, 0), (0, first.height), (first.width, first.height)]
        same = bool(np.allclose([moved @ corner for corner in corners], corners, rtol=0, atol=_TOLERANCE))
    if not same:
        raise SceneError(
            f"the assets {one.key} ({first.width} x {first.height} pixels) and {other.key} ({dataset.width} x "
            f"{dataset.height} pixels) have different grids",
            _separate(sources),
        )


def _check_mask(asset: Asset, dataset: DatasetReader, sources: Sequence[str]) -> None:
    if MaskFlags.per_dataset in dataset.mask_flag_enums[0] and MaskFlags.alpha not in dataset.mask_flag_enums[0]:
        raise SceneError(
            f"the asset {asset.key} has a mask of its own, which a combination would lose", _separate(sources)
        )


def _separate(sources: Sequence[str]) -> str:
    files = " ".join(map(shell_name, sources))
    return f"make one raster of them: gdalbuildvrt -separate -resolution highest scene.vrt {files}"
