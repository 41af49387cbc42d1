"""Which device computes, and in which precision."""

from __future__ import annotations

import torch

from bimors_cli.errors import DeviceError


def choose_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps`` into a device that is there.

    Raises
    ------
    DeviceError
        The name is unknown, or there is no such device on this machine.
    """
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
