"""A bundle's files become models on a device, and an adapter a head."""

from __future__ import annotations

from dataclasses import dataclass

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from bimors_cli.bundle.adapter import Adapter
from bimors_cli.bundle.manifest import CAPTION_ENCODER, CAPTIONER, CLIP, Bundle
from bimors_cli.errors import BundleError
from bimors_cli.labels import Labels
from bimors_cli.model.caption_encoder import CaptionEncoder
from bimors_cli.model.captioner import Captioner, Mute
from bimors_cli.model.clip import Clip
from bimors_cli.model.device import choose_device, choose_dtype
from bimors_cli.model.evidence import FrozenModels
from bimors_cli.model.heads import Head, ZeroShotHead
from bimors_cli.model.trainable import empty_cache, make_head, new_learner


@dataclass(frozen=True)
class Classifier:
    """Frozen models, the head for the user's labels, and the temperature that makes its answer a probability."""

    models: FrozenModels
    head: Head
    temperature: float


def load_models(bundle: Bundle, device_name: str, *, captions: bool = True) -> FrozenModels:
    """Load a bundle's frozen models onto a device; without captions the captioner stays on disk.

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
    )
    return models.place(device, dtype)


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
