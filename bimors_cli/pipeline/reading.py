"""Tiles are read ahead by threads while the model computes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue

from bimors_cli.errors import BimorsError, ReadError
from bimors_cli.pipeline.plan import ScenePlan
from bimors_cli.scene.grid import Tile
from bimors_cli.scene.read import SceneReader, TilePixels, read_tile

THREADS = 4

Pixels = TilePixels | ReadError
_Jobs = SimpleQueue["tuple[Tile, Future[Pixels]] | None"]


def read_ahead(
    scene: ScenePlan, tiles: Iterable[tuple[int, Tile]], size_limit: int, ahead: int
) -> Iterator[tuple[int, Pixels]]:
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

    Yields
    ------
    tuple of place and TilePixels, or the ReadError of a tile that cannot be read

    Raises
    ------
    SceneError
        The scene can no longer be opened.
    """
    jobs: _Jobs = SimpleQueue()
    threads = [threading.Thread(target=_read_all, args=(scene, jobs, size_limit), daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    waiting: deque[tuple[int, Future[Pixels]]] = deque()
    try:
        for index, tile in tiles:
            future: Future[Pixels] = Future()
            jobs.put((tile, future))
            waiting.append((index, future))
            if len(waiting) > ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        for _, future in waiting:
            future.cancel()
        for _ in threads:
            jobs.put(None)
        for thread in threads:
            thread.join()


def _read_all(scene: ScenePlan, jobs: _Jobs, size_limit: int) -> None:
    """Read until a None comes, in one thread: a GDAL dataset and GDAL's settings belong to a thread."""
    try:
        with SceneReader(scene.info, scene.grid, scene.bands, scene.stretch, scene.nodata) as reader:
            while (job := jobs.get()) is not None:
                tile, future = job
                if future.set_running_or_notify_cancel():
                    _settle(future, reader, tile, size_limit)
    except BimorsError as error:
        while (job := jobs.get()) is not None:
            job[1].set_exception(error)


def _settle(future: Future[Pixels], reader: SceneReader, tile: Tile, size_limit: int) -> None:
    try:
        future.set_result(read_tile(reader, tile, size_limit))
    except ReadError as error:
        future.set_result(error)
    except BaseException as error:  # a fault of the program: it belongs to whoever waits for the tile
        future.set_exception(error)
