"""The views of tiles as arrays: of networks here, of pixels as they were read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import log_softmax

from bimors_cli.labels import Labels
from bimors_cli.model.batching import CAPTION_ENCODER, HEAD, IMAGE_TOWER
from bimors_cli.model.frozen_models import EncoderOutputs, FeatureStore, FrozenModels
from bimors_cli.model.heads.base import Head, HeadFeatures
from bimors_cli.model.heads.zero_shot import ZeroShotHead
from bimors_cli.options.views import CAPTION, PROMPTS, VIEWS
from bimors_cli.pipeline.inference.feature_cache import FeatureSpec, image_feature_spec
from bimors_cli.pipeline.inference.image_keys import image_hash

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ImageFeatureCache:
    """Image features by the pixels of the image, in the user's cache."""

    cache: FeatureStore
    spec: FeatureSpec

    def key(self, image: npt.NDArray[Any]) -> bytes:
        """Return the key of the feature of an image [channels, h, w]."""
        return self.spec.cache_key(image_hash(image))


@dataclass(frozen=True)
class ViewEncoder:
    """Computes views of tiles.

    Attributes
    ----------
    models : FrozenModels
        Only those that the views need are used.
    names : ZeroShotHead or None
        The head of the view ``names``.
    prompts : Head or None
        That of the view ``prompts``.
    cache : ImageFeatureCache or None
        Queried before CLIP.
    """

    models: FrozenModels
    names: ZeroShotHead | None = None
    prompts: Head | None = None
    cache: ImageFeatureCache | None = None

    @classmethod
    def create(
        cls, models: FrozenModels, views: Sequence[str], labels: Labels, templates: Sequence[str] = ()
    ) -> ViewEncoder:
        """Make the encoder of some views.

        Parameters
        ----------
        models : FrozenModels
            The models of the bundle.
        views : sequence of str
            Names of views.
        labels : Labels
            The labels of the view ``names``.
        templates : sequence of str
            The templates of the view ``names``; without them, those of the bundle.

        Raises
        ------
        LabelsError
            A label is too long for the text tower.
        """
        sentences = templates or models.bundle.templates
        names = ZeroShotHead(models.clip, labels, sentences) if "names" in views else None
        features, cache = None, models.feature_store
        if cache is not None and cache.is_persistent and any(VIEWS[view].inputs - {CAPTION} for view in views):
            features = ImageFeatureCache(cache, image_feature_spec(models))
        return cls(models, names, cache=features)

    @torch.no_grad()
    def encode(
        self,
        views: Sequence[str],
        images: Mapping[str, torch.Tensor],
        numbers: Mapping[str, Values],
        captions: Sequence[str | None] = (),
    ) -> dict[str, Values]:
        """Compute views of B tiles.

        Parameters
        ----------
        views : sequence of str
            Names of views.
        images : mapping of str to Tensor
            By input, uint8 [B, 3, h, w] on the CPU.
        numbers : mapping of str to array
            By view of pixels, float32 [B, n].
        captions : sequence of str or None
            B captions for the views ``captions`` and ``prompts``.

        Returns
        -------
        dict of str to array
            float32 [B, d] by view; a row that is not finite could not be computed.

        Raises
        ------
        DeviceError
            Out of memory with a batch of one image.
        """
        features: dict[str, torch.Tensor] = {}
        found: dict[str, Values] = {}
        if PROMPTS in views:
            outputs = self.models.encode_captioned(images["image"], captions)
            features["image"] = outputs.image_feature.float()
            found[PROMPTS] = self.prompt_answers(outputs)
        for view in views:
            entry = VIEWS[view]
            if view == PROMPTS:
                continue
            if entry.kind == "statistics":
                found[view] = numbers[view]
                continue
            if entry.inputs == {CAPTION}:
                parts = self.models.batches.map_batches(
                    CAPTION_ENCODER, len(captions), lambda part: self.models.caption_encoder.embed(captions[part])
                )
                found[view] = torch.nn.functional.normalize(torch.cat(parts), dim=-1).cpu().numpy()
                continue
            (source,) = entry.inputs
            if source not in features:
                features[source] = self._image_features(images[source])
            found[view] = self._name_answers(features[source]) if view == "names" else features[source].cpu().numpy()
        return found

    @torch.no_grad()
    def prompt_answers(self, outputs: EncoderOutputs) -> Values:
        """Return the view ``prompts`` of the encoder outputs of B tiles: log probabilities of K labels, [B, K]."""
        assert self.prompts is not None  # given by who asks for this view
        prompts = self.prompts
        logits = self.models.batches.map_batches(
            HEAD, len(outputs), lambda part: prompts.forward(outputs.part(part)).float()
        )
        return self._log_probabilities(torch.cat(logits))

    def _name_answers(self, features: torch.Tensor) -> Values:
        assert self.names is not None  # made by `create` for this view
        # From the cache they come to the CPU.
        return self._log_probabilities(self.names.logits(HeadFeatures(features.to(self.models.device))))

    def _log_probabilities(self, logits: torch.Tensor) -> Values:
        scaled = logits / self.models.bundle.zero_shot_temperature
        return np.asarray(log_softmax(scaled.float().cpu().numpy(), axis=1), np.float32)

    def _image_features(self, images: torch.Tensor) -> torch.Tensor:
        if self.cache is None:
            return self._encode_images(images)
        keys = [self.cache.key(image) for image in images.numpy()]
        known = self.cache.cache.get_features(set(keys))
        values = [known.get(key, b"") for key in keys]
        missing: dict[bytes, int] = {}
        for row, (key, value) in enumerate(zip(keys, values, strict=True)):
            if not self.cache.spec.has_size_of(value):
                missing.setdefault(key, row)
        if missing:
            new = self._encode_images(images[list(missing.values())]).cpu().numpy()
            added = {key: row.tobytes() for key, row in zip(missing, new, strict=True)}
            finite = {key for key, row in zip(missing, new, strict=True) if np.isfinite(row).all()}
            self.cache.cache.put_features({key: added[key] for key in finite})
            values = [added.get(key, value) for key, value in zip(keys, values, strict=True)]
        return self.cache.spec.decode(values)

    def _encode_images(self, images: torch.Tensor) -> torch.Tensor:
        models = self.models
        parts = models.batches.map_batches(
            IMAGE_TOWER,
            len(images),
            lambda part: models.clip.encode_image(images[part].to(models.device, non_blocking=True))[0].float(),
        )
        return torch.cat(parts)
