"""Reading tiles in threads, ahead of the model.

GDAL caches decoded blocks for the thread that read them, so tiles that share blocks are read by one thread: those of
the same stripe of columns. A block of a tiled scene is decoded once, and again only if it crosses the edge of a stripe.
The blocks of a scene that is stored in strips are as wide as the scene: one stripe, one thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Final

import numpy.typing as npt

from bimors_cli.errors import BimorsError, ReadError
from bimors_cli.pipeline.plan import ScenePlan
from bimors_cli.run_warnings import bound
from bimors_cli.scene.block_cache import block_cache, row_bytes
from bimors_cli.scene.grid import Tile
from bimors_cli.scene.read import SceneReader, TilePixels, read_tile
from bimors_cli.scene.tile_views import TileViews, ViewInputs, read_views

THREADS: Final = 4
# One block in so many may be decoded twice, if caching it needed more memory, or a single thread.
TWICE_IN: Final = 4
# Least size of GDAL's block cache in bytes: what lies around a tile is read for several tiles.
LEAST_CACHE: Final = 64 * 1024**2

# Returns the cache key of an image [channels, h, w].
CacheKeyFn = Callable[[npt.NDArray[Any]], bytes]


@dataclass(frozen=True, slots=True)
class ReadTile:
    """A tile that was read: its index in the grid, and its pixels or the error.

    ``cache_key`` is None if no keys were requested, and for a tile without valid pixels. ``views`` is what the plan of
    the scene asks for besides the image; None if it does not, and for a tile without valid pixels.
    """

    index: int
    pixels: TilePixels | ReadError
    cache_key: bytes | None = None
    views: TileViews | None = None


@dataclass(frozen=True, slots=True)
class _Job:
    index: int
    tile: Tile
    future: Future[ReadTile]


_Jobs = SimpleQueue[_Job | None]


def read_ahead(
    scene: ScenePlan,
    tiles: Iterable[tuple[int, Tile]],
    size_limit: int,
    ahead: int,
    cache_key: CacheKeyFn | None = None,
    *,
    cells: bool = False,
) -> Iterator[ReadTile]:
    """Read tiles in order, at most ``ahead`` of them in advance.

    Parameters
    ----------
    scene : ScenePlan
        The scene of the tiles.
    tiles : iterable of (index, Tile)
        The tiles, consumed as they are read.
    size_limit : int
        Pixels a side above which a tile is read decimated.
    ahead : int
        Number of images in memory.
    cache_key : callable, optional
        Called with each image [channels, h, w], in the thread that read it.
    cells : bool
        As in `read_tile`.

    Yields
    ------
    ReadTile
        In the order of ``tiles``.

    Raises
    ------
    SceneError
        The scene cannot be opened any more.
    """
    width = _stripe(scene)
    queues: list[_Jobs] = [SimpleQueue() for _ in range(min(THREADS, -(-scene.info.width // width)))]
    threads = [
        threading.Thread(target=bound(_read_all), args=(scene, jobs, size_limit, cache_key, cells), daemon=True)
        for jobs in queues
    ]
    for thread in threads:
        thread.start()
    waiting: deque[Future[ReadTile]] = deque()
    try:
        for index, tile in tiles:
            job = _Job(index, tile, Future())
            queues[tile.x // width % len(queues)].put(job)
            waiting.append(job.future)
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        for jobs in queues:
            jobs.put(None)
        for thread in threads:
            thread.join()


def _stripe(scene: ScenePlan) -> int:
    """Return the width in pixels of a stripe of columns, whose tiles are read by one thread."""
    blocks = max(columns for _, columns in scene.info.block_shapes)
    return max(TWICE_IN * blocks, scene.grid.stride_x)


def cache_bytes(scene: ScenePlan) -> int:
    """Return the bytes of GDAL's block cache with which no block of a scene is decoded again for the next tile.

    That is all blocks that a row of tiles touches: the next row starts in the last of them. If tiles are much larger
    than blocks, too few blocks are shared by two rows to cache them all.
    """
    info, grid = scene.info, scene.grid
    high = max(rows for rows, _ in info.block_shapes)
    wide = max(columns for _, columns in info.block_shapes)
    shared = wide > grid.tile_width or grid.tile_height < TWICE_IN * high
    rows = (max(0, grid.tile_height - 2) // high + 2) * high if shared else 0
    return rows * row_bytes(info.width, info.dtypes)


def _read_all(scene: ScenePlan, jobs: _Jobs, size_limit: int, cache_key: CacheKeyFn | None, cells: bool) -> None:
    """Read tiles until a None comes, in one thread: a GDAL dataset and GDAL's settings belong to a thread."""
    try:
        with (
            block_cache(cache_bytes(scene), LEAST_CACHE),
            SceneReader(scene.info, scene.grid, scene.bands, scene.stretch, scene.nodata) as reader,
        ):
            while (job := jobs.get()) is not None:
                if job.future.set_running_or_notify_cancel():
                    _read(job, reader, scene.view_inputs, size_limit, cache_key, cells)
    except BimorsError as error:
        while (job := jobs.get()) is not None:
            job.future.set_exception(error)


def _read(
    job: _Job,
    reader: SceneReader,
    inputs: ViewInputs | None,
    size_limit: int,
    cache_key: CacheKeyFn | None,
    cells: bool,
) -> None:
    try:
        pixels = read_tile(reader, job.tile, size_limit, cells=cells)
        key = cache_key(pixels.image) if cache_key is not None and pixels.valid_fraction > 0 else None
        views = None
        if inputs is not None and pixels.valid_fraction > 0:
            views = read_views(reader, job.tile, inputs, size_limit)
        job.future.set_result(ReadTile(job.index, pixels, key, views))
    except ReadError as error:
        job.future.set_result(ReadTile(job.index, error))
    except BaseException as error:  # an internal error: raised where the tile is awaited
        job.future.set_exception(error)
