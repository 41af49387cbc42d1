"""A bundle's files become models on a device, and an adapter a head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from bimors_cli.bundle.adapter import Adapter
from bimors_cli.bundle.files import sha256_of_files
from bimors_cli.bundle.manifest import CAPTION_ENCODER, CAPTIONER, CLIP, Bundle
from bimors_cli.errors import BundleError
from bimors_cli.labels import Labels
from bimors_cli.model.caption_encoder import CaptionEncoder
from bimors_cli.model.captioner import BEAMS, NEW_TOKENS, Captioner, Mute
from bimors_cli.model.clip import Clip
from bimors_cli.model.device import choose_device, choose_dtype
from bimors_cli.model.evidence import FrozenModels
from bimors_cli.model.heads import Head, ZeroShotHead
from bimors_cli.model.trainable import empty_cache, make_head, new_learner
from bimors_cli.pipeline.caption_cache import CaptionCache, Remembered
from bimors_cli.pipeline.caption_store import Source


@dataclass(frozen=True)
class Classifier:
    """Frozen models, the head for the user's labels, and the temperature that makes its answer a probability."""

    models: FrozenModels
    head: Head
    temperature: float


def load_models(
    bundle: Bundle, device_name: str, *, captions: bool = True, caption_cache: CaptionCache | None = None
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
        Clip.load(bundle.part(CLIP)),
        Captioner.load(bundle.part(CAPTIONER), dtype) if captions else Mute(),
        CaptionEncoder.load(bundle.part(CAPTION_ENCODER), dtype),
        device,
        memory=Remembered(caption_cache, caption_source(bundle, dtype)) if captions and caption_cache else None,
    )
    return models.place(device, dtype)


def caption_source(bundle: Bundle, dtype: torch.dtype) -> Source:
    """What a caption follows from beside the picture: the captioner's files, how it generates, and its precision."""
    files = [entry for entry in bundle.files if entry.path.startswith(f"{CAPTIONER}/")]
    precision = str(dtype).removeprefix("torch.")
    return Source(bundle.name, sha256_of_files(files), f"{BEAMS} beams, {NEW_TOKENS} new tokens, {precision}")


def load_learner(adapter: Adapter, models: FrozenModels, bundle: Bundle) -> nn.Module:
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
        learner = new_learner(adapter.head, models, bundle.context, classes=len(adapter.labels), tokens=tokens)
        if adapter.cache:
            learner.add_module("cache", empty_cache(models, len(state["cache.keys"]), len(adapter.labels)))
        learner.load_state_dict(state, strict=True)
    except (SafetensorError, RuntimeError, TypeError, ValueError, KeyError) as error:
        why = str(error).splitlines()[-1].strip()
        raise BundleError(f"{adapter.weights}: does not fit the bundle: {why}") from error
    return learner.eval().requires_grad_(False)


def make_classifier(models: FrozenModels, bundle: Bundle, adapter: Adapter | None, labels: Labels) -> Classifier:
    """Make the head for the user's labels: the adapter's own, zero-shot without an adapter.

    Raises
    ------
    LabelsError
        A label is too long for the text tower, or new to an adapter that answers only with its own.
    BundleError
        The adapter does not fit.
    """
    if adapter is None:
        return Classifier(models, ZeroShotHead(models.clip, labels, bundle.context), bundle.zero_shot_temperature)
    learner = load_learner(adapter, models, bundle)
    head = make_head(adapter.head, models.clip, labels, learner, words=bundle.context, trained=adapter.labels)
    return Classifier(models, head, adapter.temperature)
