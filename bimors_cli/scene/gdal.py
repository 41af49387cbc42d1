"""How bimors meets GDAL: the formats it lets in, the settings it prefers, the names it shows."""

from __future__ import annotations

import logging
import os
import re
import shlex
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import rasterio
import rasterio.env
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from bimors_cli.errors import InputError, SceneError
from bimors_cli.redact import redact
from bimors_cli.scene.sidecars import check_companions
from bimors_cli.scene.vrt import check_vrt, check_vrt_file

# GDAL picks a driver by content, so a suffix protects nothing: only these are tried. A VRT may name other files and
# addresses; it is let in only where the user can see by the name that it is one. ERS is not here for the same reason.
DRIVERS: Final = ("GTiff", "HFA", "ENVI", "EHdr", "JP2OpenJPEG", "JPEG", "PNG", "WEBP", "netCDF", "GPKG")

# A MEM dataset's name may point to any address in memory.
NEVER_ALLOWED: Final = ("MEM", "Memory")

# What rasterio raises when GDAL fails: mostly its own errors, but some calls let GDAL's through.
GDAL_ERRORS: Final = (RasterioError, CPLE_BaseError)

DEFAULTS: Final[dict[str, str | int]] = {
    # Bytes, unlike the environment variable (rasterio hands it to GDALSetCacheMax); GDAL's own 5 % of the memory is
    # 25 GB on a large server.
    "GDAL_CACHEMAX": 512 * 1024 * 1024,
    # Never lists the folder, still finds the sidecars (.ovr, .msk, .tfw): EMPTY_DIR would lose them.
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",
    "GDAL_HTTP_CONNECTTIMEOUT": 30,  # seconds; a dead host must not hang a run
    # A server that accepts a request and then says nothing: fewer than 10 bytes a second for half a minute.
    "GDAL_HTTP_LOW_SPEED_TIME": 30,
    "GDAL_HTTP_LOW_SPEED_LIMIT": 10,
    "GDAL_HTTP_MAX_RETRY": 4,
    "GDAL_HTTP_RETRY_DELAY": 1,  # seconds, doubled by GDAL after each try
    "GDAL_HTTP_MULTIRANGE": "SERIAL",  # GDAL does not retry parallel ranges (OSGeo/gdal #12933)
}
ALWAYS: Final[dict[str, str]] = {
    "GDAL_VRT_ENABLE_PYTHON": "NO",  # a VRT is data, not a program, whatever the environment says
}

_LOST_TAG: Final = re.compile(r"""IO error during reading of "(?:Geo|GDALNoData|ColorMap|ExtraSamples)""")
_WHOLE: Final = "/vsisubfile/0,"
# The file systems of GDAL that ask a server for parts of a file, and the names that rasterio writes them by.
_REMOTE: Final = re.compile(r"^/vsi(?:curl|s3|gs|az|adls|oss|swift)[/?]")
_SERVER: Final = re.compile(r"/vsi(?:curl|s3|gs|az|adls|oss|swift)(?![a-z_])[^?]*")
_SCHEMES: Final = {
    "http": "/vsicurl/http", "https": "/vsicurl/https", "s3": "/vsis3/", "gs": "/vsigs/", "az": "/vsiaz/",
}  # fmt: skip
_GDAL_NAME: Final = re.compile(r"^(?:/vsi|[A-Za-z][A-Za-z0-9_+.-]+:)")  # two letters at least: C:\ is a Windows drive


def gdal_env() -> rasterio.Env:
    """Return a `rasterio.Env` with the defaults of bimors, less what the user set in the environment or an Env;
    `ALWAYS` holds in any case.

    GDAL's settings belong to a thread: each thread that reads enters its own (`SceneReader` does).
    """
    outer = rasterio.env.getenv() if rasterio.env.hasenv() else {}
    return rasterio.Env(**{k: v for k, v in DEFAULTS.items() if k not in os.environ and k not in outer}, **ALWAYS)


def is_local(path: str) -> bool:
    """Tell whether `path` is a plain path of this machine, not a /vsi path, a URL or a `DRIVER:` name."""
    return not _GDAL_NAME.match(path) or os.path.exists(path)


def is_remote(path: str) -> bool:
    """Tell whether a server is asked for the parts of `path`: a /vsicurl path, a URL, a bucket; also in an archive."""
    name = gdal_name(path)
    return name.startswith(_WHOLE) or "/vsicurl" in name or "://" in name


def gdal_name(path: str) -> str:
    """Return the name by which GDAL opens `path`.

    What a server holds is opened as the whole of itself, by /vsisubfile. Without, GDAL fetches the blocks of a TIFF
    several at a time, and while it does so takes a block whose place it could not fetch for one without data: zeros,
    and no error (GTiffDataset::CacheMultiRange, seen in 3.10). Through /vsisubfile it asks for one after the other.
    """
    if is_local(path):
        return path
    scheme, found, rest = path.partition("://")
    prefix = _SCHEMES.get(scheme.lower()) if found else None
    if prefix is not None:
        path = f"{prefix}://{rest}" if prefix.startswith("/vsicurl") else prefix + rest
    return _WHOLE + path if _REMOTE.match(path) else path


def display_name(path: str) -> str:
    """Return `path` fit for messages: one line, without what an address may hold of secrets."""
    return " ".join(redact(path.removeprefix(_WHOLE) if not is_local(path) else path).splitlines())


def shell_name(path: str) -> str:
    """Return `display_name` as a shell takes it, for the commands in hints."""
    return shlex.quote(display_name(path))


