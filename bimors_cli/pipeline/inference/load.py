"""A bundle's files become models on a device, and an adapter a head."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from bimors_cli.bundle.adapter import Adapter
from bimors_cli.bundle.manifest import CAPTION_ENCODER, CAPTIONER, CLIP, Bundle
from bimors_cli.errors import BundleError
from bimors_cli.labels import Labels
from bimors_cli.model.batching import HEAD
from bimors_cli.model.caption_encoder import CaptionEncoder
from bimors_cli.model.captioner import Captioner, NullCaptioner
from bimors_cli.model.clip import Clip
from bimors_cli.model.device import choose_device, choose_dtype
from bimors_cli.model.evidence import BundleInfo, FrozenModels
from bimors_cli.model.heads.base import Head, HeadFeatures, feature_width, probabilities
from bimors_cli.model.heads.registry import make_head, make_learner
from bimors_cli.model.heads.tip_adapter import empty_tip_adapter
from bimors_cli.model.heads.zero_shot import ZeroShotHead
from bimors_cli.pipeline.inference.cache_db import CaptionerId
from bimors_cli.pipeline.inference.caption_cache import CachedCaptioner, CaptionCacheFile
from bimors_cli.pipeline.inference.feature_cache import FeatureCache, FeatureSpec


@dataclass(frozen=True)
class Classifier:
    """Frozen models, the head for the user's labels, and the temperature that makes its answer a probability.

    ``memory``, where there is one, is asked before the models.
    """

    models: FrozenModels
    head: Head
    temperature: float
    memory: FeatureCache | None = None

    @torch.no_grad()
    def look(
        self, pictures: torch.Tensor, keys: Sequence[bytes] | None = None
    ) -> tuple[list[str | None], HeadFeatures]:
        """Look at pictures, uint8 [B, 3, h, w] on the CPU; ``keys`` are what a memory knows them by.

        Returns
        -------
        tuple
            B captions, None where the captioner failed, and what the head keeps: NaN where evidence is not finite.

        Raises
        ------
        DeviceError
            The device's memory does not do for one picture.
        """
        if self.memory is None or keys is None:
            return self._look(pictures, keys)
        clock = time.perf_counter()
        known, remembered, gist = self.memory.find(keys, self.models.device)
        self.models.count("cache", clock)
        if gist is None:
            captions, gist = self._look(pictures, keys)
            clock = time.perf_counter()
            self.memory.keep(keys, gist)
            self.models.count("cache", clock)
            return captions, gist
        new = sorted(set(range(len(keys))) - set(known))
        if new:
            new_keys = [keys[place] for place in new]
            captions, other = self._look(pictures[new], new_keys)
            clock = time.perf_counter()
            self.memory.keep(new_keys, other)
            order = torch.tensor([*known, *new]).argsort()
            gist = gist.followed_by(other).take(order.to(self.models.device))
            said = [*remembered, *captions]
            self.models.count("cache", clock)
            return [said[place] for place in order.tolist()], gist
        return list(remembered), gist

    def _look(self, pictures: torch.Tensor, keys: Sequence[bytes] | None) -> tuple[list[str | None], HeadFeatures]:
        evidence = self.models.encode(pictures, keys)
        clock = time.perf_counter()
        gist = self.head.encode(evidence)
        # An infinite number need not show in the answer: a ReLU turns it into a zero.
        feature = gist.image_feature.masked_fill(~evidence.finite[:, None], torch.nan)
        gist = replace(gist, image_feature=feature)
        self.models.count(HEAD, clock)
        return list(evidence.captions), gist

    @torch.no_grad()
    def answer(self, gist: HeadFeatures) -> npt.NDArray[np.float32]:
        """Probabilities of K labels for B tiles: float32 [B, K].

        Raises
        ------
        DeviceError
            The device's memory does not do for one tile.
        """
        clock = time.perf_counter()
        shares = self.models.batches.map_batches(
            HEAD, len(gist), lambda part: probabilities(self.head.logits(gist.part(part)), self.temperature)
        )
        answers: npt.NDArray[np.float32] = torch.cat(shares).cpu().numpy()
        self.models.count(HEAD, clock)
        return answers


def load_models(
    bundle: Bundle, device_name: str, *, captions: bool = True, caption_cache: CaptionCacheFile | None = None
) -> FrozenModels:
    """Load a bundle's frozen models onto a device; without captions the captioner stays on disk.

    With a caption cache, a picture that is known to it is not described again.

    Raises
    ------
    BundleError
        A part cannot be loaded.
    DeviceError
        See `choose_device`.
    """
    device = choose_device(device_name)
    dtype = choose_dtype(device)
    models = FrozenModels(
        bundle,
        Clip.load(bundle.part(CLIP)),
        Captioner.load(bundle.part(CAPTIONER), dtype) if captions else NullCaptioner(),
        CaptionEncoder.load(bundle.part(CAPTION_ENCODER), dtype),
        device,
    )
    if caption_cache and isinstance(models.captioner, Captioner):
        models.caption_cache = CachedCaptioner(caption_cache, captioner_id(bundle, models.captioner, dtype))
    return models.place(device, dtype)


def captioner_id(bundle: BundleInfo, captioner: Captioner, dtype: torch.dtype) -> CaptionerId:
    """What a caption depends on besides the image: the captioner's files, its generation settings and precision."""
    precision = str(dtype).removeprefix("torch.")
    return CaptionerId(bundle.name, bundle.part_sha256(CAPTIONER), f"{captioner.generation}, {precision}")


