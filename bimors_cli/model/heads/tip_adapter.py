"""Tip-Adapter: a cache of the training examples' image features, whose answer is added to that of another head.

Zhang et al., "Tip-Adapter: Training-free Adaption of CLIP for Few-shot Classification", ECCV 2022, arXiv 2207.09519.
The cache is made without training; its keys may then be trained (the paper's Tip-Adapter-F).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from bimors_cli.model.evidence import EncoderOutputs
from bimors_cli.model.heads.base import Head, HeadFeatures, max_over_synonyms

# Where there is nothing to search on: near the best of the paper's ablation on ImageNet, for cosines times 100.
ALPHA, BETA, SCALE = 1.0, 5.5, 100.0

# What `search` tries: alpha as multiples of the spread of the other head's logits, since it is added to them.
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
        How much the cache counts beside the other head, and how near an example must be to count.

    Returns
    -------
    torch.Tensor
        [B, K], to be added to another head's logits.
    """
    return alpha * torch.exp(-beta * (1 - features @ keys.T)) @ values


class TipAdapterCache(nn.Module):
    """Keys [N, E], which may be trained, values [N, K], alpha and beta, which stay as they are set."""

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
        """Make a cache of examples, with alpha and beta as they are before any search.

        Parameters
        ----------
        features : torch.Tensor
            [N, E], image features; the mean over several views of an example is as good. They are normalised here.
        target : torch.Tensor
            int64 [N], the place of each example's label.
        classes : int
            K, the number of labels.
        scale : float
            The factor before the cosines of the other head; alpha follows it.
        """
        keys = functional.normalize(features, dim=-1)
        return cls(keys, functional.one_hot(target, classes), alpha=ALPHA * scale / SCALE)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """What the cache adds for its own labels, [B, K], to image features [B, E]."""
        return cache_logits(features.to(self.keys.dtype), self.keys, self.values, self.alpha, self.beta)


class TipAdapterHead(Head):
    """Another head's logits with those of a cache added.

    A cache compares the labels that it knows with each other. Beside a label that it does not know it would only push
    its own; so where there are such labels, its own keep together the probability that the other head gave them.

    Parameters
    ----------
    base : Head
        The other head, for the user's labels.
    cache : Cache
        For the labels that it was made with.
    places : sequence of sequence of int
        The places of each of the user's labels among the cache's columns, see `bimors_cli.labels.match_labels`;
        none for a label that it does not know. Of several the column that votes loudest counts: their sum would give
        the label the votes of twice as many examples, however far away these are.
    """

    def __init__(self, base: Head, cache: TipAdapterCache, places: Sequence[Sequence[int]]) -> None:
        self._base = base
        self._cache = cache
        self._known = torch.tensor([label for label, some in enumerate(places) if some], dtype=torch.int64)
        self._columns = torch.tensor([place for some in places for place in some], dtype=torch.int64)
        self._owners = [owner for owner, some in enumerate(filter(None, places)) for _ in some]
        self._knows_all = all(places)

    @property
    def context_shape(self) -> tuple[int, int] | None:
        return self._base.context_shape

    def encode(self, evidence: EncoderOutputs) -> HeadFeatures:
        return self._base.encode(evidence)

    def answer(self, gist: HeadFeatures) -> torch.Tensor:
        base = self._base.answer(gist)
        if not len(self._known):
            return base
        known = self._known.to(base.device)
        before = base[:, known]
        votes: torch.Tensor = self._cache(gist.image_feature)[:, self._columns.to(base.device)]
        if len(self._owners) > len(known):
            votes = max_over_synonyms(votes, self._owners, len(known))
        after = before + votes
        if self._knows_all:
            return after
        together = before.logsumexp(dim=1, keepdim=True) - after.logsumexp(dim=1, keepdim=True)
        return base.index_copy(1, known, after + together)


@torch.no_grad()
def search(
    base: torch.Tensor, features: torch.Tensor, target: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
) -> tuple[float, float]:
    """Find the alpha and the beta that answer best on examples that are not in the cache.

    Best is most right answers, of equals the least cross-entropy. Alpha may come out as 0: then the cache does not
    help, and the base head alone is at least as good on these examples.

    Parameters
    ----------
    base : torch.Tensor
        [V, K], the other head's logits.
    features : torch.Tensor
        [V, E], normalised image features.
    target : torch.Tensor
        int64 [V]
    keys, values : torch.Tensor
        [N, E] and [N, K], see `cache_logits`.

    Returns
    -------
    tuple of float
        Alpha and beta.
    """
    # Where all logits are equal (a probe that was never trained) any alpha will do.
    spread = float(base.std(dim=1).mean()) or 1.0

    def merit(alpha: float, beta: float, added: torch.Tensor) -> tuple[int, float, float, float]:
        logits = base + alpha * added
        right = int((logits.argmax(dim=1) == target).sum())
        return right, -float(functional.cross_entropy(logits, target)), alpha, beta

    tried = []
    for beta in BETAS:
        added = cache_logits(features, keys, values, 1.0, beta)
        tried += [merit(alpha * spread, beta, added) for alpha in ALPHAS]
    best = max(tried, key=lambda found: found[:2])
    return best[2], best[3]
