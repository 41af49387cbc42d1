"""From stretched pictures to what a tower wants to see: one size, its own normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass(frozen=True)
class Preprocessing:
    """Side of the square input in pixels, and the mean and standard deviation of its three channels (of 0..1)."""

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def of(cls, size: int, mean: Sequence[float], std: Sequence[float]) -> Preprocessing:
        return cls(int(size), (mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))


def prepare(images: torch.Tensor, how: Preprocessing, dtype: torch.dtype) -> torch.Tensor:
    """Resize and normalise a batch.

    The whole tile is squeezed to the square input (bicubic, antialiased), never cropped: every pixel of a tile counts
    for its label.

    Parameters
    ----------
    images : torch.Tensor
        uint8 [B, 3, h, w], on the device that computes.
    how : Preprocessing
        Of the tower that will see them.
    dtype : torch.dtype
        Of the answer.

    Returns
    -------
    torch.Tensor
        [B, 3, size, size]
    """
    pixels = images.to(torch.float32) / 255
    if pixels.shape[-2:] != (how.size, how.size):
        pixels = functional.interpolate(
            pixels, (how.size, how.size), mode="bicubic", align_corners=False, antialias=True
        ).clamp(0, 1)
    mean = pixels.new_tensor(how.mean)[:, None, None]
    std = pixels.new_tensor(how.std)[:, None, None]
    return ((pixels - mean) / std).to(dtype)
