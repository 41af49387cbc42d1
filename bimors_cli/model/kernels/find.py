"""Whether the kernels work on a device."""

from __future__ import annotations

import logging
import subprocess
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import torch

log = logging.getLogger("bimors")


class SmallAttention(Protocol):
    """See `bimors_cli.model.kernels.small_attention.attend`."""

    def __call__(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor: ...


class ShiftedNorm(Protocol):
    """See `bimors_cli.model.kernels.shifted_norm.normalise`."""

    def __call__(
        self, x: torch.Tensor, shift: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, epsilon: float
    ) -> torch.Tensor: ...


@dataclass(frozen=True)
class Kernels:
    """The kernels, compiled and tried on a device."""

    attend: SmallAttention
    normalise: ShiftedNorm


# What the kernels need, and how to get it.
NEEDS = "they need Triton, a C compiler and the headers of Python (on Debian: apt install gcc python3-dev)"


def find_kernels(device: torch.device) -> Kernels | None:
    """Return the kernels, or None where they do not work: on other devices than CUDA's, and without a compiler.

    Why is logged: a run without kernels is slower, and right.
    """
    if device.type != "cuda":
        return None
    found = try_kernels(device)
    if isinstance(found, str):
        log.info("captions are computed without the GPU kernels, which takes longer; %s: %s", NEEDS, found)
        return None
    return found


@cache
def try_kernels(device: torch.device) -> Kernels | str:
    """Return the kernels of a CUDA device, compiled and compared with torch once, or why they do not work."""
    try:
        from triton.errors import TritonError

        from bimors_cli.model.kernels import shifted_norm, small_attention
    except ImportError as error:
        return _first_line(error)
    kernels = Kernels(small_attention.attend, shifted_norm.normalise)
    try:
        with torch.cuda.device(device):
            check(kernels, device)
    except (OSError, RuntimeError, subprocess.CalledProcessError, TritonError, AssertionError) as error:
        return _first_line(error)
    return kernels


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def check(kernels: Kernels, device: torch.device) -> None:
    """Compare the kernels with operations of torch. Raises AssertionError, and what Triton raises."""
    generator = torch.Generator(device).manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device=device, generator=generator).bfloat16()

    x, shift, weight, offset = random(3, 40), random(40).float(), random(40), random(40)
    expected = torch.nn.functional.layer_norm(x + shift, (40,), weight.float(), offset.float(), 1e-6)
    torch.testing.assert_close(
        kernels.normalise(x, shift, weight, offset, 1e-6).float(), expected, atol=0.05, rtol=0.05
    )

    queries, keys, values, bias = random(2, 3, 4, 16), random(2, 3, 9, 16), random(2, 3, 9, 16), random(2, 3, 4, 9)
    scores = queries.float() @ keys.float().transpose(-1, -2) + bias.float()
    expected = (scores.softmax(-1) @ values.float()).transpose(1, 2).reshape(8, 48)
    torch.testing.assert_close(kernels.attend(queries, keys, values, bias).float(), expected, atol=0.05, rtol=0.05)
