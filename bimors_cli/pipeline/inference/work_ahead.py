"""Work in threads ahead of the one who takes the results, in order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from bimors_cli.run_warnings import bound

Item = TypeVar("Item")
Done = TypeVar("Done")


def in_order(
    workers: ThreadPoolExecutor, ahead: int, function: Callable[[Item], Done], items: Iterator[Item]
) -> Generator[Done, None, None]:
    """Apply a function to items in threads, to at most ``ahead`` after the one whose result is awaited."""
    submitted: deque[Future[Done]] = deque()
    try:
        for item in items:
            submitted.append(workers.submit(bound(function), item))
            if len(submitted) > ahead:
                yield submitted.popleft().result()
        while submitted:
            yield submitted.popleft().result()
    finally:
        for future in submitted:
            future.cancel()


def made_ahead(
    maker: ThreadPoolExecutor, items: Generator[Item, None, None], seconds: dict[str, float], stage: str
) -> Generator[Item, None, None]:
    """Yield items, while a thread makes the following one. The time of waiting is added to a stage."""
    following = maker.submit(bound(next), items, None)
    try:
        while (item := _wait(following, seconds, stage)) is not None:
            following = maker.submit(bound(next), items, None)
            yield item
    finally:
        following.exception()
        items.close()


def _wait(following: Future[Item | None], seconds: dict[str, float], stage: str) -> Item | None:
    clock = time.perf_counter()
    item = following.result()
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - clock
    return item
