"""Opening rasters with GDAL: allowed drivers, configuration options, dataset names."""

from __future__ import annotations

import logging
import os
import re
import shlex
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final
from xml.etree import ElementTree

import numpy as np
import rasterio
import rasterio.env
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from bimors_cli.errors import InputError, SceneError
from bimors_cli.redact import redact
from bimors_cli.scene.not_a_raster import what_it_is
from bimors_cli.scene.sidecars import check_sidecars
from bimors_cli.scene.vrt import check_vrt, check_vrt_file

# GDAL chooses a driver by content, so suffixes do not protect: only these drivers are tried. A VRT may refer to
# other files and URLs; it is allowed only if its name ends in .vrt, visible to the user. ERS is left out for the same
# reason.
DRIVERS: Final = ("GTiff", "HFA", "ENVI", "EHdr", "JP2OpenJPEG", "JPEG", "PNG", "WEBP", "netCDF", "GPKG")

# The name of a MEM dataset may point to any memory address.
NEVER_ALLOWED: Final = ("MEM", "Memory")

# Errors of GDAL: rasterio raises its own mostly, but some calls pass GDAL's through.
GDAL_ERRORS: Final = (RasterioError, CPLE_BaseError)

DEFAULTS: Final[dict[str, str | int]] = {
    # Bytes, unlike the environment variable (rasterio passes it to GDALSetCacheMax); GDAL's default of 5 % of the
    # memory is 25 GB on a large server.
    "GDAL_CACHEMAX": 512 * 1024 * 1024,
    # Does not list the folder but finds the sidecars (.ovr, .msk, .tfw), unlike EMPTY_DIR.
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",
    "GDAL_HTTP_CONNECTTIMEOUT": 30,  # seconds; an unreachable host must not block a run
    # A server that stops sending: fewer than 10 bytes per second for 30 seconds.
    "GDAL_HTTP_LOW_SPEED_TIME": 30,
    "GDAL_HTTP_LOW_SPEED_LIMIT": 10,
    "GDAL_HTTP_MAX_RETRY": 4,
    "GDAL_HTTP_RETRY_DELAY": 1,  # seconds, doubled by GDAL after each attempt
    "GDAL_HTTP_MULTIRANGE": "SERIAL",  # GDAL does not retry parallel ranges (OSGeo/gdal #12933)
}
ALWAYS: Final[dict[str, str]] = {
    "GDAL_VRT_ENABLE_PYTHON": "NO",  # no code from VRT files, whatever the environment sets
}

_LOST_TAG: Final = re.compile(r"""IO error during reading of "(?:Geo|GDALNoData|ColorMap|ExtraSamples)""")
_WHOLE: Final = "/vsisubfile/0,"
# GDAL's network file systems with range requests, and rasterio's URL schemes for them.
_REMOTE: Final = re.compile(r"^/vsi(?:curl|s3|gs|az|adls|oss|swift)[/?]")
_SERVER: Final = re.compile(r"/vsi(?:curl|s3|gs|az|adls|oss|swift)(?![a-z_])[^?]*")
_VRT: Final = "<VRTDataset"
_SCHEMES: Final = {
    "http": "/vsicurl/http", "https": "/vsicurl/https", "s3": "/vsis3/", "gs": "/vsigs/", "az": "/vsiaz/",
}  # fmt: skip
_GDAL_NAME: Final = re.compile(r"^(?:/vsi|[A-Za-z][A-Za-z0-9_+.-]+:)")  # two letters at least: C:\ is a Windows drive


def gdal_env() -> rasterio.Env:
    """Return a `rasterio.Env` with the defaults of bimors; options set in the environment or in an outer Env win.

    `ALWAYS` is set in any case. GDAL's options are per thread: each reading thread enters its own Env, as `SceneReader`
    does.
    """
    outer = rasterio.env.getenv() if rasterio.env.hasenv() else {}
    return rasterio.Env(**{k: v for k, v in DEFAULTS.items() if k not in os.environ and k not in outer}, **ALWAYS)


