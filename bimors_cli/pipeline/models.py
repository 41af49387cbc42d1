"""A bundle's files become models on a device, and an adapter a head."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file

from bimors_cli.bundle.adapter import Adapter
from bimors_cli.bundle.manifest import CAPTION_ENCODER, CAPTIONER, CLIP, Bundle
from bimors_cli.errors import BundleError
from bimors_cli.labels import Labels
from bimors_cli.model.caption_encoder import CaptionEncoder
from bimors_cli.model.captioner import Captioner, Mute
from bimors_cli.model.clip import Clip
from bimors_cli.model.device import choose_device, choose_dtype
from bimors_cli.model.evidence import FrozenModels
from bimors_cli.model.heads import BimorsHead, Head, ZeroShotHead
from bimors_cli.model.prompt_learner import PromptLearner, PromptLearnerWidths


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
    models = FrozenModels(
        Clip.load(bundle.part(CLIP)),
        Captioner.load(bundle.part(CAPTIONER)) if captions else Mute(),
        CaptionEncoder.load(bundle.part(CAPTION_ENCODER)),
        device,
    )
    return models.place(device, choose_dtype(device))


def learner_widths(models: FrozenModels, bundle: Bundle) -> PromptLearnerWidths:
    """Return the widths of a prompt learner for this bundle."""
    return PromptLearnerWidths(
        context=len(models.clip.embed_words(bundle.context)),
        text=models.clip.text_tower().width,
        patch=models.clip.patch_width,
        caption=models.caption_encoder.width,
    )


def load_learner(weights: Path, models: FrozenModels, bundle: Bundle) -> PromptLearner:
    """Load a prompt learner's weights.

    Raises
    ------
    BundleError
        They do not fit the bundle.
    """
    state = load_file(weights)
    widths = learner_widths(models, bundle)
    if "context" in state:  # an adapter may have been trained with another number of context tokens
        widths = PromptLearnerWidths(len(state["context"]), widths.text, widths.patch, widths.caption)
    learner = PromptLearner(widths)
    try:
        learner.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise BundleError(f"{weights}: does not fit the bundle: {str(error).splitlines()[-1].strip()}") from error
    return learner.eval().to(models.device)


def make_classifier(models: FrozenModels, bundle: Bundle, adapter: Adapter | None, labels: Labels) -> Classifier:
    """Make the head for the user's labels: BiMoRS with an adapter, zero-shot without.

    Raises
    ------
    LabelsError
        A label is too long for the text tower.
    BundleError
        The adapter does not fit.
    """
    if adapter is None:
        return Classifier(models, ZeroShotHead(models.clip, labels, bundle.context), bundle.zero_shot_temperature)
    learner = load_learner(adapter.weights, models, bundle)
    return Classifier(models, BimorsHead(models.clip, labels, learner), adapter.temperature)
