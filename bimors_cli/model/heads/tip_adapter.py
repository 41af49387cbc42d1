"""Tip-Adapter: a cache of the training examples' image features, whose logits are added to those of another head.

Zhang et al., "Tip-Adapter: Training-free Adaption of CLIP for Few-shot Classification", ECCV 2022, arXiv 2207.09519.
The cache is built without training; its keys can then be trained (Tip-Adapter-F of the paper).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from bimors_cli.model.frozen_models import EncoderOutputs, FrozenModels
from bimors_cli.model.heads.base import Head, HeadFeatures, HeadInit, HeadSetup, feature_width, max_over_synonyms
from bimors_cli.model.heads.zero_shot import ZeroShotHead

# Used without validation examples: close to the best of the paper's ablation on ImageNet, for cosines times 100.
ALPHA, BETA, SCALE = 1.0, 5.5, 100.0

# Grid of `search`: alpha in multiples of the standard deviation of the other head's logits, to which it is added.
ALPHAS = (0.0, *(2.0 ** (step / 2) for step in range(-12, 9)))
BETAS = tuple(2.0 ** (step / 2) for step in range(11))


def cache_logits(
    features: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    alpha: float | torch.Tensor = ALPHA,
    beta: float | torch.Tensor = BETA,
) -> torch.Tensor:
    """Return alpha exp(-beta (1 - f keys^T)) values.

    Parameters
    ----------
    features : torch.Tensor
        [B, E], normalised image features f.
    keys : torch.Tensor
        [N, E], normalised image features of the examples.
    values : torch.Tensor
        [N, K], the examples' labels, one-hot.
    alpha, beta : float or torch.Tensor
        Weight of the cache relative to the other head, and sharpness of the similarity.

    Returns
    -------
    torch.Tensor
        [B, K], to be added to another head's logits.
    """
    return alpha * torch.exp(-beta * (1 - features @ keys.T)) @ values


class TipAdapterCache(nn.Module):
    """Keys [N, E], which can be trained, and the constants values [N, K], alpha and beta."""

    values: torch.Tensor
    alpha: torch.Tensor
    beta: torch.Tensor

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, alpha: float = ALPHA, beta: float = BETA) -> None:
        super().__init__()
        self.keys = nn.Parameter(keys.detach().clone().float())
        self.register_buffer("values", values.detach().clone().float())
        self.register_buffer("alpha", torch.tensor(alpha, device=keys.device))
        self.register_buffer("beta", torch.tensor(beta, device=keys.device))

    @classmethod
    def of(cls, features: torch.Tensor, target: torch.Tensor, classes: int, scale: float = SCALE) -> TipAdapterCache:
        """Build a cache from examples, with the default alpha and beta.

        Parameters
        ----------
        features : torch.Tensor
            [N, E], image features, or their mean over several views of an example. They are normalised here.
        target : torch.Tensor
            int64 [N], the index of each example's label.
        classes : int
            K, the number of labels.
        scale : float
            Scale of the cosines of the other head; alpha is proportional to it.
        """
        keys = functional.normalize(features, dim=-1)
        return cls(keys, functional.one_hot(target, classes), alpha=ALPHA * scale / SCALE)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Cache logits [B, K] of image features [B, E], for the cache's own labels."""
        return cache_logits(features.to(self.keys.dtype), self.keys, self.values, self.alpha, self.beta)


class TipAdapterHead(Head):
    """Logits of another head plus those of a Tip-Adapter cache.

    A cache only compares the labels that it was built with. Against a label that it does not contain it would always
    favour its own; so if there are such labels, its own keep the total probability that the other head gave them.

    Parameters
    ----------
    base : Head
        The other head, for the user's labels.
    cache : TipAdapterCache
        Cache of the labels that were trained on.
    columns : sequence of sequence of int
        The indices of each of the user's labels among the cache's columns, see `bimors_cli.labels.match_labels`; empty
        for a label that it does not contain. Of several columns the largest counts: their sum would count twice as
        many examples for this label, however far away these are.
    """

    def __init__(self, base: Head, cache: TipAdapterCache, columns: Sequence[Sequence[int]]) -> None:
        self._base = base
        self._cache = cache
        self._cached = torch.tensor([label for label, some in enumerate(columns) if some], dtype=torch.int64)
        self._columns = torch.tensor([column for some in columns for column in some], dtype=torch.int64)
        self._label_of_column = [label for label, some in enumerate(filter(None, columns)) for _ in some]
        self._has_all = all(columns)

    @property
    def context_shape(self) -> tuple[int, int] | None:
        return self._base.context_shape

    def encode(self, outputs: EncoderOutputs) -> HeadFeatures:
        return self._base.encode(outputs)

    def logits(self, features: HeadFeatures) -> torch.Tensor:
        base = self._base.logits(features)
        if not len(self._cached):
            return base
        cached = self._cached.to(base.device)
        before = base[:, cached]
        added: torch.Tensor = self._cache(features.image_feature)[:, self._columns.to(base.device)]
        if len(self._label_of_column) > len(cached):
            added = max_over_synonyms(added, self._label_of_column, len(cached))
        after = before + added
        if self._has_all:
            return after
        shift = before.logsumexp(dim=1, keepdim=True) - after.logsumexp(dim=1, keepdim=True)
        return base.index_copy(1, cached, after + shift)


@torch.no_grad()
def search(
    base: torch.Tensor, features: torch.Tensor, target: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
) -> tuple[float, float]:
    """Find the alpha and beta with the highest accuracy on examples that are not in the cache.

    Ties are broken by the lowest cross-entropy. Alpha 0 means that the cache does not help: the base head alone is at
    least as good on these examples.

    Parameters
    ----------
    base : torch.Tensor
        [V, K], the other head's logits.
    features : torch.Tensor
        [V, E], normalised image features.
    target : torch.Tensor
        int64 [V]
    keys, values : torch.Tensor
        float [N, E] and [N, K], see `cache_logits`.

    Returns
    -------
    tuple of float
        Alpha and beta.
    """
    # Where all logits are equal (an untrained probe) any alpha is as good.
    spread = float(base.std(dim=1).mean()) or 1.0

    def quality(alpha: float, beta: float, added: torch.Tensor) -> tuple[int, float, float, float]:
        logits = base + alpha * added
        correct = int((logits.argmax(dim=1) == target).sum())
        return correct, -float(functional.cross_entropy(logits, target)), alpha, beta

    tried = []
    for beta in BETAS:
        added = cache_logits(features, keys, values, 1.0, beta)
        tried += [quality(alpha * spread, beta, added) for alpha in ALPHAS]
    best = max(tried, key=lambda found: found[:2])
    return best[2], best[3]


def empty_tip_adapter(models: FrozenModels, examples: int, classes: int) -> TipAdapterCache:
    """Return a cache of zeros, to be loaded."""
    keys, values = torch.zeros(examples, feature_width(models)), torch.zeros(examples, classes)
    return TipAdapterCache(keys, values).to(models.device)


def make_learner(_init: HeadInit) -> nn.Module:
    """Return an empty learner: only the cache, which is added to it, is trained."""
    return nn.Module()


def make_head(setup: HeadSetup) -> ZeroShotHead:
    """Return zero-shot with the words that other prompts begin with; the cache is added to it."""
    return ZeroShotHead(setup.clip, setup.labels, [f"{setup.words} {{}}."])
