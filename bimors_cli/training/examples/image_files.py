"""Images in files, each read as `classify` reads a scene of one tile."""

from __future__ import annotations

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
from bimors_cli.run_warnings import warn_of_one
from bimors_cli.scene.bands import choose_bands
from bimors_cli.scene.grid import Grid, Tile
from bimors_cli.scene.mask import parse_nodata
from bimors_cli.scene.raster import open_scene
from bimors_cli.scene.read import SceneReader, TilePixels, read_tile
from bimors_cli.scene.stretch import compute_stretch, parse_stretch

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"})

# Pixels a side. An image is an example of one tile: a larger one is read decimated, through overviews if it has any.
_LARGEST: Final = 1024
# The position of an image does not matter here, but a scene must have a CRS.
_ANY_CRS: Final = "EPSG:3857"


@dataclass(frozen=True)
class ImageFiles:
    """Images in files of any format that GDAL opens: 8 or 16 bits, floats, one band or many.

    Attributes
    ----------
    paths : tuple of Path
        One per image.
    options : PixelOptions
        Bands, stretch and nodata; the stretch is computed for each image.
    """

    paths: tuple[Path, ...]
    options: PixelOptions = field(default_factory=PixelOptions)

    def read(self, index: int) -> npt.NDArray[np.uint8] | None:
        """Return an image as uint8 [3, h, w], sides up to 1024 pixels; None, and a warning, if it cannot be read.

        Raises
        ------
        InputError
            The image does not have the bands of the options, or the stretch does not apply to its data type.
        """
        try:
            pixels = _read(str(self.paths[index]), self.options)
        except (SceneError, ReadError) as error:
            warn_of_one("images are skipped", "%s: it is skipped", error.message)
            return None
        if pixels.valid_fraction == 0:
            warn_of_one("images are skipped", "%s has no valid pixels: it is skipped", self.paths[index])
            return None
        return pixels.image


def _read(path: str, options: PixelOptions) -> TilePixels:
    nodata = parse_nodata(options.nodata, masks=not options.ignore_mask)
    with (
        # libjpeg fills the missing rest of a truncated file with grey, and only warns.
        rasterio.Env(GDAL_ERROR_ON_LIBJPEG_WARNING=True),
        warnings.catch_warnings(),
        open_scene(
            path,
            assume_crs=_ANY_CRS,
            allow_drivers=options.allow_drivers,
            ignore_alpha=options.ignore_mask,
        ) as scene,
    ):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        info = scene.info
        bands = choose_bands(info, options.bidx or None)
        stretch = compute_stretch(scene.dataset, bands, parse_stretch(options.stretch), nodata)
        grid = Grid(info.width, info.height, info.width, info.height, info.width, info.height)
        with SceneReader(info, grid, bands, stretch, nodata) as reader:
            return read_tile(reader, Tile(0, 0, 0, 0, info.width, info.height), _LARGEST)
