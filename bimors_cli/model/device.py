"""Which device computes, and in which precision."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bimors_cli.errors import DeviceError

# Each has activations of its own in memory.
MOST_WORKERS = 4


def choose_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps`` into a device that is there.

    Raises
    ------
    DeviceError
        The name is unknown, there are several, or there is no such device on this machine.
    """
    if "," in name:
        raise DeviceError(f"--device {name}: this is done on one device", "name one of them")
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"--device {name}: no such device", "use auto, cpu, cuda, cuda:0 or mps") from error
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise DeviceError(f"--device {name}: this machine has {count} CUDA devices", "use --device cpu or auto")
    elif device.type == "mps":
        if not torch.backends.mps.is_available():
            raise DeviceError("--device mps: this machine has none", "use --device cpu or auto")
    elif device.type != "cpu":
        raise DeviceError(f"--device {name}: not a device that bimors uses", "use auto, cpu, cuda, cuda:0 or mps")
    return device


def choose_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 on CUDA and float32 elsewhere (on CPUs bfloat16 was measured to be slower)."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


@contextmanager
def shared_among_workers(device: torch.device) -> Iterator[int]:
    """Part the processors among threads that each take tiles through the whole model; yields how many.

    A model's many small operations leave most of the processors idle that one thread has: two threads with a processor
    each do more than one with two (tests/benchmarks/README.md). A GPU has one thread, which it keeps busy. Each thread
    must set torch's number of threads again to what it is by then: some libraries keep the number by thread.
    """
    threads = torch.get_num_threads()
    workers = min(threads, MOST_WORKERS) if device.type == "cpu" else 1
    torch.set_num_threads(threads // workers)
    try:
        yield workers
    finally:
        torch.set_num_threads(threads)


def wait_for(device: torch.device) -> None:
    """Return when a device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def free_memory(device: torch.device) -> tuple[int, int]:
    """Return the bytes of a device's memory that can be had, and all of them; zeros where the system does not say."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        # What torch keeps for itself is as good as free.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + kept, total
    if device.type == "mps":
        total = torch.mps.recommended_max_memory()
        return total - torch.mps.current_allocated_memory(), total
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        return page * os.sysconf("SC_AVPHYS_PAGES"), page * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows; names that a system does not know
        return 0, 0
