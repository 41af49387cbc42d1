"""Reading a STAC item: its assets and their bands; other JSON files are refused by what they are."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import Request, url2pathname, urlopen

from bimors_cli.errors import SceneError
from bimors_cli.redact import redact
from bimors_cli.version import __version__

_MAX_BYTES: Final = 16 << 20  # an item has some kB
_TIMEOUT: Final = 30  # seconds
_HTTP: Final = ("http", "https")
_ADDRESSES: Final = (*_HTTP, "s3", "gs", "az")  # what GDAL reads by range requests
_SCHEME: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):")  # two letters at least: C:\ is a Windows drive
_NO_PIXELS: Final = {"thumbnail", "overview", "metadata", "date"}  # roles of assets that are no scene
_RASTER_TYPES: Final = (
    "image/tiff",
    "image/jp2",
    "application/x-hdf",
    "application/x-netcdf",
    "image/vnd.stac.geotiff",
)
_RASTER_SUFFIXES: Final = (".tif", ".tiff", ".jp2", ".img", ".vrt", ".nc")
_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class AssetBand:
    """What an item says of a band; None where it does not say it.

    Attributes
    ----------
    common_name, name : str or None
        Such as ``red``, and ``B04``.
    nodata : float or None
        NaN and infinity included.
    scale, offset : float or None
        value = stored value * scale + offset.
    """

    common_name: str | None = None
    name: str | None = None
    nodata: float | None = None
    scale: float | None = None
    offset: float | None = None


@dataclass(frozen=True, slots=True)
class Asset:
    """An asset of an item: its key, address, media type, roles, and bands (empty if the item does not list them)."""

    key: str
    href: str
    media_type: str
    roles: tuple[str, ...]
    bands: tuple[AssetBand, ...]

    @property
    def is_raster(self) -> bool:
        """Whether type, roles and address are those of a raster with data."""
        if _NO_PIXELS & set(self.roles):
            return False
        if self.media_type:
            return self.media_type.startswith(_RASTER_TYPES)
        return urlsplit(self.href).path.lower().endswith(_RASTER_SUFFIXES)


@dataclass(frozen=True, slots=True)
class Item:
    """A STAC item: where it was read, its id, its assets by key, and when it was acquired (RFC 3339, or None)."""

    path: str
    id: str
    assets: Mapping[str, Asset]
    acquired: str | None

    @property
    def is_remote(self) -> bool:
        """Whether it was read from a server."""
        return is_http(self.path)

    def source(self, asset: Asset) -> str:
        """Return the address of an asset: an absolute local path, a /vsi path or a URL.

        Raises
        ------
        SceneError
            The address has another scheme, or is a local file that an item on a server names.
        """
        href = asset.href
        scheme = _SCHEME.match(href)
        if self.is_remote:
            href = href if scheme else urljoin(self.path, href)
            scheme = _SCHEME.match(href)
        if scheme is None:
            return href if href.startswith("/vsi") else self._local(href)
        kind = scheme[1].lower()
        if kind == "file" and not self.is_remote:
            return url2pathname(urlsplit(href).path)
        if kind not in _ADDRESSES:
            raise SceneError(
                f"{redact(self.path)}: asset {asset.key} has an address that cannot be read: {redact(href)[:80]}",
                f"supported: files next to the item, and addresses with {', '.join(_ADDRESSES)}",
            )
        return href

    def _local(self, href: str) -> str:
        """Return the absolute path of a file; a space in its name may be written as %20."""
        folder = os.path.dirname(self.path)
        path = os.path.abspath(os.path.join(folder, href))
        return path if os.path.exists(path) else os.path.abspath(os.path.join(folder, unquote(href)))

    def listed(self) -> str:
        """List the assets with their roles, for a message."""
        shown = [
            f"{asset.key} ({', '.join(asset.roles) or 'no role'})" for asset in list(self.assets.values())[:_SHOWN]
        ]
        more = len(self.assets) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more else "") if shown else "none"


def is_http(path: str) -> bool:
    """Tell whether a path is an http or https URL."""
    return path.partition("://")[0].lower() in _HTTP and "://" in path


def named_json(path: str) -> bool:
    """Tell whether a path or URL is named as an item may be: ``.json`` or ``.geojson``."""
    name = urlsplit(path).path if is_http(path) else path
    return name.lower().endswith((".json", ".geojson")) and (is_http(path) or not path.startswith("/vsi"))


def read_item(path: str) -> Item:
    """Read a STAC item from a file or an http(s) URL.

    Raises
    ------
    SceneError
        It cannot be read, is not valid JSON, or is not one STAC item.
    """
    name = redact(path)
    if _SCHEME.match(path) and not is_http(path):
        raise SceneError(f"{name}: a STAC item is read from a file or from http(s)", "download the item")
    data = _fetch(path) if is_http(path) else _load(path)
    if len(data) > _MAX_BYTES:
        raise SceneError(f"{name} is larger than {_MAX_BYTES >> 20} MiB", "give a file with one STAC item")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:  # text that is not UTF-8 included
        raise SceneError(f"{name} is not valid JSON", "give a STAC item or a raster") from error
    _check_item(content, name)
    properties = content["properties"] if isinstance(content.get("properties"), dict) else {}
    assets = {
        str(key): _asset(str(key), value)
        for key, value in content["assets"].items()
        if isinstance(value, dict) and isinstance(value.get("href"), str)
    }
    acquired = properties.get("datetime") or properties.get("start_datetime")
    return Item(path, str(content["id"]), assets, acquired if isinstance(acquired, str) else None)


def _check_item(content: Any, name: str) -> None:
    kind = content.get("type") if isinstance(content, dict) else None
    if kind == "Collection" or (kind is None and isinstance(content, dict) and "extent" in content):
        hint = "give one of its items: the files that its links of rel item name"
        raise SceneError(f"{name} is a STAC Collection, not an item", hint)
    if kind == "Catalog" or (kind is None and isinstance(content, dict) and "stac_version" in content):
        raise SceneError(
            f"{name} is a STAC Catalog, not an item", "give an item: its links of rel item or child lead to it"
        )
    if kind == "FeatureCollection":
        hint = f"save one item as a file of its own: jq '.features[0]' {name} > item.json"
        if not any(isinstance(one, dict) and "stac_version" in one for one in content.get("features") or ()):
            raise SceneError(f"{name} is a GeoJSON layer, not a STAC item", "give a STAC item or a raster")
        raise SceneError(f"{name} is a STAC ItemCollection, not an item", hint)
    if kind != "Feature" or "stac_version" not in content:
        raise SceneError(
            f"{name} is neither a STAC item nor a raster", "an item has a type of Feature and a stac_version"
        )
    if not isinstance(content.get("assets"), dict) or "id" not in content:
        raise SceneError(f"{name} is a STAC item without assets or id", "check it: stac-validator validates items")


def _asset(key: str, value: Mapping[str, Any]) -> Asset:
    roles = value.get("roles")
    return Asset(
        key=key,
        href=value["href"],
        media_type=str(value.get("type") or "").lower(),
        roles=tuple(map(str, roles)) if isinstance(roles, list) else (),
        bands=_bands(value),
    )


def _bands(asset: Mapping[str, Any]) -> tuple[AssetBand, ...]:
    """Merge what ``bands`` of STAC 1.1, ``eo:bands`` and ``raster:bands`` of 1.0, and the asset itself say of bands."""
    lists = [asset[key] for key in ("bands", "eo:bands", "raster:bands") if isinstance(asset.get(key), list)]
    count = max(map(len, lists), default=0)
    # Fields of the asset hold for its bands; without a list of bands it is taken to have one.
    fields = ("nodata", "raster:scale", "raster:offset", *(("eo:common_name",) if count <= 1 else ()))
    own = {key: asset[key] for key in fields if key in asset}
    if not count:
        return (_band(own),) if own else ()
    merged: list[dict[str, Any]] = [dict(own) for _ in range(count)]
    for bands in lists:
        for into, band in zip(merged, bands, strict=False):
            into.update(band if isinstance(band, dict) else {})
    return tuple(map(_band, merged))


def _band(band: Mapping[str, Any]) -> AssetBand:
    common, name = band.get("eo:common_name", band.get("common_name")), band.get("name")
    return AssetBand(
        common if isinstance(common, str) else None,
        name if isinstance(name, str) else None,
        _number(band.get("nodata")),
        _number(band.get("raster:scale", band.get("scale"))),
        _number(band.get("raster:offset", band.get("offset"))),
    )


def _number(value: Any) -> float | None:
    """Return a number of the raster extension, which writes nan, inf and -inf as texts; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _load(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise SceneError(f"{path} cannot be read: {error.strerror or error}", "check the path") from error


@lru_cache(maxsize=64)
def _fetch(url: str) -> bytes:
    request = Request(
        url, headers={"User-Agent": f"bimors/{__version__}", "Accept": "application/geo+json, application/json"}
    )
    try:
        with urlopen(request, timeout=_TIMEOUT) as answer:  # an http or https URL, see is_http
            data: bytes = answer.read(_MAX_BYTES + 1)
            return data
    except (URLError, OSError, ValueError) as error:
        reason = redact(str(error if isinstance(error, HTTPError) else getattr(error, "reason", error)))
        hint = "check the address, or download the item and give the file"
        raise SceneError(f"{redact(url)} cannot be read: {reason}", hint) from error