def load_learner(adapter: Adapter, models: FrozenModels) -> nn.Module:
    """Load what an adapter learned, frozen.

    Raises
    ------
    BundleError
        Its weights do not fit the bundle, or its own manifest.
    """
    try:
        state = load_file(adapter.weights)
        # An adapter may have been trained with another number of context tokens than the bundle's words have.
        tokens = len(state["context"]) if "context" in state else None
        learner = make_learner(adapter.head, models, models.bundle.context, classes=len(adapter.labels), tokens=tokens)
        if adapter.cache:
            learner.add_module("cache", empty_tip_adapter(models, len(state["cache.keys"]), len(adapter.labels)))
        learner.load_state_dict(state, strict=True)
    except (SafetensorError, RuntimeError, TypeError, ValueError, KeyError) as error:
        why = str(error).splitlines()[-1].strip()
        raise BundleError(f"{adapter.weights}: does not fit the bundle: {why}") from error
    return learner.eval().requires_grad_(False)


def make_classifier(
    models: FrozenModels, adapter: Adapter | None, labels: Labels, templates: Sequence[str] = ()
) -> Classifier:
    """Make the head for the user's labels: the adapter's own, zero-shot without an adapter.

    ``templates`` are for zero-shot, instead of the bundle's.

    Raises
    ------
    LabelsError
        A label is too long for the text tower, or new to an adapter that answers only with its own.
    InputError
        A template is too long for the text tower.
    BundleError
        The adapter does not fit.
    """
    head: Head
    bundle = models.bundle
    if adapter is None:
        head = ZeroShotHead(models.clip, labels, templates or bundle.templates)
        temperature = bundle.zero_shot_temperature
    else:
        learner, temperature = load_learner(adapter, models), adapter.temperature
        head = make_head(adapter.head, models.clip, labels, learner, words=bundle.context, trained=adapter.labels)
    return Classifier(models, head, temperature, _gist_memory(models, adapter, head))


def _gist_memory(models: FrozenModels, adapter: Adapter | None, head: Head) -> FeatureCache | None:
    """Where gists are kept: in the cache that captions are kept in, if it outlasts the run."""
    captions = models.caption_cache
    if not isinstance(captions, CachedCaptioner) or not captions.cache.lasts:
        return None
    clip, encoder = (models.bundle.part_sha256(part) for part in (CLIP, CAPTION_ENCODER))
    precision = next(models.clip.parameters()).dtype
    feature = FeatureSpec(_hashed("image feature", clip, precision), (feature_width(models),))
    if adapter is None or head.context_shape is None:
        return FeatureCache(captions.cache, feature, None)
    context = _hashed("context", clip, encoder, adapter.sha256, precision)
    return FeatureCache(captions.cache, feature, FeatureSpec(context, head.context_shape))


def _hashed(*parts: object) -> bytes:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).digest()
