"""Reading one tile as the picture that the model sees."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

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
    open_afresh,
    open_dataset,
    reason_of,
    shell_name,
)
from bimors_cli.scene.grid import Grid, Tile
from bimors_cli.scene.mask import FILE_NODATA, Nodata
from bimors_cli.scene.pixels import average_window
from bimors_cli.scene.raster import SceneInfo
from bimors_cli.scene.stretch import Stretch
from bimors_cli.scene.vote_cells import cell_shares

log = logging.getLogger("bimors")


@dataclass(frozen=True, slots=True)
class TilePixels:
    """A tile as the model sees it.

    Attributes
    ----------
    image : uint8 array [3, h, w]
        Red, green, blue; (h, w) is the same for all tiles of a grid.
    valid_share : float
        The share of the tile's own pixels (padding not counted) that hold data, 0..1.
    cells : float array, optional
        That of each cell in it, see `bimors_cli.scene.vote_cells.cell_shares`; None where not asked for, and where all
        hold nothing but data.
    """

    image: npt.NDArray[np.uint8]
    valid_fraction: float
    cells: npt.NDArray[np.float64] | None = None


class SceneReader:
    """A scene opened for reading tiles by one thread; enter it in the thread that reads. Picklable while closed.

    Parameters
    ----------
    info : SceneInfo
        The scene.
    grid : Grid
        How it is cut.
    bands, stretch, nodata : Bands, Stretch, Nodata
        How its pixels become a picture.

    Raises
    ------
    SceneError
        On entering, if the scene can no longer be opened.
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
            self._dataset = open_dataset(self.info.path, self.info.allowed)
            stack.callback(self._close)
            self._open = stack.pop_all()
        return self

    def open_again(self) -> None:
        """Open the scene anew after a failed read, which what is open may remember as pixels without data.

        Raises
        ------
        SceneError
            It can no longer be opened.
        """
        self.dataset.close()
        self._dataset = open_afresh(self.dataset, forget=self.is_remote)

    @property
    def is_remote(self) -> bool:
        """Whether the pixels come from a server."""
        return is_remote(self.info.path)

    def _close(self) -> None:
        if self._dataset is not None:
            self._dataset.close()
            self._dataset = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()


def image_shape(grid: Grid, size_limit: int) -> tuple[int, int]:
    """Return (h, w) of the pictures of a grid: a whole tile, each side no longer than `size_limit` pixels.

    The sides are limited one by one: a tile that is square on the ground but not in pixels becomes square.
    """
    return min(grid.tile_height, size_limit), min(grid.tile_width, size_limit)


def read_tile(reader: SceneReader, tile: Tile, size_limit: int, *, cells: bool = False) -> TilePixels:
    """Read a tile as a picture.

    A tile larger than `size_limit` is read decimated, never in full. A tile clipped by the scene's edge is read at
    the scale of the others and padded at the right and below by mirroring: the padding then has the tile's own
    textures, while a black frame would be an object to the model. For the same reason pixels without data take the
    mean colour of the tile's valid ones (0 where there are none): black holes pass for water.

    Parameters
    ----------
    reader : SceneReader
        The open scene.
    tile : Tile
        A tile of the reader's grid.
    size_limit : int
        Longest side of the picture in pixels: the model's input.
    cells : bool
        Whether the share of valid pixels is asked for each cell as well.

    Returns
    -------
    TilePixels
        uint8 [3, *image_shape(reader.grid, size_limit)] and the share of valid pixels.

    Raises
    ------
    ReadError
        GDAL could not read the pixels.
    """
    height, width = image_shape(reader.grid, size_limit)
    rows = max(1, round(tile.height * height / reader.grid.tile_height))
    cols = max(1, round(tile.width * width / reader.grid.tile_width))
    data, share = _read_window(reader, tile, (rows, cols))
    image = _fill(reader.stretch.apply(data), share > 0)
    image = np.pad(image, ((0, 0), (0, height - rows), (0, width - cols)), mode="symmetric")
    parts = cell_shares(reader.grid, tile, share) if cells and (share < 1).any() else None
    return TilePixels(image, float(share.mean(dtype=np.float64)), parts)


def _read_window(
    reader: SceneReader, tile: Tile, shape: tuple[int, int]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.floating[Any]]]:
    """Read a tile's pixels and the share of each that holds data; what a server sent torn is asked for once more."""
    name = display_name(reader.info.path)
    for last in (False, True) if reader.is_remote else (True,):
        if reader.dataset.closed:  # it could not be opened again after an earlier tile
            try:
                reader.open_again()
            except SceneError as error:
                raise ReadError(f"cannot read row {tile.row}, col {tile.col}: {error.message}", error.hint) from error
        try:
            return average_window(reader.dataset, reader.bands, reader.nodata, tile.window, shape)
        except GDAL_ERRORS as error:
            message = f"cannot read row {tile.row}, col {tile.col} of {name}: {reason_of(error)}"
            try:
                reader.open_again()
            except SceneError as gone:
                raise ReadError(message, gone.message) from error
            if last:
                hint = f"see how far the file is whole: gdalinfo -checksum {shell_name(reader.info.path)}"
                raise ReadError(message, hint) from error
            log.info("%s; asked for again", message)
    raise AssertionError("the last try returns or raises")


def _fill(image: npt.NDArray[np.uint8], valid: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Return `image` with its invalid pixels in the mean colour of the valid ones."""
    if valid.all():
        return image
    colour = np.rint(image[:, valid].mean(axis=1)) if valid.any() else np.zeros(3)
    return np.where(valid, image, colour.astype(np.uint8)[:, None, None])
