"""Tiles that were read and wait for the models."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from bimors_cli.pipeline.tile_result import TileResult


@dataclass
class TileBatch:
    """Tiles that were read, as many as the stages of the models can use at once.

    ``results`` are of tiles that need no model. ``images`` [B, channels, h, w] (uint8 colours, or the bands of the
    bundle in float32), ``cells`` of a result and ``cache_keys`` are in the order of ``indices``; so are the inputs of
    views besides the image, by name: ``view_images`` uint8 [B, 3, h, w], and ``numbers`` float32 [B, n].
    """

    results: list[TileResult]
    indices: list[int]
    cells: list[bytes | None]
    images: torch.Tensor
    cache_keys: list[bytes] | None
    view_images: dict[str, torch.Tensor] = field(default_factory=dict)
    numbers: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
