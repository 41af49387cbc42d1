"""Accuracy on changed test images: other scales, angles, light, sensors, image edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torchvision.io import decode_jpeg, encode_jpeg
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from bimors_cli.metrics.scores import Proportion
from bimors_cli.model.frozen_models import FrozenModels
from recipe.data import ImageSet
from recipe.measures import per_cent
from recipe.words import display_name

BICUBIC = v2.InterpolationMode.BICUBIC


def _zoomed(pixels: torch.Tensor) -> torch.Tensor:
    side = pixels.shape[-1]
    out: torch.Tensor = functional.center_crop(pixels, [side // 2, side // 2])
    return out


def _low_resolution(pixels: torch.Tensor) -> torch.Tensor:
    side = pixels.shape[-1]
    small = functional.resize(pixels, [side // 3, side // 3], interpolation=BICUBIC, antialias=True)
    out: torch.Tensor = functional.resize(small, [side, side], interpolation=BICUBIC)
    return out


def _rotated(pixels: torch.Tensor) -> torch.Tensor:
    # The largest square inside the image after a rotation by 30 degrees.
    side = pixels.shape[-1]
    size = int(side / 1.366)
    rotated = functional.rotate(pixels, 30, interpolation=v2.InterpolationMode.BILINEAR)
    out: torch.Tensor = functional.center_crop(rotated, [size, size])
    return out


def _with_nodata(pixels: torch.Tensor) -> torch.Tensor:
    changed = pixels.clone()
    changed[..., : pixels.shape[-1] * 2 // 5] = 0
    return changed


def _compressed(pixels: torch.Tensor) -> torch.Tensor:
    return torch.stack([decode_jpeg(encode_jpeg(image, quality=20)) for image in pixels])


CHANGES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "unchanged": lambda pixels: pixels,
    "centre crop, twice the scale": _zoomed,
    "a third of the resolution": _low_resolution,
    "rotated by 30 degrees": _rotated,
    "less brightness and contrast": lambda pixels: functional.adjust_contrast(
        functional.adjust_brightness(pixels, 0.6), 0.7
    ),
    "half the saturation": lambda pixels: functional.adjust_saturation(pixels, 0.5),
    "JPEG with quality 20": _compressed,
    "two fifths nodata": _with_nodata,
}


@torch.no_grad()
def figures(models: FrozenModels, images: ImageSet, batch: int = 64) -> list[dict[str, Any]]:
    """Accuracy of the zero-shot head on each change of the same images."""
    text = models.clip.encode_text([f"{models.bundle.context} {display_name(kind)}." for kind in images.classes])
    rows = []
    for name, change in CHANGES.items():
        correct = 0
        for pixels, target in zip(images.pixels.split(batch), images.target.split(batch), strict=True):
            feature, _ = models.clip.encode_image(change(pixels))
            correct += int(((feature @ text.T).argmax(dim=1) == target).sum())
        rows.append({"pictures": name, **per_cent(Proportion(correct, len(images)))})
    return rows
