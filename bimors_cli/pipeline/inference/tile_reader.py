"""Tiles are read ahead by threads while the model computes.

GDAL keeps blocks that it has decoded for the thread that read them, so neighbours that share blocks go to one thread:
tiles of the same stripe of columns. A block of a tiled scene is decoded once, and again only where it lies across the
edge of a stripe. The blocks of a scene that is stored in strips are as wide as the scene: one stripe, one thread.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final

import numpy as np
import numpy.typing as npt
import rasterio

from bimors_cli.errors import BimorsError, ReadError
from bimors_cli.pipeline.plan import ScenePlan
from bimors_cli.scene.grid import Tile
from bimors_cli.scene.read import SceneReader, TilePixels, read_tile

THREADS: Final = 4
# One block in so many may be decoded twice, where keeping it would take more memory, or one thread alone.
TWICE_IN: Final = 4
# What GDAL keeps of decoded blocks, for all threads together.
CACHE_BYTES: Final = (64 * 1024**2, 512 * 1024**2)

Fingerprint = Callable[[npt.NDArray[np.uint8]], bytes]


@dataclass(frozen=True, slots=True)
class ReadTile:
    """A tile that was read: its place in the grid, and its pixels or why there are none.

    ``key`` is what the fingerprint gave for its picture; None where none was asked for, and for an empty tile.
    """

    index: int
    pixels: TilePixels | ReadError
    key: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Job:
    index: int
    tile: Tile
    done: Future[ReadTile]


_Jobs = SimpleQueue[_Job | None]


def read_ahead(
    scene: ScenePlan,
    tiles: Iterable[tuple[int, Tile]],
    size_limit: int,
    ahead: int,
    fingerprint: Fingerprint | None = None,
    *,
    cells: bool = False,
) -> Iterator[ReadTile]:
    """Read tiles in order, at most ``ahead`` of them before they are asked for.

    Parameters
    ----------
    scene : ScenePlan
        Where they are.
    tiles : iterable of (place, Tile)
        Which; consumed as reading goes on.
    size_limit : int
        Pixels a side above which a tile is read decimated.
    ahead : int
        Bounds the memory: pictures that wait.
    fingerprint : callable, optional
        Is given each picture, uint8 [3, h, w], by the thread that read it.
    cells : bool
        As in `read_tile`.

    Yields
    ------
    ReadTile
        In the order of ``tiles``.

    Raises
    ------
    SceneError
        The scene can no longer be opened.
    """
    width = _stripe(scene)
    queues: list[_Jobs] = [SimpleQueue() for _ in range(min(THREADS, -(-scene.info.width // width)))]
    threads = [
        threading.Thread(target=_read_all, args=(scene, jobs, size_limit, fingerprint, cells), daemon=True)
        for jobs in queues
    ]
    for thread in threads:
        thread.start()
    waiting: deque[Future[ReadTile]] = deque()
    try:
        for index, tile in tiles:
            job = _Job(index, tile, Future())
            queues[tile.x // width % len(queues)].put(job)
            waiting.append(job.done)
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
    """Width in pixels of a stripe of columns, whose tiles are read by one thread."""
    blocks = max(columns for _, columns in scene.info.block_shapes)
    return max(TWICE_IN * blocks, scene.grid.stride_x)


def cache_bytes(scene: ScenePlan) -> int:
    """Return the bytes of decoded blocks to keep, so that no block of a scene is decoded again for the next tile.

    That is all blocks that a row of tiles touches: the next row begins in the last of them. Where tiles are much
    larger than blocks, too few blocks serve two rows to keep them all.
    """
    info, grid = scene.info, scene.grid
    high = max(rows for rows, _ in info.block_shapes)
    wide = max(columns for _, columns in info.block_shapes)
    shared = wide > grid.tile_width or grid.tile_height < TWICE_IN * high
    rows = (max(0, grid.tile_height - 2) // high + 2) * high if shared else 0
    least, most = CACHE_BYTES
    return min(max(rows * info.width * sum(np.dtype(kind).itemsize for kind in info.dtypes), least), most)


def _read_all(scene: ScenePlan, jobs: _Jobs, size_limit: int, fingerprint: Fingerprint | None, cells: bool) -> None:
    """Read until a None comes, in one thread: a GDAL dataset and GDAL's settings belong to a thread."""
    settings = {} if "GDAL_CACHEMAX" in os.environ else {"GDAL_CACHEMAX": cache_bytes(scene)}
    try:
        with (
            rasterio.Env(**settings),
            SceneReader(scene.info, scene.grid, scene.bands, scene.stretch, scene.nodata) as reader,
        ):
            while (job := jobs.get()) is not None:
                if job.done.set_running_or_notify_cancel():
                    _settle(job, reader, size_limit, fingerprint, cells)
    except BimorsError as error:
        while (job := jobs.get()) is not None:
            job.done.set_exception(error)


def _settle(job: _Job, reader: SceneReader, size_limit: int, fingerprint: Fingerprint | None, cells: bool) -> None:
    try:
        pixels = read_tile(reader, job.tile, size_limit, cells=cells)
        wanted = fingerprint is not None and pixels.valid_fraction > 0
        key = fingerprint(pixels.image) if fingerprint is not None and wanted else None
        job.done.set_result(ReadTile(job.index, pixels, key))
    except ReadError as error:
        job.done.set_result(ReadTile(job.index, error))
    except BaseException as error:  # a fault of the program: it belongs to whoever waits for the tile
        job.done.set_exception(error)
