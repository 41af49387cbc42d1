"""Random views of a batch of images, computed in torch on the whole batch at once."""

from __future__ import annotations

import math

import torch
from torch.nn import functional
from torchvision.io import decode_jpeg, encode_jpeg

MEAN, STD = (0.37, 0.38, 0.34), (0.2, 0.19, 0.19)


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    """Normalise pixels of 0..1 for the image towers."""
    return (pixels - pixels.new_tensor(MEAN)[:, None, None]) / pixels.new_tensor(STD)[:, None, None]


def as_bytes(views: torch.Tensor) -> torch.Tensor:
    """Convert normalised views back to uint8 images."""
    std, mean = views.new_tensor(STD)[:, None, None], views.new_tensor(MEAN)[:, None, None]
    return ((views * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)


def whole(images: torch.Tensor, side: int) -> torch.Tensor:
    """The full image as used for inference: resized, antialiased bicubic. uint8 in, normalised out."""
    pixels = images.float() / 255
    return normalise(
        functional.interpolate(pixels, (side, side), mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
    )


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)


def views(
    images: torch.Tensor, side: int, generator: torch.Generator, smallest: float = 0.5, largest: float = 2.0
) -> torch.Tensor:
    """One random view of each image.

    Geometry: zoom from ``smallest`` to ``largest`` sides, mostly near one (mirrored at the edge), aspect, quarter
    turns, flips, and any rotation angle for almost half of the views, since nadir images have no upright direction.
    Colour: brightness, contrast, gamma, saturation and colour cast, as from other sensors and stretches. Then blur,
    noise, strong JPEG compression of some views, and a missing corner of some views, as at the edge of a scene.

    Parameters
    ----------
    images : torch.Tensor
        uint8 [B, 3, h, w]
    side : int
        Side of the views in pixels.
    generator : torch.Generator
        Source of all random numbers.
    smallest, largest : float
        Limits of the side of a view, relative to the side of the image.

    Returns
    -------
    torch.Tensor
        Normalised, float32 [B, 3, side, side].
    """
    n = len(images)
    # Mean of two uniform random numbers: extreme scales are rare.
    even = (torch.rand(n, generator=generator) + torch.rand(n, generator=generator)) / 2
    zoom = torch.exp(math.log(smallest) + (math.log(largest) - math.log(smallest)) * even)
    zoom = torch.where(torch.rand(n, generator=generator) < 0.2, torch.ones(n), zoom)
    aspect = torch.exp(_uniform(n, -0.12, 0.12, generator))
    quarter = torch.randint(4, (n,), generator=generator) * (math.pi / 2)
    tilt = _uniform(n, -math.pi / 4, math.pi / 4, generator) * (torch.rand(n, generator=generator) < 0.4)
    angle = quarter + tilt
    flip = 1 - 2.0 * torch.randint(2, (n,), generator=generator)
    room = (1 - zoom).clamp(min=0)
    rows = torch.stack(
        (
            torch.stack(
                (
                    angle.cos() * zoom * aspect * flip,
                    -angle.sin() * zoom / aspect,
                    room * _uniform(n, -1, 1, generator),
                ),
                dim=1,
            ),
            torch.stack(
                (angle.sin() * zoom * aspect * flip, angle.cos() * zoom / aspect, room * _uniform(n, -1, 1, generator)),
                dim=1,
            ),
        ),
        dim=1,
    )
    grid = functional.affine_grid(rows, [n, 3, side, side], align_corners=False)
    x = functional.grid_sample(
        images.float() / 255, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    # Where a view is reduced by a factor of more than 2, bilinear sampling would skip pixels.
    far = torch.nonzero(zoom * images.shape[-1] > 2 * side).flatten()
    if len(far):
        coarse = functional.avg_pool2d(images[far].float() / 255, 2)
        x[far] = functional.grid_sample(
            coarse, grid[far], mode="bilinear", padding_mode="reflection", align_corners=False
        )

    def each(low: float, high: float) -> torch.Tensor:
        return _uniform(n, low, high, generator)[:, None, None, None]

    x = x.clamp(1e-4, 1) ** torch.exp(each(-0.35, 0.35))
    grey = x.mean(dim=1, keepdim=True)
    x = grey + (x - grey) * each(0.5, 1.4)
    level = x.mean(dim=(1, 2, 3), keepdim=True)
    x = level + (x - level) * each(0.7, 1.35) + each(-0.1, 0.1)
    x = x * torch.exp(0.08 * torch.randn(n, 3, 1, 1, generator=generator))
    soft = functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    x = x + (soft - x) * each(-0.5, 1.0)
    x = x + torch.randn(x.shape, generator=generator) * each(0, 0.03)
    x = x.clamp(0, 1)
    x = _through_jpeg(x, torch.nonzero(torch.rand(n, generator=generator) < 0.15).flatten(), generator)

    some = torch.nonzero(torch.rand(n, generator=generator) < 0.08).flatten()
    if len(some):
        axis = torch.linspace(-1, 1, side)
        way = _uniform(len(some), 0, 2 * math.pi, generator)[:, None, None]
        beyond = axis[None, None, :] * way.cos() + axis[None, :, None] * way.sin()
        beyond = beyond > _uniform(len(some), 0.2, 1.0, generator)[:, None, None]
        x[some] = torch.where(beyond[:, None], torch.zeros(()), x[some])
    return normalise(x)


def _through_jpeg(x: torch.Tensor, rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Compress and decode some of the images [B, 3, s, s] of 0..1, with qualities from 20 to 70."""
    quality = torch.randint(20, 71, (len(rows),), generator=generator).tolist()
    for row, how in zip(rows.tolist(), quality, strict=True):
        file = encode_jpeg((x[row] * 255).round().to(torch.uint8), quality=how)
        x[row] = decode_jpeg(file).float() / 255
    return x
