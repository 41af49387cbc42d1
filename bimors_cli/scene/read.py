"""Reading a tile as the model's input image."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from rasterio.io import DatasetReader

from bimors_cli.errors import ReadError, SceneError
from bimors_cli.scene.bands import Bands
from bimors_cli.scene.gdal import (
    GDAL_ERRORS,
    display_name,
    gdal_env,
    is_remote,
    reason_of,
    reopen,
    shell_name,
)
from bimors_cli.scene.grid import Grid, Tile
from bimors_cli.scene.mask import FILE_NODATA, Nodata
from bimors_cli.scene.pixels import average_window
from bimors_cli.scene.raster import SceneInfo, open_again
from bimors_cli.scene.stretch import Stretch
from bimors_cli.scene.vote_cells import cell_valid_fractions

T = TypeVar("T")

log = logging.getLogger("bimors")


@dataclass(frozen=True, slots=True)
class TilePixels:
    """The pixels of a tile, as the model's input image.

    Attributes
    ----------
    image : uint8 array [3, h, w], or float32 array [N, h, w]
        Red, green, blue, or the N bands of the model; (h, w) is the same for all tiles of a grid.
    valid_fraction : float
        Fraction of valid pixels of the tile, without padding, 0..1.
    cells : float array, optional
        Fraction of valid pixels of each cell of the tile, see `bimors_cli.scene.vote_cells.cell_valid_fractions`; None
        if not requested, and if all pixels are valid.
    """

    image: npt.NDArray[Any]
    valid_fraction: float
    cells: npt.NDArray[np.float64] | None = None


class SceneReader:
    """A scene opened for reading tiles; must be entered in the thread that reads. Picklable while closed.

    Parameters
    ----------
    info : SceneInfo
        The scene.
    grid : Grid
        Its tiles.
    bands, stretch, nodata : Bands, Stretch, Nodata
        Bands to read, stretch, and nodata rule.

    Raises
    ------
    SceneError
        On entering: the scene can no longer be opened.
    """

    def __init__(
        self, info: SceneInfo, grid: Grid, bands: Bands, stretch: Stretch, nodata: Nodata = FILE_NODATA
    ) -> None:
        self.info = info
        self.grid = grid
        self.bands = bands
        self.stretch = stretch
        self.nodata = nodata
        self._dataset: DatasetReader | None = None
        self._open = ExitStack()

    @property
    def dataset(self) -> DatasetReader:
        """The open dataset; RuntimeError while closed."""
        if self._dataset is None:
            raise RuntimeError("the reader is closed: use it in a with statement")
        return self._dataset

    def __enter__(self) -> SceneReader:
        with ExitStack() as stack:
            stack.enter_context(gdal_env())
            self._dataset = open_again(self.info)
            stack.callback(self._close)
            self._open = stack.pop_all()
        return self

    def reopen(self) -> None:
        """Open the scene again after a failed read, see `bimors_cli.scene.gdal.reopen`.

        Raises
        ------
        SceneError
            The scene can no longer be opened.
        """
        self.dataset.close()
        self._dataset = reopen(self.dataset, clear_cache=self.is_remote)

    @property
    def is_remote(self) -> bool:
        """Whether the scene is read from a server."""
        return is_remote(self.info.path) or (self.info.stac is not None and is_remote(self.info.stac.vrt))

    def _close(self) -> None:
        if self._dataset is not None:
            self._dataset.close()
            self._dataset = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()


def image_shape(grid: Grid, size_limit: int) -> tuple[int, int]:
    """Return (h, w) of the images of a grid: an unclipped tile, each side limited to `size_limit` pixels.

    The sides are limited separately: a tile that is square on the ground but not in pixels becomes square.
    """
    return min(grid.tile_height, size_limit), min(grid.tile_width, size_limit)


def read_tile(reader: SceneReader, tile: Tile, size_limit: int, *, cells: bool = False) -> TilePixels:
    """Read a tile as an image.

    A tile larger than `size_limit` is read decimated, never in full. A tile clipped at the edge of the scene is read at
    the scale of the others and padded at the right and at the bottom by mirroring: the padding then has the texture of
    the tile, whereas a model would see a black border as an object. For the same reason invalid pixels get the mean
    colour of the valid ones (0 if there are none): black areas look like water.

    Parameters
    ----------
    reader : SceneReader
        The open scene.
    tile : Tile
        A tile of the reader's grid.
    size_limit : int
        Longest side of the image in pixels: the model's input size.
    cells : bool
        Whether to return the fraction of valid pixels of each cell as well.

    Returns
    -------
    TilePixels
        An image [channels, *image_shape(reader.grid, size_limit)] and the fraction of valid pixels.

    Raises
    ------
    ReadError
        GDAL cannot read the pixels.
    """
    height, width = image_shape(reader.grid, size_limit)
    rows = max(1, round(tile.height * height / reader.grid.tile_height))
    cols = max(1, round(tile.width * width / reader.grid.tile_width))
    data, valid_fraction = read_again(
        reader,
        tile,
        lambda: average_window(reader.dataset, reader.bands, reader.nodata, tile.window, (rows, cols)),
    )
    image = fill_invalid(reader.stretch.apply(data), valid_fraction > 0)
    image = np.pad(image, ((0, 0), (0, height - rows), (0, width - cols)), mode="symmetric")
    per_cell = None
    if cells and (valid_fraction < 1).any():
        per_cell = cell_valid_fractions(reader.grid, tile, valid_fraction)
    return TilePixels(image, float(valid_fraction.mean(dtype=np.float64)), per_cell)


def read_again(reader: SceneReader, tile: Tile, read: Callable[[], T]) -> T:
    """Read something of a tile, and reopen the scene after a failure; from a server it is read once again.

    Raises
    ------
    ReadError
        GDAL cannot read it.
    """
    name = display_name(reader.info.path)
    for last in (False, True) if reader.is_remote else (True,):
        if reader.dataset.closed:  # it could not be reopened after an earlier tile
            try:
                reader.reopen()
            except SceneError as error:
                raise ReadError(f"cannot read row {tile.row}, col {tile.col}: {error.message}", error.hint) from error
        try:
            return read()
        except GDAL_ERRORS as error:
            message = f"cannot read row {tile.row}, col {tile.col} of {name}: {reason_of(error)}"
            try:
                reader.reopen()
            except SceneError as closed:
                raise ReadError(message, closed.message) from error
            if last:
                hint = f"check the file for damage: gdalinfo -checksum {shell_name(reader.info.path)}"
                raise ReadError(message, hint) from error
            log.info("%s; reading it again", message)
    raise AssertionError("the last attempt returns or raises")


def fill_invalid(image: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Return the image with invalid pixels in the mean colour of the valid ones."""
    if valid.all():
        return image
    colour = image[:, valid].mean(axis=1, dtype=np.float64) if valid.any() else np.zeros(len(image))
    if image.dtype.kind == "u":
        colour = np.rint(colour)
    return np.where(valid, image, colour.astype(image.dtype)[:, None, None])
