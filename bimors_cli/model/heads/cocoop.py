"""CoCoOp: learned context tokens, shifted for each tile by its image feature.

Zhou, Yang, Loy, Liu, "Conditional Prompt Learning for Vision-Language Models", CVPR 2022, arXiv 2203.05557.
"""

from __future__ import annotations

import torch
from torch import nn

from bimors_cli.labels import Labels
from bimors_cli.model.clip import Clip
from bimors_cli.model.heads.base import Head, HeadFeatures, HeadInit, HeadSetup, Prompts, cosine_logits

META_NET_REDUCTION = 16


class CocoopLearner(nn.Module):
    """Context tokens and a meta-net.

    With f the normalised image feature and p_m the context tokens, token m of a tile's context is

    - p_m + W2 relu(W1 f + b1) + b2

    As in the paper's implementation the meta-net keeps torch's random initialisation, so the logits of an untrained
    CoCoOp are close to those of zero-shot, but not equal.

    Parameters
    ----------
    context : torch.Tensor
        [M, D], the start of the context tokens: the token embeddings of words.
    image : int
        E, the width of the image feature.
    """

    def __init__(self, context: torch.Tensor, image: int) -> None:
        super().__init__()
        self.context = nn.Parameter(context.detach().clone().float())
        hidden = max(1, image // META_NET_REDUCTION)
        self.meta_net = nn.Sequential(nn.Linear(image, hidden), nn.ReLU(), nn.Linear(hidden, context.shape[1]))

    def forward(self, image_feature: torch.Tensor) -> torch.Tensor:
        """Contexts [B, M, D] of B tiles, from their normalised image features [B, E]."""
        change: torch.Tensor = self.meta_net(image_feature)
        return self.context + change.unsqueeze(1)


class CocoopHead(Head):
    """Cosine between the image feature and the text features of prompts with the tile's own context."""

    def __init__(self, clip: Clip, labels: Labels, learner: CocoopLearner) -> None:
        self._clip = clip
        self._labels = labels
        self._learner = learner
        self._prompts = Prompts(clip, labels, len(learner.context))

    def logits(self, features: HeadFeatures) -> torch.Tensor:
        context = self._learner(features.image_feature.to(self._learner.context.dtype))
        return cosine_logits(self._clip, self._labels, features, self._prompts.encode(context))


def make_learner(init: HeadInit) -> CocoopLearner:
    """Return an untrained learner."""
    return CocoopLearner(init.context(), init.feature_width)


def make_head(setup: HeadSetup) -> CocoopHead:
    """Return the head for the user's labels."""
    return CocoopHead(setup.clip, setup.labels, setup.learner)
