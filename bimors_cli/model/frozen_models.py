"""Encoder outputs of a tile, and the frozen models that compute them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy.typing as npt
import torch

from bimors_cli.model.batching import CAPTION_ENCODER, CAPTIONER, IMAGE_TOWER, BatchSizer, raising_out_of_memory
from bimors_cli.model.caption_encoder import CaptionEncoder
from bimors_cli.model.captioner import Captioner
from bimors_cli.model.clip import Clip
from bimors_cli.model.device import wait_for
from bimors_cli.steps import step

# Key of the seconds that the captioner took to load; those of the other models are counted by the run.
LOADING = "loading the captioner"


@dataclass(frozen=True)
class EncoderOutputs:
    """Encoder outputs of B tiles: normalised ``image_feature`` float32 [B, E], ``patch_tokens`` [B, N, Dv],
    ``captions`` (B sentences, None where the captioner failed) and ``caption_embedding`` float32 [B, Db].
    """

    image_feature: torch.Tensor
    patch_tokens: torch.Tensor
    captions: tuple[str | None, ...]
    caption_embedding: torch.Tensor

    def __len__(self) -> int:
        return len(self.captions)

    @property
    def finite(self) -> torch.Tensor:
        """Whether all values of a tile are finite: bool [B]."""
        tensors = (self.image_feature, self.patch_tokens, self.caption_embedding)
        return torch.stack([torch.isfinite(tensor).flatten(1).all(dim=1) for tensor in tensors]).all(dim=0)

    def part(self, which: slice) -> EncoderOutputs:
        """Outputs of consecutive tiles; shares memory with this object."""
        if which == slice(0, len(self)):
            return self
        return EncoderOutputs(
            self.image_feature[which], self.patch_tokens[which], self.captions[which], self.caption_embedding[which]
        )

    def take(self, rows: torch.Tensor) -> EncoderOutputs:
        """Outputs of some tiles; ``rows`` int64 [n]."""
        return EncoderOutputs(
            self.image_feature[rows],
            self.patch_tokens[rows],
            tuple(self.captions[row] for row in rows.tolist()),
            self.caption_embedding[rows],
        )


class BundleInfo(Protocol):
    """What models, heads and training read of the bundle, see `bimors_cli.bundle.manifest.Bundle`."""

    @property
    def name(self) -> str: ...

    @property
    def sha256(self) -> str: ...

    @property
    def context(self) -> str: ...

    @property
    def image_size(self) -> int: ...

    @property
    def zero_shot_temperature(self) -> float: ...

    @property
    def templates(self) -> tuple[str, ...]: ...

    @property
    def own_templates(self) -> tuple[str, ...]: ...

    @property
    def one_template(self) -> str: ...

    def part_sha256(self, name: str) -> str:
        """Return the hash of the files of a part."""


class CaptionCache(Protocol):
    """A cache of captions, queried before the captioner."""

    def cache_key(self, image: npt.NDArray[Any]) -> bytes:
        """Return the cache key of an image [channels, h, w]; may be called by any thread."""

    def caption(
        self,
        images: torch.Tensor,
        captioner: Callable[[torch.Tensor], list[str | None]],
        cache_keys: Sequence[bytes] | None = None,
    ) -> list[str | None]:
        """Caption B images [B, channels, h, w] with these keys; ``captioner`` captions those not in the cache."""


class FeatureStore(Protocol):
    """A store of image features that later runs may find."""

    @property
    def is_persistent(self) -> bool: ...

    def get_features(self, keys: Collection[bytes]) -> dict[bytes, bytes]:
        """Look features up. Keys that are not found are omitted."""

    def put_features(self, features: Mapping[bytes, bytes]) -> None:
        """Add features by their keys."""


@dataclass
class FrozenModels:
    """CLIP, captioner and caption encoder of one bundle on one device; may be used by several threads.

    ``load_captioner`` loads the captioner onto a device in a precision when the first image needs it: a run whose
    captions are all in the cache never does. None for a run without captions, whose captions are empty.
    ``seconds`` is the time of each stage; that of a thread is divided by ``workers``, the number of threads that share
    the processors. ``caption_cache``, if there is one, is queried before the captioner, and ``feature_store`` before
    CLIP by the views of a tile. ``batches`` holds the batch size of each stage. ``captions_first`` says whether images
    are captioned before they are encoded; otherwise captions are empty there, and `caption` makes those of some images.
    """

    bundle: BundleInfo
    clip: Clip
    load_captioner: Callable[[torch.device, torch.dtype], Captioner] | None
    caption_encoder: CaptionEncoder
    device: torch.device
    dtype: torch.dtype
    seconds: dict[str, float] = field(default_factory=dict)
    caption_cache: CaptionCache | None = None
    feature_store: FeatureStore | None = None
    workers: int = 1
    captions_first: bool = True
    batches: BatchSizer = field(init=False)

    def __post_init__(self) -> None:
        self.batches = BatchSizer(self.device)
        self._counting = threading.Lock()
        self._captioner: Captioner | None = None
        self._loading = threading.Lock()

    @property
    def captions(self) -> bool:
        """Whether images are captioned before they are encoded; otherwise every caption is empty there."""
        return self.captions_first and self.load_captioner is not None

    @property
    def captioner(self) -> Captioner:
        """The captioner of a run with captions, loaded at the first call.

        Raises
        ------
        BundleError
            It cannot be loaded.
        DeviceError
            It does not fit into the memory of the device.
        """
        assert self.load_captioner is not None
        with self._loading:
            if self._captioner is None:
                clock = time.perf_counter()
                with step(LOADING), raising_out_of_memory("the captioner", self.device):
                    self._captioner = self.load_captioner(self.device, self.dtype)
                self.seconds[LOADING] = time.perf_counter() - clock
            return self._captioner

    def place(self, device: torch.device, dtype: torch.dtype) -> FrozenModels:
        """Move all models to a device and a precision. Raises DeviceError if they do not fit into its memory."""
        with raising_out_of_memory("the models", device):
            for model in (self.clip, self._captioner, self.caption_encoder):
                if model is not None:
                    model.to(device=device, dtype=dtype)
        self.device, self.dtype = device, dtype
        self.batches = BatchSizer(device)
        return self

    def limit_batches(self, limit: int | None) -> None:
        """Set an upper limit for the batch size of all stages; None removes it."""
        self.batches = BatchSizer(self.device, limit)

    def encode(self, images: torch.Tensor, cache_keys: Sequence[bytes] | None = None) -> EncoderOutputs:
        """Encode any number of images.

        Parameters
        ----------
        images : torch.Tensor
            uint8 [B, 3, h, w], or float32 [B, N, h, w] for a CLIP of N bands, on the CPU.
        cache_keys : sequence of bytes, optional
            The images' keys in the caption cache, if they were computed before.

        Raises
        ------
        DeviceError
            The device is out of memory with a batch of one image.
        """
        captions = self.caption(images, cache_keys) if self.captions_first else [""] * len(images)
        return self.encode_captioned(images, captions)

    def encode_captioned(self, images: torch.Tensor, captions: Sequence[str | None]) -> EncoderOutputs:
        """Encode images that were captioned; ``images`` and errors are those of `encode`."""
        clock = time.perf_counter()
        embedding = self.batches.map_batches(
            CAPTION_ENCODER, len(captions), lambda part: self.caption_encoder.embed(captions[part])
        )
        clock = self.count(CAPTION_ENCODER, clock)
        encoded = self.batches.map_batches(
            IMAGE_TOWER, len(images), lambda part: self.clip.encode_image(self._upload(images[part]))
        )
        features, tokens = zip(*encoded, strict=True)
        outputs = EncoderOutputs(
            _joined(features), _joined(tokens), tuple(captions), _joined(embedding).to(self.device)
        )
        self.count(IMAGE_TOWER, clock)
        return outputs

    def caption(self, images: torch.Tensor, cache_keys: Sequence[bytes] | None = None) -> list[str | None]:
        """Caption images; parameters and errors are those of `encode`."""
        if self.load_captioner is None:
            return [""] * len(images)
        clock = time.perf_counter()
        # Cache keys are hashes of the pixels on the CPU: from the device they would have to be copied back.
        cache = self.caption_cache
        loading = self.seconds.get(LOADING, 0.0)
        captions = self._caption(images) if cache is None else cache.caption(images, self._caption, cache_keys)
        self.count(CAPTIONER, clock + self.seconds.get(LOADING, 0.0) - loading)
        return captions

    def _caption(self, images: torch.Tensor) -> list[str | None]:
        captioner = self.captioner
        batches = self.batches.map_batches(
            CAPTIONER, len(images), lambda part: captioner.caption(self._upload(images[part]))
        )
        return [caption for batch in batches for caption in batch]

    def _upload(self, images: torch.Tensor) -> torch.Tensor:
        return images.to(self.device, non_blocking=True)  # does not block where the images are in pinned memory

    def count(self, stage: str, since: float) -> float:
        """Add the time since a reading of the clock to a stage; return the current reading."""
        wait_for(self.device)
        now = time.perf_counter()
        with self._counting:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + (now - since) / self.workers
        return now


def concatenate(parts: Sequence[EncoderOutputs]) -> EncoderOutputs:
    """Concatenate batches."""
    return EncoderOutputs(
        torch.cat([part.image_feature for part in parts]),
        torch.cat([part.patch_tokens for part in parts]),
        tuple(caption for part in parts for caption in part.captions),
        torch.cat([part.caption_embedding for part in parts]),
    )


def _joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
