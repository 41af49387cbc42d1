"""Image preprocessing of a model: resizing and normalisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.nn import functional

from bimors_cli.errors import BundleError

# Pillow's constants, as written by transformers, and open_clip's names; "random" is for training only.
_INTERPOLATIONS = {2: "bilinear", 3: "bicubic", "bilinear": "bilinear", "bicubic": "bicubic", "random": "bicubic"}


class BandStatistics(Protocol):
    """Mean and standard deviation of each band, see `bimors_cli.bundle.input_bands.InputBands`."""

    @property
    def mean(self) -> tuple[float, ...]: ...

    @property
    def std(self) -> tuple[float, ...]: ...


@dataclass(frozen=True)
class Preprocessing:
    """How images become the input of a model.

    Attributes
    ----------
    size : int
        Side of the square input, in pixels.
    mean, std : tuple of float
        Of each channel: of values 0..1 for an 8-bit image, else of the values themselves.
    interpolation : {"bicubic", "bilinear"}
        How images are resized.
    eight_bit : bool
        Whether images are red, green and blue in 8 bits; otherwise they are float32 bands.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    eight_bit: bool = True

    @classmethod
    def of(
        cls, size: int, mean: Sequence[float], std: Sequence[float], interpolation: int | str = "bicubic"
    ) -> Preprocessing:
        return cls(int(size), (mean[0], mean[1], mean[2]), (std[0], std[1], std[2]), _INTERPOLATIONS[interpolation])

    @classmethod
    def read(
        cls,
        where: Path,
        size: int | Sequence[int],
        content: Mapping[str, Any],
        bands: BandStatistics | None = None,
    ) -> Preprocessing:
        """Read the configuration of open_clip (``preprocess_cfg``) or of a transformers image processor.

        Tiles are square, so the methods for other images (cropping, padding, squeezing) are equivalent: see `prepare`.

        Parameters
        ----------
        where : Path
            The file, for error messages.
        size : int or pair of int
            Input size of the model.
        content : mapping
            ``mean``, ``std`` and ``interpolation``, or ``image_mean``, ``image_std``, ``resample``, ``rescale_factor``.
        bands : BandStatistics, optional
            For a model of bands: their mean and standard deviation, in place of those in ``content``.

        Raises
        ------
        BundleError
            It is invalid, or needs other operations than resizing to a square and normalisation.
        """
        sides = {size} if isinstance(size, int) else set(size)
        if len(sides) != 1:
            raise BundleError(f"{where.parent}: the input size {size} is not square, which is not supported")
        resample = content.get("interpolation", content.get("resample", "bicubic"))
        if resample not in _INTERPOLATIONS:
            raise BundleError(f"{where}: unsupported interpolation {resample!r} (supported: bicubic, bilinear)")
        if bands is not None:
            return cls(sides.pop(), bands.mean, bands.std, _INTERPOLATIONS[resample], eight_bit=False)
        factor = content.get("rescale_factor", 1 / 255)
        try:
            if abs(float(factor) * 255 - 1) > 1e-3:
                raise ValueError(f"unsupported rescale_factor {factor} (supported: 1/255)")
            mean, std = (
                [float(x) for x in content.get(name, content.get(f"image_{name}"))] for name in ("mean", "std")
            )
            if not (len(mean) == len(std) == 3 and min(std) > 0):
                raise ValueError(f"mean {mean} and std {std} must be three numbers each")
            return cls.of(sides.pop(), mean, std, resample)
        except (TypeError, ValueError) as error:
            raise BundleError(f"{where}: invalid: {error}") from error


def prepare(images: torch.Tensor, how: Preprocessing, dtype: torch.dtype) -> torch.Tensor:
    """Resize and normalise a batch.

    The whole tile is resized to the square input (antialiased), never cropped: every pixel of a tile counts for its
    label.

    Parameters
    ----------
    images : torch.Tensor
        uint8 [B, 3, h, w], or float32 [B, N, h, w] for a model of N bands, on the device that computes.
    how : Preprocessing
        Preprocessing of the model.
    dtype : torch.dtype
        Dtype of the result.

    Returns
    -------
    torch.Tensor
        [B, 3 or N, size, size]

    Raises
    ------
    BundleError
        The model takes another number of bands.
    """
    if images.shape[1] != len(how.mean) or (images.dtype == torch.uint8) != how.eight_bit:
        raise BundleError(
            f"the model takes {_input(len(how.mean), how.eight_bit)}, not "
            f"{_input(images.shape[1], images.dtype == torch.uint8)}",
            "use --model with the bundle that the bands were chosen for",
        )
    # In place where the tensor is our own: a batch of floats is the largest of what a run holds.
    pixels = images.to(torch.float32).div_(255) if how.eight_bit else images.to(torch.float32)
    if pixels.shape[-2:] != (how.size, how.size):
        pixels = functional.interpolate(
            pixels, (how.size, how.size), mode=how.interpolation, align_corners=False, antialias=True
        )
        if how.eight_bit:
            pixels.clamp_(0, 1)
    mean = pixels.new_tensor(how.mean)[:, None, None]
    std = pixels.new_tensor(how.std)[:, None, None]
    return (pixels - mean).div_(std).to(dtype)


def _input(channels: int, eight_bit: bool) -> str:
    return f"{channels} channels of 8 bits" if eight_bit else f"{channels} bands"
