"""Test pictures changed as scenes differ from photographs: other scales, angles, light, sensors, edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torchvision.io import decode_jpeg, encode_jpeg
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from bimors_cli.metrics.scores import Share
from bimors_cli.model.evidence import FrozenModels
from recipe.data import Pictures
from recipe.measures import per_cent
from recipe.words import spoken

BICUBIC = v2.InterpolationMode.BICUBIC


def _nearer(pixels: torch.Tensor) -> torch.Tensor:
    side = pixels.shape[-1]
    out: torch.Tensor = functional.center_crop(pixels, [side // 2, side // 2])
    return out


def _coarser(pixels: torch.Tensor) -> torch.Tensor:
    side = pixels.shape[-1]
    small = functional.resize(pixels, [side // 3, side // 3], interpolation=BICUBIC, antialias=True)
    out: torch.Tensor = functional.resize(small, [side, side], interpolation=BICUBIC)
    return out


def _turned(pixels: torch.Tensor) -> torch.Tensor:
    # The largest square without corners that lie outside the picture, at 30 degrees.
    side = pixels.shape[-1]
    inside = int(side / 1.366)
    turned = functional.rotate(pixels, 30, interpolation=v2.InterpolationMode.BILINEAR)
    out: torch.Tensor = functional.center_crop(turned, [inside, inside])
    return out


def _half_empty(pixels: torch.Tensor) -> torch.Tensor:
    changed = pixels.clone()
    changed[..., : pixels.shape[-1] * 2 // 5] = 0
    return changed


def _compressed(pixels: torch.Tensor) -> torch.Tensor:
    return torch.stack([decode_jpeg(encode_jpeg(picture, quality=20)) for picture in pixels])


CHANGES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "as it is": lambda pixels: pixels,
    "its middle, twice as near": _nearer,
    "pixels three times as coarse": _coarser,
    "turned by 30 degrees": _turned,
    "darker, flatter": lambda pixels: functional.adjust_contrast(functional.adjust_brightness(pixels, 0.6), 0.7),
    "half the colour": lambda pixels: functional.adjust_saturation(pixels, 0.5),
    "JPEG of quality 20": _compressed,
    "two fifths without data": _half_empty,
}


@torch.no_grad()
def figures(models: FrozenModels, pictures: Pictures, batch: int = 64) -> list[dict[str, Any]]:
    """Right answers of the zero-shot head on each change of the same pictures."""
    text = models.clip.encode_text([f"{models.bundle.context} {spoken(kind)}." for kind in pictures.classes])
    rows = []
    for name, change in CHANGES.items():
        right = 0
        for pixels, target in zip(pictures.pixels.split(batch), pictures.target.split(batch), strict=True):
            feature, _ = models.clip.encode_image(change(pixels))
            right += int(((feature @ text.T).argmax(dim=1) == target).sum())
        rows.append({"pictures": name, **per_cent(Share(right, len(pictures)))})
    return rows
