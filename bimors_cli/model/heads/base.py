"""Heads turn a tile's evidence into one number a label. They are exchangeable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from bimors_cli.labels import Labels
from bimors_cli.model.clip import Clip
from bimors_cli.model.evidence import EncoderOutputs


@dataclass(frozen=True)
class HeadFeatures:
    """What a head keeps of B tiles, whatever the labels: normalised ``image_feature`` float32 [B, E], and the
    ``context`` [B, M, D] that its prompts have for each tile, None where prompts do not depend on the tile or follow
    from the image feature.
    """

    image_feature: torch.Tensor
    context: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.image_feature)

    def part(self, which: slice) -> HeadFeatures:
        """The gist of neighbouring tiles; shares memory with this."""
        return HeadFeatures(self.image_feature[which], None if self.context is None else self.context[which])

    def take(self, rows: torch.Tensor) -> HeadFeatures:
        """The gist of some of the tiles; ``rows`` int64 [n]."""
        return HeadFeatures(self.image_feature[rows], None if self.context is None else self.context[rows])

    def followed_by(self, other: HeadFeatures) -> HeadFeatures:
        """Put another's tiles behind these."""
        feature = torch.cat((self.image_feature, other.image_feature))
        if self.context is None or other.context is None:
            return HeadFeatures(feature)
        return HeadFeatures(feature, torch.cat((self.context, other.context)))


class Head(ABC):
    """What a head is to the rest of the program: it condenses evidence, and answers from the gist.

    The first step knows nothing of the labels, so that its result serves for others. ``context_shape`` is (M, D) of the
    context that it makes for a tile, None for a head that makes none.
    """

    @property
    def context_shape(self) -> tuple[int, int] | None:
        return None

    def encode(self, evidence: EncoderOutputs) -> HeadFeatures:
        """Keep what the answer needs of B tiles."""
        return HeadFeatures(evidence.image_feature)

    @abstractmethod
    def answer(self, gist: HeadFeatures) -> torch.Tensor:
        """Answer for B tiles and K labels: float32 [B, K], scaled, before the temperature."""

    def logits(self, evidence: EncoderOutputs) -> torch.Tensor:
        """Both steps."""
        return self.answer(self.encode(evidence))


class Prompts:
    """The prompts of the N names of K labels behind learned context tokens: one set for each context.

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
        """Normalised text features [B, N, E] behind contexts [B, M, D], in float32 or better."""
        # A learner computes in float32 (it is trained so, and it is small); the tower in its own precision.
        features: torch.Tensor = self._tower(context.to(self._tower.positional_embedding.dtype), self._names)
        return features


def cosine_logits(clip: Clip, labels: Labels, gist: HeadFeatures, text: torch.Tensor) -> torch.Tensor:
    """Scaled cosines [B, K] of B image features with the names of K labels: of a label's names the nearest counts.

    ``text`` are the text features of all N names for each tile [B, N, E], or for all tiles [1, N, E].
    """
    feature = gist.image_feature.to(text.dtype)
    if len(text) == 1:
        found = clip.scale * feature @ text[0].T
    else:
        found = clip.scale * torch.einsum("be,bke->bk", feature, text)
    # Why not the mean of the names' text features, as of templates: people also write "water | river | lake", and the
    # mean of different things is near none of them. Measured with mini on 720 held-out pictures of RSICD, of which
    # seven groups of classes were one label each: mean 89.3 % right (cross-entropy 0.408), nearest 94.3 % (0.214). Of
    # true synonyms either does: with one more name a label 90.1 (0.314) and 90.4 (0.314), with all that mini was
    # taught 90.3 (0.316) and 90.6 (0.318), with none 90.6 (0.313). The sum of their probabilities makes labels with
    # many names too strong: where half of the labels have all names, 89.7 (0.395) against 90.7 (0.318).
    return found if found.shape[1] == len(labels) else max_over_synonyms(found, labels.label_of_name, len(labels))


def max_over_synonyms(values: torch.Tensor, label_of_name: Sequence[int], count: int) -> torch.Tensor:
    """Return the largest of each owner's columns.

    Parameters
    ----------
    values : torch.Tensor
        float [B, N]
    owners : sequence of int
        Of each of the N columns, 0 to ``count`` - 1; each at least once.
    count : int
        K.

    Returns
    -------
    torch.Tensor
        [B, K]
    """
    place = torch.tensor(label_of_name, device=values.device).expand(len(values), -1)
    nothing = values.new_full((len(values), count), -torch.inf)
    return nothing.scatter_reduce(1, place, values, "amax")


def probabilities(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Softmax of logits [B, K] over a fitted temperature (Guo et al. 2017), float32 [B, K].

    One that is not finite makes NaN of its whole row: of minus infinity softmax alone would make a zero, and go on.
    """
    scaled = logits.float() / temperature
    finite = torch.isfinite(scaled).all(dim=-1, keepdim=True)
    return torch.softmax(scaled, dim=-1).masked_fill(~finite, torch.nan)
