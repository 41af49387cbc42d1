"""How many tiles each stage of the model takes at a time, and what happens when the device's memory does not do."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import torch

from bimors_cli.errors import DeviceError
from bimors_cli.model.device import free_memory

T = TypeVar("T")

CAPTIONER, CAPTION_ENCODER, IMAGE_TOWER, HEAD = STAGES = "captioner", "caption encoder", "image tower", "head"

# Tiles at a time. On a CPU larger batches of tower and head are slower (they leave its caches); smaller ones of the
# captioner make its threads wait for each other in Python (tests/benchmarks/README.md). On CUDA these are upper bounds.
ON_CPU: Final = {CAPTIONER: 64, CAPTION_ENCODER: 64, IMAGE_TOWER: 16, HEAD: 16}
ON_CUDA: Final = {CAPTIONER: 256, CAPTION_ENCODER: 512, IMAGE_TOWER: 512, HEAD: 256}
# On CUDA a stage's first batch has this size, and tells what a tile takes of the memory.
PROBE: Final = 8
# Of the memory that was free then: generation keeps growing tensors, and memory is never free in one piece.
SHARE: Final = 0.5

_OUT_OF_MEMORY = re.compile(r"out of memory|not enough memory|can.t allocate memory|CUBLAS_STATUS_ALLOC_FAILED", re.I)
_WANTED = re.compile(r"tried to allocate ([\d.]+) ?(bytes|[KMGT]i?B)", re.I)

log = logging.getLogger("bimors")


class BatchSizer:
    """The batch size of each stage on one device.

    On a CPU they are constants. On CUDA a stage begins with a few tiles, and goes on with as many as fit: a power of
    two, so that a machine settles on the same numbers every time. Out of memory halves a stage's batches from there on.

    Parameters
    ----------
    device : torch.device
        It computes.
    limit : int, optional
        No stage takes more tiles at a time.
    """

    def __init__(self, device: torch.device, limit: int | None = None) -> None:
        self._device = device
        best = ON_CUDA if device.type == "cuda" else ON_CPU
        self._most = {stage: size if limit is None else min(size, limit) for stage, size in best.items()}
        probes = device.type == "cuda"
        self.sizes = {stage: min(size, PROBE) if probes else size for stage, size in self._most.items()}
        self._settled = set() if probes else set(STAGES)

    @property
    def most(self) -> int:
        """The largest batch of any stage: as many tiles as are worth having at hand at once."""
        return max(self._most.values())

    def map_batches(self, stage: str, count: int, work: Callable[[slice], T]) -> list[T]:
        """Do a stage's work on ``count`` tiles, one batch after the other.

        Parameters
        ----------
        stage : str
            One of `STAGES`.
        count : int
            Tiles.
        work : callable
            Is given the batch's place among the tiles.

        Returns
        -------
        list
            What ``work`` gave for each batch.

        Raises
        ------
        DeviceError
            The memory does not do for one tile.
        """
        parts: list[T] = []
        begin = 0
        while begin < count:
            batch = slice(begin, min(begin + self.sizes[stage], count))
            try:
                parts.append(work(batch) if stage in self._settled else self._probe(stage, batch, work))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                told = str(error)
            else:
                begin = batch.stop
                continue
            # Here and not above: an error that is being handled keeps all tensors of the frames that it went through.
            self._halve(stage, batch.stop - begin, told)
        return parts

    def _halve(self, stage: str, size: int, told: str) -> None:
        if size == 1:
            raise out_of_memory(f"{stage}, one tile at a time", self._device, told)
        self._settled.add(stage)
        self.sizes[stage] = size // 2
        log.info("%s: out of memory with %d tiles at a time; going on with %d", stage, size, size // 2)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _probe(self, stage: str, batch: slice, work: Callable[[slice], T]) -> T:
        """Do a batch, and choose the size of those to come by what it took of the memory."""
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        done = work(batch)
        size = batch.stop - batch.start
        a_tile = max(1, torch.cuda.max_memory_allocated(self._device) - before) / size
        free, _ = free_memory(self._device)
        self.sizes[stage] = min(self._most[stage], power_of_two(SHARE * free / a_tile))
        self._settled.add(stage)
        log.info("%s: %d tiles at a time, each takes %.1f MB", stage, self.sizes[stage], a_tile / 1e6)
        return done


def power_of_two(number: float) -> int:
    """Return the largest power of two that is no larger, at least 1."""
    return 1 << max(0, int(number).bit_length() - 1)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error is that of an allocator that has no more memory, of any device."""
    if isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)) is not None


def out_of_memory(what: str, device: torch.device, told: str) -> DeviceError:
    """Make the error of a device whose memory does not do for ``what``; ``told`` is what its allocator said."""
    wanted = _WANTED.search(told)
    free, total = free_memory(device)
    numbers = [] if wanted is None else [f"{_readable(wanted[1], wanted[2])} more were asked for"]
    numbers += [f"{free / 1e9:.1f} of {total / 1e9:.1f} GB are free"] if total else []
    hint = "end what else runs there, or take a smaller bundle: bimors models list"
    return DeviceError(
        f"{what}: more than the memory of {device} takes" + (f": {', '.join(numbers)}" if numbers else ""),
        hint if device.type == "cpu" else f"--device cpu; or {hint}",
    )


@contextmanager
def raising_out_of_memory(what: str, device: torch.device) -> Iterator[None]:
    """Turn a shortage of memory inside into a DeviceError about ``what``."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise out_of_memory(what, device, str(error)) from error


def _readable(number: str, unit: str) -> str:
    return f"{int(number) / 1e9:.2f} GB" if unit.lower() == "bytes" else f"{number} {unit}"