def file_name(path: str) -> str:
    """Return the last part of a path, URL or subdataset name: ``NETCDF:"/d/x.nc":t2m`` gives ``x.nc:t2m``."""
    return re.split(r"[/\\]", display_name(path).rstrip("/\\"))[-1].replace('"', "")


def reason_of(error: BaseException) -> str:
    """Return GDAL's own reason in one line, without secrets; rasterio hides it behind "see previous exception"."""
    cause = error.__cause__ or error
    return redact(" ".join(str(getattr(cause, "errmsg", cause)).replace(_WHOLE, "").split()))


def allowed_drivers(names: Sequence[str]) -> tuple[str, ...]:
    """Return the drivers that a user allows beside `DRIVERS`, as GDAL spells them.

    Raises
    ------
    InputError
        This GDAL has no such driver for rasters, or it must not be used.
    """
    if not names:
        return ()
    with rasterio.Env() as env:
        known = {name.lower(): name for name in env.drivers()}
    for name in names:
        if name.lower() not in known:
            raise InputError(f"--allow-driver {name}: GDAL has no such driver here", "see: rio env --formats")
        if known[name.lower()] in NEVER_ALLOWED:
            raise InputError(f"--allow-driver {name}: its names may point into memory", "write the raster to a file")
    return tuple(dict.fromkeys(known[name.lower()] for name in names))


def open_dataset(path: str, allowed: Sequence[str] = ()) -> DatasetReader:
    """Open a raster for reading with the allowed drivers only.

    Parameters
    ----------
    path : str
        A local path, a /vsi path, a URL or a subdataset name.
    allowed : sequence of str
        Drivers beside `DRIVERS`, see `allowed_drivers`.

    Raises
    ------
    SceneError
        GDAL cannot open it, its driver is not allowed, its header came incomplete, or it would lead GDAL elsewhere.
    """
    name = display_name(path)
    named_vrt = name.lower().endswith(".vrt")
    drivers = [*DRIVERS, *allowed, *(["VRT"] if named_vrt else [])]
    if named_vrt and is_local(path):
        check_vrt_file(path)
    try:
        with _gdal_log() as told:
            # rasterio.open (1.4) refuses a list of drivers although it documents one; the class takes it.
            dataset = DatasetReader(gdal_name(path), driver=drivers)
    except GDAL_ERRORS as error:
        reason = reason_of(error)
        if "not recognized" in reason and "does not exist" not in reason:
            accepted = f"{', '.join(DRIVERS)}, and VRT if named .vrt"
            hint = f"accepted: {accepted}; else: --allow-driver NAME, or gdal_translate {shell_name(path)} scene.tif"
            kept = ", or its server does not give it" if is_remote(path) else ""
            raise SceneError(f"{name} is not a raster in a supported format{kept}", hint) from error
        hint = f"see what GDAL says: gdalinfo {shell_name(path)}"
        if "Range downloading not supported" in reason:
            reason, hint = "its server sends whole files only", "download it first"
        elif is_remote(path) and "does not exist" in reason:
            reason, hint = "its server does not give it", f"see why: curl -I {shell_name(path)}"
        raise SceneError(f"cannot open {name}: {reason.replace(path, name)}", hint) from error
    try:
        # GDAL goes on without a tag that it could not read: nodata and the position may be lost with it.
        if any(_LOST_TAG.search(line) for line in told):
            hint = "copy it here again" if is_local(path) else "try again, or copy it here first"
            raise SceneError(f"cannot open {name}: its header is not whole", hint)
        if dataset.driver == "VRT" and not is_local(path):
            check_vrt(" ".join(dataset.tags(ns="xml:VRT").values()), name)
        check_companions(dataset, path)
    except BaseException:
        dataset.close()
        raise
    return dataset


def open_afresh(dataset: DatasetReader, *, forget: bool = False) -> DatasetReader:
    """Open once more what `open_dataset` gave, closed or not.

    A TIFF that is open remembers a block whose place it could not read as one without data: the next read of it gives
    zeros and no error. So what a read has failed on is closed, and this takes its place.

    Parameters
    ----------
    dataset : DatasetReader
        From `open_dataset`.
    forget : bool
        Ask the server once more for what it has sent: a torn answer is kept otherwise.

    Raises
    ------
    SceneError
        It can no longer be opened.
    """
    name, drivers = dataset.name, [dataset.driver]
    try:
        if forget and (server := _SERVER.search(name)):
            # What was kept goes when a file that is not to be kept is closed.
            with rasterio.Env(CPL_VSIL_CURL_NON_CACHED=server[0]):
                DatasetReader(name, driver=drivers).close()
        return DatasetReader(name, driver=drivers)
    except GDAL_ERRORS as error:
        shown = display_name(name)
        raise SceneError(f"{shown} can no longer be opened: {reason_of(error)}", "try again later") from error


class HttpRetries(logging.Handler):
    """Counts how often GDAL asked a server again."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count a line of GDAL that tells of another try."""
        if "Retrying again" in record.getMessage():
            self.count += 1


@contextmanager
def count_http_retries() -> Iterator[HttpRetries]:
    """Count the requests to servers that were made again, by all threads, while this is entered."""
    handler = HttpRetries()
    log = logging.getLogger("rasterio")
    log.addHandler(handler)
    try:
        yield handler
    finally:
        log.removeHandler(handler)


@contextmanager
def _gdal_log() -> Iterator[list[str]]:
    """Collect what GDAL says in this thread."""
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
