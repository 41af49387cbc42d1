"""`bimors doctor`: what is installed, what it can use, and whether it fits together."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
from typing import Any

from bimors_cli.cli.command import stay_off_the_network
from bimors_cli.cli.console import err, set_verbosity
from bimors_cli.cli.parameters import Json, Quiet, Verbose
from bimors_cli.errors import BimorsError
from bimors_cli.steps import LIBRARIES, step

EXAMPLE = "Example: bimors doctor --json"

DISTRIBUTIONS = (
    "bimors-cli", "torch", "open_clip_torch", "timm", "transformers", "safetensors", "huggingface_hub", "rasterio",
    "pyogrio", "pyproj", "shapely", "geopandas", "numpy", "pillow", "typer", "rich",
)  # fmt: skip
VARIABLES = (
    "GDAL_DATA", "GDAL_CACHEMAX", "GDAL_NUM_THREADS", "PROJ_DATA", "PROJ_LIB", "PROJ_NETWORK", "HF_HOME", "HF_ENDPOINT",
    "HF_HUB_OFFLINE", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "BIMORS_DEVICE", "BIMORS_OFFLINE", "BIMORS_DEBUG",
    "BIMORS_HOME", "BIMORS_CACHE", "BIMORS_CACHE_SIZE",
)  # fmt: skip


def doctor(json_output: Json = False, quiet: Quiet = False, verbose: Verbose = 0) -> None:
    """Show versions, GDAL and PROJ data, devices and bundles, and check that they work together.

    The exit code is 1 if there is a problem.
    """
    set_verbosity(verbose, quiet)
    stay_off_the_network()
    report = examine()
    if json_output:
        print(json.dumps(report, indent=1))
    else:
        for section, values in report.items():
            print(section)
            for name, value in values.items() if isinstance(values, dict) else enumerate(values, 1):
                print(f"  {name}: {value}")
    for problem in report["problems"]:
        err.print(f"problem: {problem}", style="bold red")
    if report["problems"]:
        raise SystemExit(1)


def examine() -> dict[str, Any]:
    """Collect the report; ``problems`` is a list of sentences, empty if there is none."""
    problems: list[str] = []
    return {
        "system": {"python": sys.version.split()[0], "platform": platform.platform(), "cpus": os.cpu_count()},
        "versions": {name: _version(name, problems) for name in DISTRIBUTIONS},
        "geo": _geo(problems),
        "devices": _devices(),
        "bundles": _bundles(problems),
        "caches": _caches(),
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "problems": problems,
    }


def _version(name: str, problems: list[str]) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        problems.append(f"{name} is not installed: install bimors-cli again")
        return None


def _geo(problems: list[str]) -> dict[str, Any]:
    import pyogrio
    import pyproj
    import rasterio
    from rasterio.crs import CRS
    from rasterio.env import GDALDataFinder, PROJDataFinder
    from rasterio.warp import transform

    # rasterio, pyogrio and pyproj each have a copy of GDAL or PROJ; a foreign PROJ_DATA breaks some of them only.
    facts: dict[str, Any] = {
        "gdal of rasterio": rasterio.__gdal_version__,
        "gdal of pyogrio": pyogrio.__gdal_version_string__,
        "gdal data of rasterio": GDALDataFinder().search(),
        "gdal data of pyogrio": pyogrio.get_gdal_data_path(),
        "proj of rasterio": rasterio.__proj_version__,
        "proj of pyproj": pyproj.proj_version_str,
        "proj data of rasterio": PROJDataFinder().search(),
        "proj data of pyproj": pyproj.datadir.get_data_dir(),
        "gpkg writable": "w" in pyogrio.list_drivers().get("GPKG", ""),
    }
    if not facts["gpkg writable"]:
        problems.append("this pyogrio cannot write GeoPackage")
    try:
        (x,), (y,) = transform(CRS.from_epsg(4326), CRS.from_epsg(32633), [15.5], [48.2])
        u, v = pyproj.Transformer.from_crs(4326, 32633, always_xy=True).transform(15.5, 48.2)
        facts["rasterio and pyproj differ by"] = f"{max(abs(x - u), abs(y - v)):.1e} m"
        if max(abs(x - u), abs(y - v)) > 1e-3:
            problems.append("rasterio and pyproj give different coordinates: unset PROJ_DATA, PROJ_LIB and GDAL_DATA")
    except (rasterio.errors.RasterioError, pyproj.exceptions.ProjError) as error:
        problems.append(f"the PROJ database cannot be used ({error}): unset PROJ_DATA, PROJ_LIB and GDAL_DATA")
    return facts


def _devices() -> dict[str, Any]:
    with step(LIBRARIES):
        import torch

        from bimors_cli.model.device import choose_device
        from bimors_cli.model.kernels.find import NEEDS, try_kernels

    cuda = {}
    for i, card in enumerate(map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))):
        kernels = try_kernels(torch.device("cuda", i))
        works = f"do not work; {NEEDS}: {kernels}" if isinstance(kernels, str) else "work"
        cuda[f"cuda:{i}"] = f"{card.name}, {card.total_memory / 2**30:.0f} GiB; kernels of captions {works}"
    return {"cpu": f"{torch.get_num_threads()} threads", **cuda, "auto means": str(choose_device("auto"))}


def _caches() -> dict[str, Any]:
    from huggingface_hub import constants

    from bimors_cli.pipeline.inference.caption_cache import cache_file

    return {"hugging face": f"{constants.HF_HUB_CACHE}", "captions": f"{cache_file()}"}


def _bundles(problems: list[str]) -> dict[str, Any]:
    from bimors_cli.bundle.locate import BANDS, EMBEDDED, find_bundle
    from bimors_cli.bundle.manifest import open_bundle
    from bimors_cli.bundle.store import installed

    found: dict[str, Any] = {}
    for name, folder in {EMBEDDED: None, BANDS: None, **installed()}.items():
        try:
            bundle = open_bundle(folder or find_bundle(name), hash_again=True)
            size = sum(entry.size for entry in bundle.files)
            found[name] = f"verified, {size / 1e6:.1f} MB, sha256 {bundle.sha256[:12]}, {bundle.folder}"
        except BimorsError as error:
            problems.append(error.message)
            found[name] = "unusable"
    return found
