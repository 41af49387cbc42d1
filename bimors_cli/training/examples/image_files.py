"""Pictures that are files, each read as `classify` would read it as a scene of one tile."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from bimors_cli.errors import ReadError, SceneError
from bimors_cli.options.scene import PixelOptions
from bimors_cli.scene.bands import choose_bands
from bimors_cli.scene.grid import Grid, Tile
from bimors_cli.scene.mask import parse_nodata
from bimors_cli.scene.raster import open_scene
from bimors_cli.scene.read import SceneReader, TilePixels, read_tile
from bimors_cli.scene.stretch import compute_stretch, parse_stretch

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"})

# Pixels a side. A picture is an example of one tile: what is larger is read decimated, through overviews if it has any.
_LARGEST: Final = 1024
# Where a picture lies does not matter here, but a scene has a CRS.
_ANY_CRS: Final = "EPSG:3857"

log = logging.getLogger("bimors")


@dataclass(frozen=True)
class PictureFiles:
    """Pictures that are files of any format that GDAL opens: 8 or 16 bits, floats, one band or many.

    Attributes
    ----------
    paths : tuple of Path
        One a picture.
    options : PixelOptions
        Bands, stretch and nodata; each picture has its own stretch.
    """

    paths: tuple[Path, ...]
    options: PixelOptions = field(default_factory=PixelOptions)

    def read(self, index: int) -> npt.NDArray[np.uint8] | None:
        """Return a picture as uint8 [3, h, w], sides up to 1024 pixels; None, and a warning, if it cannot be read.

        Raises
        ------
        InputError
            The options do not fit the picture: no such band, or no stretch for values that are not 8 bits.
        """
        try:
            pixels = _read(str(self.paths[index]), self.options)
        except (SceneError, ReadError) as error:
            log.warning("skipped: %s", error.message)
            return None
        if pixels.valid_fraction == 0:
            log.warning("skipped: %s holds no data", self.paths[index])
            return None
        return pixels.image


def _read(path: str, options: PixelOptions) -> TilePixels:
    nodata = parse_nodata(options.nodata)
    with (
        # libjpeg fills what is missing of a torn file with grey, and calls that a warning.
        rasterio.Env(GDAL_ERROR_ON_LIBJPEG_WARNING=True),
        warnings.catch_warnings(),
        open_scene(path, assume_crs=_ANY_CRS, allow_drivers=options.allow_drivers) as scene,
    ):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        info = scene.info
        bands = choose_bands(info, options.bidx or None)
        stretch = compute_stretch(scene.dataset, bands, parse_stretch(options.stretch), nodata)
        grid = Grid(info.width, info.height, info.width, info.height, info.width, info.height)
        with SceneReader(info, grid, bands, stretch, nodata) as reader:
            return read_tile(reader, Tile(0, 0, 0, 0, info.width, info.height), _LARGEST)
