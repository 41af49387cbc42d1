"""Encoder outputs of training examples, computed once: of full images and of random crops."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch.nn import functional
from torchvision.transforms import v2

from bimors_cli.errors import InputError
from bimors_cli.model.frozen_models import EncoderOutputs, FrozenModels, concatenate
from bimors_cli.run_warnings import warn
from bimors_cli.training.examples.base import Examples
from bimors_cli.training.tensor_file import write_tensors

log = logging.getLogger("bimors")

BATCH = 32
MEMORY = 2 * 1024**3
# The published training crops down to 8 % of an image that shows one object. A tile shows land, and a twelfth of it
# may not contain what its class is named after.
SMALLEST_CROP = 0.35


def encode_images(
    models: FrozenModels, examples: Examples, side: int, advance: Callable[[int], None] = lambda count: None
) -> EncoderOutputs:
    """Encode full images, as `classify` does.

    Parameters
    ----------
    models : FrozenModels
        Models of the bundle.
    examples : Examples
        Readable examples.
    side : int
        Pixels; images are resized to this square first, so that images of all sizes fit into one batch.
    advance : callable
        Called with the number of images after each batch.

    Returns
    -------
    EncoderOutputs
        Outputs for all examples, in order.

    Raises
    ------
    InputError
        An image can no longer be read.
    """
    outputs, readable = encode_readable(models, examples, side, advance)
    if len(readable) < len(examples):
        raise _no_longer_readable(examples, min(set(range(len(examples))) - set(readable)))
    return outputs


def encode_readable(
    models: FrozenModels, examples: Examples, side: int, advance: Callable[[int], None] = lambda count: None
) -> tuple[EncoderOutputs, list[int]]:
    """Encode the images that can be read; also returns their indices.

    Raises
    ------
    InputError
        No image can be read.
    """
    batches, readable = [], []
    for rows in _batches(len(examples)):
        images = {row: image for row in rows if (image := read_example_image(examples, row, side)) is not None}
        if images:
            batches.append(models.encode(torch.stack(list(images.values()))))
            readable += list(images)
        advance(len(rows))
    if not batches:
        raise InputError(f"{examples.name}: none of {len(examples)} images can be read", "check the image files")
    return concatenate(batches), readable


def encode_crops(
    models: FrozenModels,
    examples: Examples,
    full_images: EncoderOutputs,
    side: int,
    views: int,
    seed: int,
    advance: Callable[[int], None] = lambda count: None,
) -> tuple[EncoderOutputs, ...]:
    """Encode random crops, mirrored at random; captions are those of the full images.

    The number of views is limited to 2 GiB of memory; a warning reports this.

    Parameters
    ----------
    models, examples, side, advance
        As for `encode_images`.
    full_images : EncoderOutputs
        The result of `encode_images`.
    views : int
        Number of crops of each image.
    seed : int
        Seed of the crops; the crops of an image do not depend on the other images.

    Returns
    -------
    tuple of EncoderOutputs
        One for each view.
    """
    tokens = full_images.patch_tokens
    size = tokens.element_size() * tokens.numel() + 4 * full_images.image_feature.numel()
    limit = max(1, MEMORY // max(size, 1))
    if limit < views:
        warn(
            "training uses %d views of each image, not %d: more exceed the memory limit of 2 GiB: use fewer --shots",
            limit,
            views,
        )
        views = limit
    crop = v2.Compose(
        [
            v2.RandomResizedCrop(side, scale=(SMALLEST_CROP, 1.0), interpolation=v2.InterpolationMode.BICUBIC),
            v2.RandomHorizontalFlip(),
        ]
    )
    encoded: list[list[tuple[torch.Tensor, torch.Tensor]]] = [[] for _ in range(views)]
    for rows in _batches(len(examples)):
        images = {row: image for row in rows if (image := read_example_image(examples, row, side)) is not None}
        if len(images) < len(rows):
            raise _no_longer_readable(examples, min(set(rows) - set(images)))
        for view, batches in enumerate(encoded):
            crops = []
            with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator
                for image in images.values():
                    torch.manual_seed(_seed(seed, view, image))
                    crops.append(crop(image))
            batches.append(models.clip.encode_image(torch.stack(crops).to(models.device)))
            advance(len(rows))
    return tuple(
        EncoderOutputs(
            torch.cat([feature for feature, _ in batches]),
            torch.cat([tokens for _, tokens in batches]),
            full_images.captions,
            full_images.caption_embedding,
        )
        for batches in encoded
    )


def targets(examples: Examples) -> torch.Tensor:
    """The labels of all examples, int64 [N]."""
    return torch.tensor([example.label for example in examples.examples], dtype=torch.int64)


def save_features(path: Path, key: str, views: Sequence[EncoderOutputs]) -> None:
    """Save encoder outputs atomically, with a key that identifies their inputs. Raises OutputError."""
    tensors = {"caption_embedding": views[0].caption_embedding}
    for i, view in enumerate(views):
        tensors[f"{i}.image_feature"] = view.image_feature
        tensors[f"{i}.patch_tokens"] = view.patch_tokens
    write_tensors(path, tensors, {"key": key, "captions": json.dumps(views[0].captions)})


def load_features(path: Path, key: str, device: torch.device) -> tuple[EncoderOutputs, ...] | None:
    """Load saved encoder outputs; None if the file is missing or damaged, or has another key."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            metadata = file.metadata() or {}
            if metadata.get("key") != key:
                return None
            captions = tuple(map(str, json.loads(metadata["captions"])))
            embedding = file.get_tensor("caption_embedding")
            count = sum(name.endswith(".image_feature") for name in list(file.keys()))
            return tuple(
                EncoderOutputs(
                    file.get_tensor(f"{i}.image_feature"), file.get_tensor(f"{i}.patch_tokens"), captions, embedding
                )
                for i in range(count)
            )
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        log.info("%s is computed again: %s", path.name, error)
        return None


def _batches(count: int) -> list[list[int]]:
    return [list(range(i, min(i + BATCH, count))) for i in range(0, count, BATCH)]


def read_example_image(examples: Examples, row: int, side: int) -> torch.Tensor | None:
    """Return the image of an example, resized to uint8 [3, side, side]; None if it cannot be read."""
    array: NDArray[np.uint8] | None = examples.images.read(row)
    if array is None:
        return None
    pixels = torch.from_numpy(np.ascontiguousarray(array))
    if pixels.shape[1:] == (side, side):
        return pixels
    small = functional.interpolate(pixels[None].float(), (side, side), mode="bicubic", antialias=True)
    return small[0].round().clamp(0, 255).to(torch.uint8)


def _no_longer_readable(examples: Examples, row: int) -> InputError:
    return InputError(f"{examples.examples[row].source_id} can no longer be read", "run the command again without it")


def _seed(seed: int, view: int, image: torch.Tensor) -> int:
    # Depends on the pixels only: the same for any path and any set of training examples.
    content = hashlib.sha256(f"{seed} {view} ".encode() + image.numpy().tobytes())
    return int.from_bytes(content.digest()[:7], "big")
