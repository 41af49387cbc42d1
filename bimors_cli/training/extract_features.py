"""Evidence of examples, gathered once: the whole picture, and the random crops that training sees."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch.nn import functional
from torchvision.transforms import v2

from bimors_cli.errors import InputError
from bimors_cli.model.evidence import EncoderOutputs, FrozenModels, concatenate
from bimors_cli.training.examples.base import Examples
from bimors_cli.training.tensor_file import write_tensors

log = logging.getLogger("bimors")

BATCH = 32
MEMORY = 2 * 1024**3
# The published recipe crops down to 8 % of a picture. Its pictures show one object; a tile is land, and a twelfth of
# it need not hold what names it.
SMALLEST_CROP = 0.35


class PictureProgress(Protocol):
    """Who shows how many pictures have been looked at."""

    def begin(self, what: str, total: int) -> None:
        """Start counting ``total`` pictures that are to be looked at, for ``what``."""

    def advance(self, count: int) -> None:
        """Count pictures."""


class SilentPictures:
    """Shows nothing of it."""

    def begin(self, what: str, total: int) -> None:
        """Show nothing."""

    def advance(self, count: int) -> None:
        """Show nothing."""


def gather_whole(
    models: FrozenModels, examples: Examples, side: int, advance: Callable[[int], None] = lambda count: None
) -> EncoderOutputs:
    """Gather evidence of whole pictures, as `classify` would.

    Parameters
    ----------
    models : FrozenModels
        Of the bundle.
    examples : Examples
        All of them readable.
    side : int
        Pixels; pictures are squeezed to this square first, so that any sizes share a batch.
    advance : callable
        Told of every batch's count.

    Returns
    -------
    Evidence
        Of all examples, in order.

    Raises
    ------
    InputError
        A picture that could be read before cannot be read any more.
    """
    evidence, readable = gather_readable(models, examples, side, advance)
    if len(readable) < len(examples):
        lost = min(set(range(len(examples))) - set(readable))
        raise InputError(f"{examples.examples[lost].where} cannot be read any more", "run it again without it")
    return evidence


def gather_readable(
    models: FrozenModels, examples: Examples, side: int, advance: Callable[[int], None] = lambda count: None
) -> tuple[EncoderOutputs, list[int]]:
    """Gather evidence of the pictures that can be read, and tell which these are.

    Raises
    ------
    InputError
        None of them can be read.
    """
    parts, readable = [], []
    for rows in _batches(len(examples)):
        pictures = {row: picture for row in rows if (picture := _picture(examples, row, side)) is not None}
        if pictures:
            parts.append(models.encode(torch.stack(list(pictures.values()))))
            readable += list(pictures)
        advance(len(rows))
    if not parts:
        raise InputError(f"{examples.name}: none of {len(examples)} pictures can be read")
    return concatenate(parts), readable


def gather_views(
    models: FrozenModels,
    examples: Examples,
    whole: EncoderOutputs,
    side: int,
    views: int,
    seed: int,
    advance: Callable[[int], None] = lambda count: None,
) -> tuple[EncoderOutputs, ...]:
    """Gather evidence of random crops, mirrored by chance; captions are those of the whole pictures.

    Fewer views than asked where they would take more than 2 GiB of memory, which is said.

    Parameters
    ----------
    models, examples, side, advance
        As for `gather_whole`.
    whole : Evidence
        What that gave.
    views : int
        How many crops of each picture.
    seed : int
        Of the crops; a picture's crops do not depend on the other pictures.

    Returns
    -------
    tuple of Evidence
        One a view.
    """
    size = whole.patch_tokens.element_size() * whole.patch_tokens.numel() + 4 * whole.image_feature.numel()
    room = max(1, MEMORY // max(size, 1))
    if room < views:
        log.warning("only %d views of each picture are kept in memory, not %d", room, views)
        views = room
    crop = v2.Compose(
        [
            v2.RandomResizedCrop(side, scale=(SMALLEST_CROP, 1.0), interpolation=v2.InterpolationMode.BICUBIC),
            v2.RandomHorizontalFlip(),
        ]
    )
    seen: list[list[tuple[torch.Tensor, torch.Tensor]]] = [[] for _ in range(views)]
    for rows in _batches(len(examples)):
        pictures = {row: picture for row in rows if (picture := _picture(examples, row, side)) is not None}
        if len(pictures) < len(rows):
            lost = min(set(rows) - set(pictures))
            raise InputError(f"{examples.examples[lost].where} cannot be read any more", "run it again without it")
        for view, parts in enumerate(seen):
            cut = []
            with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator
                for picture in pictures.values():
                    torch.manual_seed(_seed(seed, view, picture))
                    cut.append(crop(picture))
            parts.append(models.clip.encode_image(torch.stack(cut).to(models.device)))
            advance(len(rows))
    return tuple(
        EncoderOutputs(
            torch.cat([feature for feature, _ in parts]),
            torch.cat([tokens for _, tokens in parts]),
            whole.captions,
            whole.caption_embedding,
        )
        for parts in seen
    )


def targets(examples: Examples) -> torch.Tensor:
    """The labels of all examples, int64 [N]."""
    return torch.tensor([example.label for example in examples.examples], dtype=torch.int64)


def save_evidence(path: Path, key: str, views: Sequence[EncoderOutputs]) -> None:
    """Keep evidence on disk under a key that says what it is of. Written whole or not at all. Raises OutputError."""
    tensors = {"caption_embedding": views[0].caption_embedding}
    for i, view in enumerate(views):
        tensors[f"{i}.image_feature"] = view.image_feature
        tensors[f"{i}.patch_tokens"] = view.patch_tokens
    write_tensors(path, tensors, {"key": key, "captions": json.dumps(views[0].captions)})


def load_evidence(path: Path, key: str, device: torch.device) -> tuple[EncoderOutputs, ...] | None:
    """Load what `save_evidence` kept; None where there is nothing, or something of another key or cut off."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            kept = file.metadata() or {}
            if kept.get("key") != key:
                return None
            captions = tuple(map(str, json.loads(kept["captions"])))
            embedding = file.get_tensor("caption_embedding")
            count = sum(name.endswith(".image_feature") for name in list(file.keys()))
            return tuple(
                EncoderOutputs(
                    file.get_tensor(f"{i}.image_feature"), file.get_tensor(f"{i}.patch_tokens"), captions, embedding
                )
                for i in range(count)
            )
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        log.info("%s is gathered anew: %s", path.name, error)
        return None


def _batches(count: int) -> list[list[int]]:
    return [list(range(i, min(i + BATCH, count))) for i in range(0, count, BATCH)]


def _picture(examples: Examples, row: int, side: int) -> torch.Tensor | None:
    """uint8 [3, side, side]; None if it cannot be read."""
    picture: NDArray[np.uint8] | None = examples.pictures.read(row)
    if picture is None:
        return None
    pixels = torch.from_numpy(np.ascontiguousarray(picture))
    if pixels.shape[1:] == (side, side):
        return pixels
    small = functional.interpolate(pixels[None].float(), (side, side), mode="bicubic", antialias=True)
    return small[0].round().clamp(0, 255).to(torch.uint8)


def _seed(seed: int, view: int, picture: torch.Tensor) -> int:
    # By what the picture shows: the same wherever it lies and whatever else is learned from.
    content = hashlib.sha256(f"{seed} {view} ".encode() + picture.numpy().tobytes())
    return int.from_bytes(content.digest()[:7], "big")
