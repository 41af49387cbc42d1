"""What a tile gives the classifier, and how it is gathered from the frozen models."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

from bimors_cli.model.caption_encoder import CaptionEncoder
from bimors_cli.model.captioner import Captioner, Mute
from bimors_cli.model.clip import Clip


@dataclass(frozen=True)
class Evidence:
    """Of B tiles: normalised ``image_feature`` float32 [B, E], ``patch_tokens`` [B, N, Dv], ``captions`` (B sentences)
    and ``caption_embedding`` float32 [B, Db].
    """

    image_feature: torch.Tensor
    patch_tokens: torch.Tensor
    captions: tuple[str, ...]
    caption_embedding: torch.Tensor

    def __len__(self) -> int:
        return len(self.captions)

    def take(self, rows: torch.Tensor) -> Evidence:
        """Evidence of some of the tiles; ``rows`` int64 [n]."""
        return Evidence(
            self.image_feature[rows],
            self.patch_tokens[rows],
            tuple(self.captions[row] for row in rows.tolist()),
            self.caption_embedding[rows],
        )


class CaptionMemory(Protocol):
    """Who may know what the captioner would say."""

    def describe(self, images: torch.Tensor, describe: Callable[[torch.Tensor], list[str]]) -> list[str]:
        """Describe B pictures, uint8 [B, 3, h, w]; ``describe`` is asked about those that are not known."""


@dataclass
class FrozenModels:
    """CLIP, captioner and caption encoder of one bundle on one device; ``seconds`` counts the time of each.

    ``memory``, where there is one, is asked before the captioner.
    """

    clip: Clip
    captioner: Captioner | Mute
    caption_encoder: CaptionEncoder
    device: torch.device
    seconds: dict[str, float] = field(default_factory=dict)
    memory: CaptionMemory | None = None

    @property
    def captions(self) -> bool:
        """Whether pictures are described; otherwise every caption is empty."""
        return not isinstance(self.captioner, Mute)

    def place(self, device: torch.device, dtype: torch.dtype) -> FrozenModels:
        """Move all models to a device and a precision."""
        for model in (self.clip, self.captioner, self.caption_encoder):
            model.to(device=device, dtype=dtype)
        self.device = device
        return self

    def gather(self, images: torch.Tensor) -> Evidence:
        """Look at B pictures, uint8 [B, 3, h, w]."""
        clock = time.perf_counter()
        # A memory goes by the pixels as they are read: on the device they would have to come back.
        captions = self._describe(images) if self.memory is None else self.memory.describe(images, self._describe)
        clock = self._count("captioner", clock)
        embedding = self.caption_encoder.embed(captions)
        clock = self._count("caption encoder", clock)
        feature, tokens = self.clip.see(images.to(self.device))
        self._count("image tower", clock)
        return Evidence(feature, tokens, tuple(captions), embedding)

    def _describe(self, images: torch.Tensor) -> list[str]:
        return self.captioner.describe(images.to(self.device))

    def _count(self, stage: str, since: float) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - since
        return now


def concatenate(parts: Sequence[Evidence]) -> Evidence:
    """Put batches behind each other."""
    return Evidence(
        torch.cat([part.image_feature for part in parts]),
        torch.cat([part.patch_tokens for part in parts]),
        tuple(caption for part in parts for caption in part.captions),
        torch.cat([part.caption_embedding for part in parts]),
    )
