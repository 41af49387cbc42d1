"""Fixtures for all tests: the shared folder of real scenes, and a maker of small rasters."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from hypothesis import settings

# A shared machine that stands still for a moment is no fault of the program.
settings.register_profile("bimors", deadline=None)
settings.load_profile("bimors")

pytest_plugins = ["tests.bundles", "tests.layers", "tests.long", "tests.hardening.disks", "tests.hardening.forks"]

SHARED = Path(__file__).resolve().parents[2] / "shared"

MakeRaster = Callable[..., str]

NORTH_UP = Affine(10, 0, 500_000, 0, -10, 4_600_000)  # 10 m pixels in UTM


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker here, so that a bare checkout knows it too; show no lines of slow steps."""
    # How long a step takes here is no part of what a command says.
    os.environ.setdefault("BIMORS_PROGRESS_EVERY", "3600")
    config.addinivalue_line("markers", "shared: needs the folder of real scenes beside the repository")


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    """Give each test the log as it is at the start: a command, or a fixture of a module that runs one, would silence it
    for all that follow.
    """
    log = logging.getLogger("bimors")
    log.setLevel(logging.NOTSET)
    yield
    log.setLevel(logging.NOTSET)


@pytest.fixture(autouse=True)
def caption_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give each test a caption cache of its own, which is not there yet; never the user's."""
    folder = tmp_path_factory.getbasetemp() / "caches" / uuid.uuid4().hex
    monkeypatch.setenv("BIMORS_CACHE", str(folder))
    monkeypatch.delenv("BIMORS_CACHE_SIZE", raising=False)
    return folder / "captions.sqlite"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real scenes and fixtures beside the repository; skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared beside the repository")
    return SHARED


@pytest.fixture(scope="session")
def scenes(shared: Path) -> Path:
    """Return the folder of real scenes; skip where it is absent."""
    return shared / "scenes"


@pytest.fixture
def make_raster(tmp_path: Path) -> MakeRaster:
    """Return a function that writes a small raster and returns its path.

    `data` is an array [bands, h, w], `mask` a bool array [h, w] for an internal mask; what `make` does not name goes
    to `rasterio.open` (nodata, tiled, compress, driver).
    """

    def make(
        data: npt.ArrayLike,
        *,
        name: str = "scene.tif",
        crs: str | None = "EPSG:32618",
        transform: Affine | None = NORTH_UP,
        mask: npt.NDArray[np.bool_] | None = None,
        palette: dict[int, tuple[int, int, int, int]] | None = None,
        colorinterp: list[str] | None = None,
        overviews: list[int] | None = None,
        **profile: Any,
    ) -> str:
        array = np.asarray(data)
        path = str(tmp_path / name)
        options = {"driver": "GTiff", "dtype": array.dtype, "crs": crs, "transform": transform, **profile}
        count, height, width = array.shape
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(path, "w", count=count, height=height, width=width, **options) as dataset,
        ):
            if colorinterp:  # before the pixels: alpha is a tag of the header
                dataset.colorinterp = [rasterio.enums.ColorInterp[c] for c in colorinterp]
            dataset.write(array)
            if palette:
                dataset.write_colormap(1, palette)
            if mask is not None:
                dataset.write_mask(mask)
        if overviews:
            with rasterio.open(path, "r+") as dataset:
                dataset.build_overviews(overviews, rasterio.enums.Resampling.average)
        return path

    return make
