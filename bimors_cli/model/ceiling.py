"""What a device could do at best, and how much a stage asks of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import torch
from torch.utils.flop_counter import FlopCounterMode

from bimors_cli.model.device import wait_for

# Rows and columns of the matrices: large enough for a device's best rate, small enough for its memory.
SIDE_ON_CPU: Final = 1536
SIDE_ON_CUDA: Final = 8192
REPEATS: Final = 5


def best_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a large matrix product, the best of some; a product and a sum are two operations."""
    side = SIDE_ON_CUDA if device.type == "cuda" else SIDE_ON_CPU
    a, b = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    a @ b
    return 2 * side**3 / min(_seconds(device, lambda: a @ b) for _ in range(REPEATS))


def _seconds(device: torch.device, work: Callable[[], object]) -> float:
    wait_for(device)
    clock = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - clock


def operations(work: Callable[[], object]) -> int:
    """Count the operations of matrix products, convolutions and attention in ``work``; norms and activations are not.

    What a CUDA graph replays is not seen.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    # The fast path of nn.MultiheadAttention is one opaque call that the counter does not know.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            work()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return int(counter.get_total_flops())
