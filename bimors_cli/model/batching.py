"""The batch size of each stage of the model, and out-of-memory errors."""

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

# Batch sizes in tiles. On a CPU larger batches of tower and head are slower (they exceed its caches); with smaller ones
# of the captioner, threads wait for each other in Python (tests/benchmarks/README.md). On CUDA these are upper bounds.
ON_CPU: Final = {CAPTIONER: 64, CAPTION_ENCODER: 64, IMAGE_TOWER: 16, HEAD: 16}
ON_CUDA: Final = {CAPTIONER: 256, CAPTION_ENCODER: 512, IMAGE_TOWER: 512, HEAD: 256}
# Size of the first batch of a stage on CUDA, with which the memory per tile is measured.
PROBE: Final = 8
# Fraction of the free memory to use: tensors grow during generation, and free memory is fragmented.
MEMORY_FRACTION: Final = 0.5

_OUT_OF_MEMORY = re.compile(r"out of memory|not enough memory|can.t allocate memory|CUBLAS_STATUS_ALLOC_FAILED", re.I)
_REQUESTED = re.compile(r"tried to allocate ([\d.]+) ?(bytes|[KMGT]i?B)", re.I)

log = logging.getLogger("bimors")


class BatchSizer:
    """The batch size of each stage on one device.

    On a CPU batch sizes are constant. On CUDA the first batch of a stage is small, and the following ones are as large
    as the memory allows: a power of two, so that the sizes are reproducible. When a stage is out of memory, its batch
    size is halved from then on.

    Parameters
    ----------
    device : torch.device
        The device that computes.
    limit : int, optional
        Maximum batch size of all stages.
    """

    def __init__(self, device: torch.device, limit: int | None = None) -> None:
        self._device = device
        defaults = ON_CUDA if device.type == "cuda" else ON_CPU
        self._max_sizes = {stage: size if limit is None else min(size, limit) for stage, size in defaults.items()}
        calibrates = device.type == "cuda"
        self.sizes = {stage: min(size, PROBE) if calibrates else size for stage, size in self._max_sizes.items()}
        self._calibrated = set() if calibrates else set(STAGES)

    @property
    def max_size(self) -> int:
        """The largest batch size of any stage: the number of tiles to read ahead."""
        return max(self._max_sizes.values())

    def map_batches(self, stage: str, count: int, function: Callable[[slice], T]) -> list[T]:
        """Apply a function to ``count`` tiles in batches.

        Parameters
        ----------
        stage : str
            One of `STAGES`.
        count : int
            Number of tiles.
        function : callable
            Receives the slice of the batch.

        Returns
        -------
        list
            The result of each batch.

        Raises
        ------
        DeviceError
            The device is out of memory with a batch of one tile.
        """
        parts: list[T] = []
        begin = 0
        while begin < count:
            batch = slice(begin, min(begin + self.sizes[stage], count))
            try:
                parts.append(function(batch) if stage in self._calibrated else self._calibrate(stage, batch, function))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                message = str(error)
            else:
                begin = batch.stop
                continue
            # Not in the except block: an exception that is being handled keeps the tensors of its frames alive.
            self._halve(stage, batch.stop - begin, message)
        return parts

    def _halve(self, stage: str, size: int, message: str) -> None:
        if size == 1:
            raise out_of_memory(f"{stage}, batch of one tile", self._device, message)
        self._calibrated.add(stage)
        self.sizes[stage] = size // 2
        log.info("%s: out of memory with a batch of %d tiles; continuing with %d", stage, size, size // 2)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _calibrate(self, stage: str, batch: slice, function: Callable[[slice], T]) -> T:
        """Run a batch, and set the size of the following ones from its memory use."""
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        result = function(batch)
        size = batch.stop - batch.start
        bytes_per_tile = max(1, torch.cuda.max_memory_allocated(self._device) - before) / size
        free, _ = free_memory(self._device)
        self.sizes[stage] = min(self._max_sizes[stage], power_of_two(MEMORY_FRACTION * free / bytes_per_tile))
        self._calibrated.add(stage)
        log.info("%s: batches of %d tiles, %.1f MB per tile", stage, self.sizes[stage], bytes_per_tile / 1e6)
        return result


def power_of_two(number: float) -> int:
    """Return the largest power of two that does not exceed a number, at least 1."""
    return 1 << max(0, int(number).bit_length() - 1)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error is an out-of-memory error of any device."""
    if isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)) is not None


def out_of_memory(what: str, device: torch.device, message: str) -> DeviceError:
    """Return the error of a device that is out of memory in ``what``, from the allocator's message."""
    requested = _REQUESTED.search(message)
    free, total = free_memory(device)
    numbers = [] if requested is None else [f"{_readable(requested[1], requested[2])} requested"]
    numbers += [f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free"] if total else []
    hint = "close other programs, or use a smaller bundle (bimors models list)"
    return DeviceError(
        f"{what}: out of memory on {device}" + (f": {', '.join(numbers)}" if numbers else ""),
        hint if device.type == "cpu" else f"use --device cpu, {hint}",
    )


@contextmanager
def raising_out_of_memory(what: str, device: torch.device) -> Iterator[None]:
    """Turn out-of-memory errors inside the block into a DeviceError about ``what``."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise out_of_memory(what, device, str(error)) from error


def _readable(number: str, unit: str) -> str:
    return f"{int(number) / 1e9:.2f} GB" if unit.lower() == "bytes" else f"{number} {unit}"
