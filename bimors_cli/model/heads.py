"""Heads turn a tile's evidence into one number a label. They are exchangeable."""

from __future__ import annotations

from typing import Protocol

import torch

from bimors_cli.labels import Labels
from bimors_cli.model.clip import Clip
from bimors_cli.model.evidence import Evidence
from bimors_cli.model.names import spoken
from bimors_cli.model.prompt_learner import PromptLearner


class Head(Protocol):
    """What a head is to the rest of the program."""

    def logits(self, evidence: Evidence) -> torch.Tensor:
        """Answer for B tiles and K labels: float32 [B, K], scaled, before the temperature."""
        ...


class ZeroShotHead:
    """Cosine between the image feature and the text feature of "a photo of a LABEL."; the text is read once."""

    def __init__(self, clip: Clip, labels: Labels, context: str) -> None:
        clip.name_tokens(labels, clip.embed_words(context).shape[0])  # refuses labels that would be cut
        self._clip = clip
        self._text = clip.read([f"{context} {spoken(name)}." for name in labels.names])

    def logits(self, evidence: Evidence) -> torch.Tensor:
        return self._clip.scale * evidence.image_feature @ self._text.T


class Prompts:
    """The prompts of K labels behind learned context tokens: one set for each context.

    Parameters
    ----------
    clip : Clip
        Its text tower reads them.
    labels : Labels
        K labels.
    context_tokens : int
        M, the length of the contexts to come.

    Raises
    ------
    LabelsError
        A label is too long for the text tower.
    BundleError
        The text tower cannot take learned prompts.
    """

    def __init__(self, clip: Clip, labels: Labels, context_tokens: int) -> None:
        self._tower = clip.text_tower()
        self._names = clip.name_tokens(labels, context_tokens)

    def read(self, context: torch.Tensor) -> torch.Tensor:
        """Normalised text features [B, K, E] behind contexts [B, M, D], in float32 or better."""
        # A learner computes in float32 (it is trained so, and it is small); the tower in its own precision.
        features: torch.Tensor = self._tower(context.to(self._tower.positional_embedding.dtype), self._names)
        return features


class BimorsHead:
    """The BiMoRS answer: prompts conditioned on the tile's patch tokens and caption, text features for each tile."""

    def __init__(self, clip: Clip, labels: Labels, learner: PromptLearner) -> None:
        self._clip = clip
        self._learner = learner
        self._prompts = Prompts(clip, labels, learner.widths.context)

    def logits(self, evidence: Evidence) -> torch.Tensor:
        dtype = self._learner.context.dtype
        context = self._learner(evidence.patch_tokens.to(dtype), evidence.caption_embedding.to(dtype))
        return cosines(self._clip, evidence, self._prompts.read(context))


def cosines(clip: Clip, evidence: Evidence, text: torch.Tensor) -> torch.Tensor:
    """Scaled cosines [B, K] of B image features with text features of their own [B, K, E], or of all [1, K, E]."""
    feature = evidence.image_feature.to(text.dtype)
    if len(text) == 1:
        return clip.scale * feature @ text[0].T
    return clip.scale * torch.einsum("be,bke->bk", feature, text)


def probabilities(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Softmax of logits [B, K] over a fitted temperature (Guo et al. 2017), float32 [B, K]."""
    return torch.softmax(logits.float() / temperature, dim=-1)
