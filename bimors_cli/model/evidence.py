"""What a tile gives the classifier, and how it is gathered from the frozen models."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from bimors_cli.model.batching import CAPTION_ENCODER, CAPTIONER, IMAGE_TOWER, BatchSizer, fits
from bimors_cli.model.caption_encoder import CaptionEncoder
from bimors_cli.model.captioner import Captioner, NullCaptioner
from bimors_cli.model.clip import Clip
from bimors_cli.model.device import wait_for


@dataclass(frozen=True)
class EncoderOutputs:
    """Of B tiles: normalised ``image_feature`` float32 [B, E], ``patch_tokens`` [B, N, Dv], ``captions`` (B sentences,
    None where the captioner failed) and ``caption_embedding`` float32 [B, Db].
    """

    image_feature: torch.Tensor
    patch_tokens: torch.Tensor
    captions: tuple[str | None, ...]
    caption_embedding: torch.Tensor

    def __len__(self) -> int:
        return len(self.captions)

    @property
    def finite(self) -> torch.Tensor:
        """Whether all numbers of a tile are finite: bool [B]."""
        tensors = (self.image_feature, self.patch_tokens, self.caption_embedding)
        return torch.stack([torch.isfinite(tensor).flatten(1).all(dim=1) for tensor in tensors]).all(dim=0)

    def part(self, which: slice) -> EncoderOutputs:
        """Evidence of neighbouring tiles; shares memory with this."""
        if which == slice(0, len(self)):
            return self
        return EncoderOutputs(
            self.image_feature[which], self.patch_tokens[which], self.captions[which], self.caption_embedding[which]
        )

    def take(self, rows: torch.Tensor) -> EncoderOutputs:
        """Evidence of some of the tiles; ``rows`` int64 [n]."""
        return EncoderOutputs(
            self.image_feature[rows],
            self.patch_tokens[rows],
            tuple(self.captions[row] for row in rows.tolist()),
            self.caption_embedding[rows],
        )


class CaptionCache(Protocol):
    """Who may know what the captioner would say."""

    def key(self, image: npt.NDArray[np.uint8]) -> bytes:
        """What a picture, uint8 [3, h, w], is known by; may be asked for by any thread."""

    def describe(
        self,
        images: torch.Tensor,
        describe: Callable[[torch.Tensor], list[str | None]],
        keys: Sequence[bytes] | None = None,
    ) -> list[str | None]:
        """Describe B pictures, uint8 [B, 3, h, w], of these keys; ``describe`` is asked about those not known."""


@dataclass
class FrozenModels:
    """CLIP, captioner and caption encoder of one bundle on one device; several threads may ask them.

    ``seconds`` counts the time of each stage, a thread's divided by ``workers``, the number of those that share the
    processors. ``memory``, where there is one, is asked before the captioner. ``batches`` says how many tiles go into
    a stage at a time.
    """

    clip: Clip
    captioner: Captioner | NullCaptioner
    caption_encoder: CaptionEncoder
    device: torch.device
    seconds: dict[str, float] = field(default_factory=dict)
    memory: CaptionCache | None = None
    workers: int = 1
    batches: BatchSizer = field(init=False)

    def __post_init__(self) -> None:
        self.batches = BatchSizer(self.device)
        self._counting = threading.Lock()

    @property
    def captions(self) -> bool:
        """Whether pictures are described; otherwise every caption is empty."""
        return not isinstance(self.captioner, NullCaptioner)

    def place(self, device: torch.device, dtype: torch.dtype) -> FrozenModels:
        """Move all models to a device and a precision. Raises DeviceError where they are too large for it."""
        with fits("the models", device):
            for model in (self.clip, self.captioner, self.caption_encoder):
                model.to(device=device, dtype=dtype)
        self.device = device
        self.batches = BatchSizer(device)
        return self

    def limit_batches(self, most: int | None) -> None:
        """Let no stage take more tiles at a time; None leaves it to the device."""
        self.batches = BatchSizer(self.device, most)

    def gather(self, images: torch.Tensor, keys: Sequence[bytes] | None = None) -> EncoderOutputs:
        """Look at pictures, any number of them.

        Parameters
        ----------
        images : torch.Tensor
            uint8 [B, 3, h, w], on the CPU.
        keys : sequence of bytes, optional
            What the memory knows them by, where it was asked before.

        Raises
        ------
        DeviceError
            The device's memory does not do for one picture.
        """
        captions = self.describe(images, keys)
        clock = time.perf_counter()
        embedding = self.batches.over(
            CAPTION_ENCODER, len(captions), lambda part: self.caption_encoder.embed(captions[part])
        )
        clock = self.count(CAPTION_ENCODER, clock)
        seen = self.batches.over(IMAGE_TOWER, len(images), lambda part: self.clip.see(self._upload(images[part])))
        features, tokens = zip(*seen, strict=True)
        evidence = EncoderOutputs(_joined(features), _joined(tokens), tuple(captions), _joined(embedding))
        self.count(IMAGE_TOWER, clock)
        return evidence

    def describe(self, images: torch.Tensor, keys: Sequence[bytes] | None = None) -> list[str | None]:
        """Say what pictures show; parameters and errors are those of `gather`."""
        clock = time.perf_counter()
        # A memory goes by the pixels as they are read: on the device they would have to come back.
        memory = self.memory
        captions = self._describe(images) if memory is None else memory.describe(images, self._describe, keys)
        self.count(CAPTIONER, clock)
        return captions

    def _describe(self, images: torch.Tensor) -> list[str | None]:
        said = self.batches.over(
            CAPTIONER, len(images), lambda part: self.captioner.describe(self._upload(images[part]))
        )
        return [caption for batch in said for caption in batch]

    def _upload(self, images: torch.Tensor) -> torch.Tensor:
        return images.to(self.device, non_blocking=True)  # does not block where the pictures are pinned

    def count(self, stage: str, since: float) -> float:
        """Add the time since a reading of the clock to a stage; return the reading of now."""
        wait_for(self.device)
        now = time.perf_counter()
        with self._counting:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + (now - since) / self.workers
        return now


def concatenate(parts: Sequence[EncoderOutputs]) -> EncoderOutputs:
    """Put batches behind each other."""
    return EncoderOutputs(
        torch.cat([part.image_feature for part in parts]),
        torch.cat([part.patch_tokens for part in parts]),
        tuple(caption for part in parts for caption in part.captions),
        torch.cat([part.caption_embedding for part in parts]),
    )


def _joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
