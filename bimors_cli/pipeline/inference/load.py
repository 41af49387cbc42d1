"""Loading models of a bundle onto a device, and the classifier for the user's labels."""

from __future__ import annotations

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
from bimors_cli.bundle.training_features import TrainingFeatures
from bimors_cli.errors import BundleError, InputError
from bimors_cli.labels import Labels
from bimors_cli.model.batching import HEAD, raising_out_of_memory
from bimors_cli.model.caption_encoder import CaptionEncoder, NullCaptionEncoder
from bimors_cli.model.captioner import Captioner, generation_settings
from bimors_cli.model.clip import Clip, NullClip
from bimors_cli.model.device import choose_device, choose_dtype
from bimors_cli.model.frozen_models import FrozenModels
from bimors_cli.model.heads.base import Head, HeadFeatures, probabilities
from bimors_cli.model.heads.registry import make_head, make_learner
from bimors_cli.model.heads.tip_adapter import empty_tip_adapter
from bimors_cli.model.heads.zero_shot import ZeroShotHead
from bimors_cli.model.priors import apply_priors
from bimors_cli.pipeline.inference.cache_db import CaptionerId
from bimors_cli.pipeline.inference.caption_cache import CachedCaptioner, CaptionCacheFile
from bimors_cli.pipeline.inference.feature_cache import FeatureCache, FeatureSpec, hash_of, image_feature_spec
from bimors_cli.pipeline.inference.image_keys import ImageKeys
from bimors_cli.pipeline.inference.tile_batch import TileBatch
from bimors_cli.steps import step


@dataclass(frozen=True)
class Classifier:
    """Frozen models, the head for the user's labels, and the temperature that calibrates its probabilities.

    ``feature_cache``, if any, is queried before the models. ``priors`` are those of the labels; empty for equal ones.
    ``training_features`` are those of the training images of the bundle, for `unlike`.
    """

    models: FrozenModels
    head: Head
    temperature: float
    feature_cache: FeatureCache | None = None
    priors: Sequence[float] = ()
    training_features: TrainingFeatures | None = None

    @torch.no_grad()
    def encode(
        self, images: torch.Tensor, cache_keys: Sequence[bytes] | None = None
    ) -> tuple[list[str | None], HeadFeatures]:
        """Encode images [B, channels, h, w] on the CPU; ``cache_keys`` are their keys in the caches.

        Returns
        -------
        tuple
            B captions, None where the captioner failed, and the head's features, NaN where the encoders' outputs are
            not finite.

        Raises
        ------
        DeviceError
            Out of memory with a batch of one image.
        """
        if self.feature_cache is None or cache_keys is None:
            return self._encode(images, cache_keys)
        clock = time.perf_counter()
        found, cached_captions, features = self.feature_cache.get(cache_keys, self.models.device)
        self.models.count("cache", clock)
        if features is None:
            captions, features = self._encode(images, cache_keys)
            clock = time.perf_counter()
            self.feature_cache.put(cache_keys, features)
            self.models.count("cache", clock)
            return captions, features
        new = sorted(set(range(len(cache_keys))) - set(found))
        if new:
            new_keys = [cache_keys[index] for index in new]
            captions, new_features = self._encode(images[new], new_keys)
            clock = time.perf_counter()
            self.feature_cache.put(new_keys, new_features)
            order = torch.tensor([*found, *new]).argsort()
            features = features.followed_by(new_features).take(order.to(self.models.device))
            all_captions = [*cached_captions, *captions]
            self.models.count("cache", clock)
            return [all_captions[index] for index in order.tolist()], features
        return list(cached_captions), features

    def encode_batch(self, batch: TileBatch) -> tuple[list[str | None], HeadFeatures]:
        """Encode the images of a batch, as `encode`."""
        return self.encode(batch.images, batch.cache_keys)

    def vectors(self, features: HeadFeatures) -> npt.NDArray[np.float32]:
        """Return the image features of B tiles, float32 [B, E]."""
        found: npt.NDArray[np.float32] = features.image_feature.cpu().numpy()
        return found

    def unlike(self, features: HeadFeatures) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return how unlike the training images B tiles are, 0 to 1, and the fraction of these that are more unlike.

        Raises
        ------
        BundleError
            The manifest does not state the features of the training images, or has those of other models.
        """
        known, vectors, bundle = self.training_features, self.vectors(features), self.models.bundle
        if known is None or known.width != vectors.shape[1]:
            raise BundleError(f"the manifest of {bundle.name} does not state the image features of its training images")
        novelty = known.novelty(vectors)
        return novelty, 1 - novelty

    def _encode(
        self, images: torch.Tensor, cache_keys: Sequence[bytes] | None
    ) -> tuple[list[str | None], HeadFeatures]:
        outputs = self.models.encode(images, cache_keys)
        clock = time.perf_counter()
        features = self.head.encode(outputs)
        # The head may hide an infinite number: a ReLU turns minus infinity into zero.
        image_feature = features.image_feature.masked_fill(~outputs.finite[:, None], torch.nan)
        features = replace(features, image_feature=image_feature)
        self.models.count(HEAD, clock)
        return list(outputs.captions), features

    @torch.no_grad()
    def probabilities(self, features: HeadFeatures) -> npt.NDArray[np.float32]:
        """Return probabilities of K labels for B tiles: float32 [B, K].

        Raises
        ------
        DeviceError
            Out of memory with a batch of one tile.
        """
        clock = time.perf_counter()
        batches = self.models.batches.map_batches(
            HEAD, len(features), lambda part: probabilities(self.head.logits(features.part(part)), self.temperature)
        )
        found = apply_priors(torch.cat(batches).cpu().numpy(), self.priors)
        self.models.count(HEAD, clock)
        return found


def load_models(
    bundle: Bundle,
    device_name: str,
    *,
    captions: bool = True,
    caption_cache: CaptionCacheFile | None = None,
    unused: frozenset[str] = frozenset(),
    reads_bands: bool = False,
) -> FrozenModels:
    """Load a bundle's frozen models onto a device, except the captioner: it is loaded when an image needs it.

    With a caption cache, images whose captions are in it are not captioned again. ``unused`` are parts of the bundle
    that the run does not need, of `CLIP` and `CAPTION_ENCODER`: they are not loaded. ``reads_bands`` says that the
    images have the bands of a bundle that takes bands.

    Raises
    ------
    InputError
        The bundle has no captioner, or takes bands.
    BundleError
        A part of the bundle cannot be loaded.
    DeviceError
        See `choose_device`.
    """
    if bundle.bands is not None and not reads_bands:
        raise InputError(
            f"{bundle.name} takes {len(bundle.bands)} bands of a scene, which only bimors classify supports",
            "use --model with a bundle that takes colour images: bimors models list",
        )
    if captions and not bundle.has_part(CAPTIONER):
        raise InputError(f"{bundle.name} has no captioner", "use --no-captions, or --model with another bundle")
    if not bundle.has_part(CAPTION_ENCODER):
        unused |= {CAPTION_ENCODER}
    device = choose_device(device_name)
    with step(f"loading the model {bundle.name}"):
        return _load(bundle, device, captions, caption_cache, unused)


def _load(
    bundle: Bundle, device: torch.device, captions: bool, caption_cache: CaptionCacheFile | None, unused: frozenset[str]
) -> FrozenModels:
    dtype = choose_dtype(device)
    encoder = bundle.part(CAPTION_ENCODER)
    with raising_out_of_memory("the models", device):
        models = FrozenModels(
            bundle,
            NullClip() if CLIP in unused else Clip.load(bundle.part(CLIP), bundle.bands),
            (lambda device, dtype: Captioner.load(bundle.part(CAPTIONER), dtype, device)) if captions else None,
            NullCaptionEncoder() if CAPTION_ENCODER in unused else CaptionEncoder.load(encoder, dtype, device),
            device,
            dtype,
        )
    if caption_cache and captions:
        models.caption_cache = CachedCaptioner(caption_cache, captioner_id(bundle, dtype))
    elif caption_cache and not bundle.has_part(CAPTIONER):
        models.caption_cache = ImageKeys(caption_cache)
    models.feature_store = caption_cache
    return models.place(device, dtype)


def captioner_id(bundle: Bundle, dtype: torch.dtype) -> CaptionerId:
    """What a caption depends on besides the image: the captioner's files, its generation settings and precision."""
    precision = str(dtype).removeprefix("torch.")
    settings = generation_settings(bundle.part(CAPTIONER))
    return CaptionerId(bundle.name, bundle.part_sha256(CAPTIONER), f"{settings}, {precision}")