def is_local(path: str) -> bool:
    """Tell whether `path` is a plain local path, not a /vsi path, a URL or a `DRIVER:` name."""
    return not _GDAL_NAME.match(path) or os.path.exists(path)


def is_remote(path: str) -> bool:
    """Tell whether `path` is read from a server: a /vsicurl path, a URL or a bucket, also in an archive."""
    name = gdal_name(path)
    return name.startswith(_WHOLE) or "/vsicurl" in name or "://" in name


def gdal_name(path: str) -> str:
    """Return the name by which GDAL opens `path`.

    Remote files are opened through /vsisubfile, as a subfile that is the whole file. Without it, GDAL fetches several
    blocks of a TIFF at once and then treats a block whose offset it could not fetch as empty: zeros and no error
    (GTiffDataset::CacheMultiRange, seen in 3.10). Through /vsisubfile it requests one block after the other.
    """
    if is_local(path):
        return path
    scheme, found, rest = path.partition("://")
    prefix = _SCHEMES.get(scheme.lower()) if found else None
    if prefix is not None:
        path = f"{prefix}://{rest}" if prefix.startswith("/vsicurl") else prefix + rest
    return _WHOLE + path if _REMOTE.match(path) else path


def display_name(path: str) -> str:
    """Return `path` for messages: one line, without the secrets of URLs."""
    return " ".join(redact(path.removeprefix(_WHOLE) if not is_local(path) else path).splitlines())


def shell_name(path: str) -> str:
    """Return `display_name` quoted for the shell, for the commands in hints."""
    return shlex.quote(display_name(path))


def file_name(path: str) -> str:
    """Return the last part of a path, URL or subdataset name: ``NETCDF:"/d/x.nc":t2m`` gives ``x.nc:t2m``."""
    return re.split(r"[/\\]", display_name(path).rstrip("/\\"))[-1].replace('"', "")


def reason_of(error: BaseException) -> str:
    """Return GDAL's message of an error in one line, without secrets; rasterio has it in the previous exception."""
    cause = error.__cause__ or error
    return redact(" ".join(str(getattr(cause, "errmsg", cause)).replace(_WHOLE, "").split()))


def allowed_drivers(names: Sequence[str]) -> tuple[str, ...]:
    """Return the drivers that a user allows in addition to `DRIVERS`, as GDAL spells them.

    Raises
    ------
    InputError
        This GDAL has no raster driver of that name, or the driver is never allowed.
    """
    if not names:
        return ()
    with rasterio.Env() as env:
        known = {name.lower(): name for name in env.drivers()}
    for name in names:
        if name.lower() not in known:
            raise InputError(f"--allow-driver {name}: GDAL has no such driver", "list the drivers: rio env --formats")
        if known[name.lower()] in NEVER_ALLOWED:
            raise InputError(
                f"--allow-driver {name}: this driver gives access to memory addresses", "write the raster to a file"
            )
    return tuple(dict.fromkeys(known[name.lower()] for name in names))


def open_dataset(path: str, allowed: Sequence[str] = ()) -> DatasetReader:
    """Open a raster for reading with the allowed drivers only.

    Parameters
    ----------
    path : str
        A local path, a /vsi path, a URL or a subdataset name.
    allowed : sequence of str
        Additional drivers, see `allowed_drivers`.

    Raises
    ------
    SceneError
        GDAL cannot open it, its driver is not allowed, its header is incomplete, or a VRT or a sidecar is refused.
    """
    name = display_name(path)
    named_vrt = name.lower().endswith(".vrt")
    drivers = [*DRIVERS, *allowed, *(["VRT"] if named_vrt else [])]
    if named_vrt and is_local(path):
        check_vrt_file(path)
    try:
        # rasterio compares a nodata tag of -1.8e308 with the limits of float32, of which numpy warns.
        with _gdal_log() as messages, np.errstate(over="ignore"):
            # rasterio.open (1.4) documents a list of drivers but refuses it; the class accepts it.
            dataset = DatasetReader(gdal_name(path), driver=drivers)
    except GDAL_ERRORS as error:
        reason = reason_of(error)
        if "not recognized" in reason and "does not exist" not in reason:
            denied = ", or its server refuses it" if is_remote(path) else ""
            message, hint = what_it_is(path if is_local(path) else None, name, shell_name(path), DRIVERS)
            raise SceneError(f"{message}{denied}", hint) from error
        hint = f"check it with GDAL: gdalinfo {shell_name(path)}"
        if "Range downloading not supported" in reason:
            reason, hint = "its server does not support range requests", "download the file first"
        elif is_remote(path) and "does not exist" in reason:
            reason, hint = "its server refuses it", f"check the answer of the server: curl -I {shell_name(path)}"
        raise SceneError(f"cannot open {name}: {reason.replace(path, name)}", hint) from error
    try:
        # GDAL continues without a tag that it could not read: nodata and the georeference may be lost.
        if any(_LOST_TAG.search(line) for line in messages):
            hint = "copy the file again" if is_local(path) else "try again, or download the file first"
            raise SceneError(f"cannot open {name}: its header is incomplete", hint)
        if dataset.driver == "VRT" and not is_local(path):
            check_vrt(" ".join(dataset.tags(ns="xml:VRT").values()), name)
        check_sidecars(dataset, path)
    except BaseException:
        dataset.close()
        raise
    return dataset


