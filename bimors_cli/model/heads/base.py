"""Heads turn the encoder outputs of a tile into one number per label. They are interchangeable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from bimors_cli.labels import Labels
from bimors_cli.model.clip import Clip
from bimors_cli.model.frozen_models import EncoderOutputs, FrozenModels

# CoOp's standard deviation for context tokens that do not start as words.
RANDOM_TOKEN_STD = 0.02


@dataclass(frozen=True)
class HeadInit:
    """What an untrained learner is made from.

    ``words`` are the words that a prompt begins with (``a photo of a``), ``tokens`` the number of context tokens (None:
    as many as the words have), ``classes`` K, the number of labels.
    """

    models: FrozenModels
    words: str
    tokens: int | None
    classes: int

    def context(self) -> torch.Tensor:
        """Token embeddings [M, D]: the last M tokens of the words, or all of them after random ones."""
        words = self.models.clip.embed_words(self.words).cpu()
        tokens = len(words) if self.tokens is None else self.tokens
        if tokens < 1:
            raise ValueError(f"{tokens} context tokens; at least 1")
        missing = max(0, tokens - len(words))
        random = RANDOM_TOKEN_STD * torch.randn(missing, words.shape[1])
        return torch.cat((random, words[len(words) + missing - tokens :]))

    @property
    def feature_width(self) -> int:
        """E, the width of image and text features."""
        return feature_width(self.models)


@dataclass(frozen=True)
class HeadSetup:
    """What a head is made from.

    ``learner`` is the module of the same head's ``make_learner``, ``words`` are the words that the zero-shot prompt
    begins with, ``columns`` the indices of each of the user's labels among the labels that were trained on, see
    `bimors_cli.labels.match_labels`; empty for a label that was not.
    """

    clip: Clip
    labels: Labels
    learner: Any
    words: str
    columns: Sequence[Sequence[int]]


@dataclass(frozen=True)
class HeadFeatures:
    """What a head needs of B tiles, whatever the labels: normalised ``image_feature`` float32 [B, E], and the
    ``context`` [B, M, D] of each tile's prompts, None where prompts do not depend on the tile or follow from the image
    feature.
    """

    image_feature: torch.Tensor
    context: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.image_feature)

    def part(self, which: slice) -> HeadFeatures:
        """Features of consecutive tiles; shares memory with this object."""
        return HeadFeatures(self.image_feature[which], None if self.context is None else self.context[which])

    def take(self, rows: torch.Tensor) -> HeadFeatures:
        """Features of some tiles; ``rows`` int64 [n]."""
        return HeadFeatures(self.image_feature[rows], None if self.context is None else self.context[rows])

    def followed_by(self, other: HeadFeatures) -> HeadFeatures:
        """Append the tiles of another object."""
        feature = torch.cat((self.image_feature, other.image_feature))
        if self.context is None or other.context is None:
            return HeadFeatures(feature)
        return HeadFeatures(feature, torch.cat((self.context, other.context)))


class Head(ABC):
    """Interface of all heads: `encode` reduces encoder outputs to features, `logits` classifies the features.

    The first step does not depend on the labels, so its result can be cached. ``context_shape`` is (M, D) of the
    context of a tile, None for a head without one.
    """

    @property
    def context_shape(self) -> tuple[int, int] | None:
        return None

    def encode(self, outputs: EncoderOutputs) -> HeadFeatures:
        """Reduce encoder outputs of B tiles to what `logits` needs."""
        return HeadFeatures(outputs.image_feature)

    @abstractmethod
    def logits(self, features: HeadFeatures) -> torch.Tensor:
        """Logits of B tiles and K labels: float32 [B, K], scaled, before the temperature."""

    def forward(self, outputs: EncoderOutputs) -> torch.Tensor:
        """Run both steps: logits [B, K] of encoder outputs."""
        return self.logits(self.encode(outputs))


class Prompts:
    """Prompts of the N names of K labels after learned context tokens: one set per context.

    Parameters
    ----------
    clip : Clip
        Its text tower encodes the prompts.
    labels : Labels
        K labels.
    context_tokens : int
        M, the length of the contexts.

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

    def encode(self, context: torch.Tensor) -> torch.Tensor:
        """Normalised text features [B, N, E] of the prompts after contexts [B, M, D], in float32 or better."""
        # A learner computes in float32 (it is trained so, and it is small); the tower in its own precision.
        features: torch.Tensor = self._tower(context.to(self._tower.positional_embedding.dtype), self._names)
        return features


def feature_width(models: FrozenModels) -> int:
    """E, the width of CLIP's image and text features."""
    return models.clip.encode_text(["a"]).shape[1]


def cosine_logits(clip: Clip, labels: Labels, features: HeadFeatures, text: torch.Tensor) -> torch.Tensor:
    """Scaled cosines [B, K] of B image features with K labels: the maximum over the names of a label.

    ``text`` are the text features of all N names for each tile [B, N, E], or for all tiles [1, N, E].
    """
    feature = features.image_feature.to(text.dtype)
    if len(text) == 1:
        found = clip.scale * feature @ text[0].T
    else:
        found = clip.scale * torch.einsum("be,bke->bk", feature, text)
    # Not the mean of the names' text features, as for templates: users also write "water | river | lake", and the mean
    # of different things is close to none of them. Measured with mini on 720 held-out images of RSICD, with seven
    # groups of classes merged into one label each: mean 89.3 % correct (cross-entropy 0.408), maximum 94.3 % (0.214).
    # For true synonyms both work: with one more name per label 90.1 (0.314) and 90.4 (0.314), with all names that mini
    # was trained on 90.3 (0.316) and 90.6 (0.318), with none 90.6 (0.313). Summing the probabilities favours labels
    # with many names: where half of the labels have all names, 89.7 (0.395) against 90.7 (0.318).
    return found if found.shape[1] == len(labels) else max_over_synonyms(found, labels.label_of_name, len(labels))


def max_over_synonyms(values: torch.Tensor, label_of_name: Sequence[int], count: int) -> torch.Tensor:
    """Return the maximum over the columns of each label.

    Parameters
    ----------
    values : torch.Tensor
        float [B, N]
    label_of_name : sequence of int
        The label of each of the N columns, 0 to ``count`` - 1; each at least once.
    count : int
        K, the number of labels.

    Returns
    -------
    torch.Tensor
        [B, K]
    """
    index = torch.tensor(label_of_name, device=values.device).expand(len(values), -1)
    start = values.new_full((len(values), count), -torch.inf)
    return start.scatter_reduce(1, index, values, "amax")


def probabilities(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Softmax of logits [B, K] over a fitted temperature (Guo et al. 2017), float32 [B, K].

    A logit that is not finite sets its whole row to NaN: softmax alone would turn minus infinity into a silent zero.
    """
    scaled = logits.float() / temperature
    finite = torch.isfinite(scaled).all(dim=-1, keepdim=True)
    return torch.softmax(scaled, dim=-1).masked_fill(~finite, torch.nan)