def load_learner(adapter: Adapter, models: FrozenModels) -> nn.Module:
    """Load an adapter's trained parameters, frozen.

    Raises
    ------
    BundleError
        The weights do not match the bundle, or the adapter's manifest.
    """
    try:
        state = load_file(adapter.weights)
        # An adapter may have another number of context tokens than the bundle's context words.
        tokens = len(state["context"]) if "context" in state else None
        learner = make_learner(adapter.head, models, models.bundle.context, classes=len(adapter.labels), tokens=tokens)
        if adapter.cache:
            learner.add_module("cache", empty_tip_adapter(models, len(state["cache.keys"]), len(adapter.labels)))
        learner.load_state_dict(state, strict=True)
    except (SafetensorError, RuntimeError, TypeError, ValueError, KeyError) as error:
        why = str(error).splitlines()[-1].strip()
        raise BundleError(f"{adapter.weights}: does not match the bundle: {why}") from error
    return learner.eval().requires_grad_(False)


def make_classifier(
    models: FrozenModels, adapter: Adapter | None, labels: Labels, templates: Sequence[str] = ()
) -> Classifier:
    """Make the classifier for the user's labels, with the adapter's head; zero-shot without an adapter.

    ``templates`` replace the bundle's templates of the zero-shot head.

    Raises
    ------
    LabelsError
        A label is too long for the text encoder, or new to an adapter that supports only the labels of its training.
    InputError
        A template is too long for the text encoder.
    BundleError
        The adapter does not match the bundle.
    """
    head: Head
    bundle = models.bundle
    if adapter is None:
        head = ZeroShotHead(models.clip, labels, templates or bundle.templates)
        temperature = bundle.zero_shot_temperature
    else:
        learner, temperature = load_learner(adapter, models), adapter.temperature
        head = make_head(adapter.head, models.clip, labels, learner, words=bundle.context, trained=adapter.labels)
    return Classifier(models, head, temperature, _feature_cache(models, adapter, head))


def _feature_cache(models: FrozenModels, adapter: Adapter | None, head: Head) -> FeatureCache | None:
    """Return the cache of features: that of captions, if it outlasts the run."""
    keys = models.caption_cache
    if not isinstance(keys, CachedCaptioner | ImageKeys) or not keys.cache.is_persistent:
        return None
    captions = isinstance(keys, CachedCaptioner) and models.captions_first
    feature = image_feature_spec(models)
    if adapter is None or head.context_shape is None:
        return FeatureCache(keys.cache, feature, None, captions)
    clip, encoder = (models.bundle.part_sha256(part) for part in (CLIP, CAPTION_ENCODER))
    context = hash_of("context", clip, encoder, adapter.sha256, models.dtype)
    return FeatureCache(keys.cache, feature, FeatureSpec(context, head.context_shape), captions)
