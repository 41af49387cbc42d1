"""How bimors meets GDAL: the formats it lets in, the settings it prefers, the names it shows."""

from __future__ import annotations

import os
import re
import shlex
from typing import Final

import rasterio
import rasterio.env
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from bimors_cli.errors import SceneError

# GDAL picks a driver by content, so a suffix protects nothing: only these are tried. A VRT may name other files and
# addresses; it is let in only where the user can see by the name that it is one.
DRIVERS: Final = (
    "GTiff", "HFA", "ENVI", "EHdr", "ERS", "JP2OpenJPEG", "JPEG", "PNG", "WEBP", "netCDF", "GPKG",
)  # fmt: skip

# What rasterio raises when GDAL fails: mostly its own errors, but some calls let GDAL's through.
GDAL_ERRORS: Final = (RasterioError, CPLE_BaseError)

DEFAULTS: Final[dict[str, str | int]] = {
    # Bytes, unlike the environment variable (rasterio hands it to GDALSetCacheMax); GDAL's own 5 % of the memory is
    # 25 GB on a large server.
    "GDAL_CACHEMAX": 512 * 1024 * 1024,
    # Never lists the folder, still finds the sidecars (.ovr, .msk, .tfw): EMPTY_DIR would lose them.
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",
    "GDAL_HTTP_CONNECTTIMEOUT": 30,  # seconds; a dead host must not hang a run
    "GDAL_HTTP_MAX_RETRY": 5,
    "GDAL_HTTP_RETRY_DELAY": 1,  # seconds, doubled by GDAL after each try
    "GDAL_HTTP_MULTIRANGE": "SERIAL",  # GDAL does not retry parallel ranges (OSGeo/gdal #12933)
    "GDAL_VRT_ENABLE_PYTHON": "NO",  # a VRT is data, not a program
}

_URL = re.compile(r"^(?:/vsi\w+/)*[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_GDAL_NAME = re.compile(r"^(?:/vsi|[A-Za-z][A-Za-z0-9_+.-]+:)")  # two letters at least: C:\ is a Windows drive


def gdal_env() -> rasterio.Env:
    """Return a `rasterio.Env` with the defaults of bimors, less what the user set in the environment or an Env.

    GDAL's settings belong to a thread: each thread that reads enters its own (`SceneReader` does).
    """
    outer = rasterio.env.getenv() if rasterio.env.hasenv() else {}
    return rasterio.Env(**{k: v for k, v in DEFAULTS.items() if k not in os.environ and k not in outer})


def is_local(path: str) -> bool:
    """Tell whether `path` is a plain path of this machine, not a /vsi path, a URL or a `DRIVER:` name."""
    return not _GDAL_NAME.match(path) or os.path.exists(path)


def display_name(path: str) -> str:
    """Return `path` fit for messages: one line, without the query of a URL, which may carry a signature or a token."""
    return " ".join((path.split("?", 1)[0] if _URL.match(path) else path).splitlines())


def shell_name(path: str) -> str:
    """Return `display_name` as a shell takes it, for the commands in hints."""
    return shlex.quote(display_name(path))


def file_name(path: str) -> str:
    """Return the last part of a path, URL or subdataset name: ``NETCDF:"/d/x.nc":t2m`` gives ``x.nc:t2m``."""
    return re.split(r"[/\\]", display_name(path).rstrip("/\\"))[-1].replace('"', "")


def reason_of(error: BaseException) -> str:
    """Return GDAL's own reason in one line; rasterio hides it behind "see previous exception"."""
    cause = error.__cause__ or error
    return " ".join(str(getattr(cause, "errmsg", cause)).split())


def open_dataset(path: str) -> DatasetReader:
    """Open a raster for reading with the allowed drivers only.

    Parameters
    ----------
    path : str
        A local path, a /vsi path, a URL or a subdataset name, handed to GDAL as it is.

    Raises
    ------
    SceneError
        GDAL cannot open it, or its driver is not allowed.
    """
    name = display_name(path)
    drivers = [*DRIVERS, "VRT"] if name.lower().endswith(".vrt") else list(DRIVERS)
    try:
        # rasterio.open (1.4) refuses a list of drivers although it documents one; the class takes it.
        return DatasetReader(path, driver=drivers)
    except GDAL_ERRORS as error:
        reason = reason_of(error)
        if "not recognized" in reason and "does not exist" not in reason:
            accepted = f"{', '.join(DRIVERS)}, and VRT if named .vrt"
            hint = f"accepted: {accepted}; else: gdal_translate {shell_name(path)} scene.tif"
            raise SceneError(f"{name} is not a raster in a supported format", hint) from error
        hint = f"see what GDAL says: gdalinfo {shell_name(path)}"
        raise SceneError(f"cannot open {name}: {reason.replace(path, name)}", hint) from error
