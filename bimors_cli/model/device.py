"""The device and the precision of the computation."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bimors_cli.errors import DeviceError

# Each worker has its own activations in memory.
MAX_WORKERS = 4


def choose_device(name: str) -> torch.device:
    """Return the device ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises
    ------
    DeviceError
        The name is unknown, lists several devices, or this machine has no such device.
    """
    if "," in name:
        raise DeviceError(f"--device {name}: this command runs on one device", "give one device")
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"--device {name}: unknown device", "use auto, cpu, cuda, cuda:0 or mps") from error
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise DeviceError(f"--device {name}: this machine has {count} CUDA devices", "use --device cpu or auto")
    elif device.type == "mps":
        if not torch.backends.mps.is_available():
            raise DeviceError("--device mps: this machine has no MPS device", "use --device cpu or auto")
    elif device.type != "cpu":
        raise DeviceError(f"--device {name}: unsupported device", "use auto, cpu, cuda, cuda:0 or mps")
    return device


def choose_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 on CUDA and float32 elsewhere (on CPUs bfloat16 was measured to be slower)."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


@contextmanager
def shared_among_workers(device: torch.device) -> Iterator[int]:
    """Divide the processors among threads that each run the whole model; yields the number of threads.

    A model's many small operations cannot use all processors of one thread: two threads with one processor each are
    faster than one with two (tests/benchmarks/README.md). A GPU is kept busy by one thread. Each thread must set
    torch's number of threads again to its current value: some libraries store it per thread.
    """
    threads = torch.get_num_threads()
    workers = min(threads, MAX_WORKERS) if device.type == "cpu" else 1
    torch.set_num_threads(threads // workers)
    try:
        yield workers
    finally:
        torch.set_num_threads(threads)


def wait_for(device: torch.device) -> None:
    """Wait until a device has finished all submitted work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def free_memory(device: torch.device) -> tuple[int, int]:
    """Return available and total memory of a device in bytes; zeros if unknown."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        # Memory cached by torch can be reused.
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + cached, total
    if device.type == "mps":
        total = torch.mps.recommended_max_memory()
        return total - torch.mps.current_allocated_memory(), total
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        return page * os.sysconf("SC_AVPHYS_PAGES"), page * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows; unknown names
        return 0, 0