def open_vrt(content: str) -> DatasetReader:
    """Open a VRT that bimors made itself, of files that `open_dataset` has opened. Raises SceneError."""
    try:
        return DatasetReader(content, driver=["VRT"])
    except GDAL_ERRORS as error:
        shown = ", ".join(map(display_name, sources_of(content)))
        raise SceneError(f"cannot open {shown}: {reason_of(error)}", "check the files with gdalinfo") from error


def sources_of(vrt: str) -> tuple[str, ...]:
    """Return the files that a VRT of `open_vrt` refers to, each once."""
    return tuple(dict.fromkeys(each.text or "" for each in ElementTree.fromstring(vrt).iter("SourceFilename")))


def reopen(dataset: DatasetReader, *, clear_cache: bool = False) -> DatasetReader:
    """Open a dataset of `open_dataset` again, whether it is closed or not.

    An open TIFF treats a block whose offset it could not read as empty: the next read returns zeros and no error. After
    a failed read the dataset must therefore be closed and opened again.

    Parameters
    ----------
    dataset : DatasetReader
        A dataset of `open_dataset`.
    clear_cache : bool
        Discard GDAL's cache of the server's answers, which may be truncated.

    Raises
    ------
    SceneError
        The dataset can no longer be opened.
    """
    name, drivers = dataset.name, [dataset.driver]
    files = sources_of(name) if name.startswith(_VRT) else (name,)
    try:
        for file in files if clear_cache else ():
            if server := _SERVER.search(file):
                # The cache is discarded when a file that must not be cached is closed.
                with rasterio.Env(CPL_VSIL_CURL_NON_CACHED=server[0]):
                    DatasetReader(file, driver=drivers if file == name else list(DRIVERS)).close()
        with np.errstate(over="ignore"):  # as in `open_dataset`
            return DatasetReader(name, driver=drivers)
    except GDAL_ERRORS as error:
        shown = ", ".join(map(display_name, files))
        raise SceneError(f"{shown} can no longer be opened: {reason_of(error)}", "try again later") from error


class HttpRetries(logging.Handler):
    """Counts the HTTP requests that GDAL repeated."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count a message about a repeated request."""
        if "Retrying again" in record.getMessage():
            self.count += 1


@contextmanager
def count_http_retries() -> Iterator[HttpRetries]:
    """Count the repeated HTTP requests of all threads during the block."""
    handler = HttpRetries()
    log = logging.getLogger("rasterio")
    log.addHandler(handler)
    try:
        yield handler
    finally:
        log.removeHandler(handler)


@contextmanager
def _gdal_log() -> Iterator[list[str]]:
    """Collect GDAL's messages in this thread."""
    lines: list[str] = []
    thread = threading.get_ident()

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread:
                lines.append(record.getMessage())

    collector, log = Collector(), logging.getLogger("rasterio")
    log.addHandler(collector)
    try:
        yield lines
    finally:
        log.removeHandler(collector)
