"""Checking the sources of a VRT before GDAL opens them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final
from xml.etree import ElementTree

from bimors_cli.errors import SceneError
from bimors_cli.redact import redact

_MARK: Final = b"<VRTDataset"
_MAX_BYTES: Final = 256 * 1024 * 1024  # the VRT of a mosaic of 100,000 files has 100 MB
_HEAD: Final = 1024  # bytes; GDAL detects a VRT in these
_DEPTH: Final = 8
_TAGS: Final = frozenset({"SourceFilename", "SourceDataset", "SrcDS"})
# A name with the prefix of a driver. The prefixes allowed are those of drivers that any scene may use.
_PREFIX: Final = re.compile(r"^(?!/vsi)([A-Za-z][A-Za-z0-9_+.-]+):(?!//)")
_PREFIXES: Final = frozenset({"netcdf", "gpkg", "gtiff_dir", "gtiff_raw"})
_ADDRESS: Final = re.compile(r"/vsi(?:curl|s3|gs|az|adls|oss|swift|webhdfs|hdfs)|[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def check_vrt_file(path: str, depth: int = 0) -> tuple[str, ...]:
    """Check a local VRT and the VRTs that it refers to.

    Returns
    -------
    tuple of str
        Its remote sources, as the VRT names them.

    Raises
    ------
    SceneError
        The VRT is not well-formed, contains a service or another VRT in place of a file name, or refers to a VRT that
        is not named ``.vrt``, to a device or pipe, or to a driver that is not allowed.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_HEAD)
            if _MARK not in data:
                return ()  # not a VRT: GDAL reports it
            data += file.read(_MAX_BYTES)
    except OSError as error:
        raise SceneError(f"{path} cannot be read: {error.strerror or error}", "check the path") from error
    if len(data) > _MAX_BYTES:
        raise SceneError(f"{path} is larger than {_MAX_BYTES >> 20} MiB", "split it into several VRTs")
    if depth > _DEPTH:
        raise SceneError(
            f"{path}: VRTs nested {depth} levels deep", "convert one of them to a raster with gdal_translate"
        )
    return check_vrt(data, path, os.path.dirname(path), depth)


def check_vrt(content: bytes | str, name: str, folder: str | None = None, depth: int = 0) -> tuple[str, ...]:
    """Check the content of a VRT, see `check_vrt_file`; without a folder, its local sources are not checked."""
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError) as error:
        raise SceneError(f"{name} is not well-formed XML: {error}", "build it again with gdalbuildvrt") from error
    remote: list[str] = []
    for source, relative in dict.fromkeys(_sources(root)):
        shown = redact(source)
        prefix = _PREFIX.match(source)
        if "<" in source or (prefix is not None and prefix[1].lower() not in _PREFIXES and not os.path.exists(source)):
            hint = "a VRT may only refer to files and URLs of rasters: convert the source with gdal_translate"
            raise SceneError(f"{name} has a source that is not a file: {shown[:80]}", hint)
        if _ADDRESS.search(source):
            remote.append(source)
        elif folder is not None and not source.startswith("/vsi") and prefix is None:
            remote += _check_source(os.path.join(folder, source) if relative else source, name, depth)
    return tuple(remote)


def _sources(root: ElementTree.Element) -> Iterator[tuple[str, bool]]:
    for element in root.iter():
        if element.tag in _TAGS or (element.tag == "Argument" and "filename" in element.get("name", "").lower()):
            # A nested element is a whole VRT, whose sources are visited too.
            text = (element.text or "").strip()
            relative = {k.lower(): v for k, v in element.attrib.items()}.get("relativetovrt", "0")
            if text:
                yield text, relative.strip() not in ("0", "")


def _check_source(path: str, name: str, depth: int) -> tuple[str, ...]:
    if not os.path.exists(path):
        return ()  # a mosaic with a missing file: reading there fails
    if not os.path.isfile(path):
        raise SceneError(f"{name}: its source {path} is not a regular file", "remove it from the VRT")
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    if _MARK in head:
        if not path.lower().endswith(".vrt"):
            raise SceneError(
                f"{name}: its source {path} is a VRT with another suffix", "rename it to .vrt if you trust it"
            )
        return check_vrt_file(path, depth + 1)
    if head.lstrip()[:1] in (b"<", b"{"):
        hint = "convert the source with gdal_translate"
        raise SceneError(f"{name}: its source {path} is the description of a service, not a raster", hint)
    return ()
