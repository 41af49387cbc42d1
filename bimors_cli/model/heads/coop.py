"""CoOp: learned context tokens, the same for every tile.

Zhou, Yang, Loy, Liu, "Learning to Prompt for Vision-Language Models", IJCV 2022, arXiv 2109.01134: the unified context,
before the class name, initialised from words.
"""

from __future__ import annotations

import torch
from torch import nn

from bimors_cli.labels import Labels
from bimors_cli.model.clip import Clip
from bimors_cli.model.heads.base import Head, HeadFeatures, HeadInit, HeadSetup, Prompts, cosine_logits


class CoopLearner(nn.Module):
    """Context tokens [M, D] that start as ``context``, the token embeddings of words.

    Untrained, its logits are those of zero-shot with these words.
    """

    def __init__(self, context: torch.Tensor) -> None:
        super().__init__()
        self.context = nn.Parameter(context.detach().clone().float())


class CoopHead(Head):
    """Cosine between the image feature and the text features of prompts with the learned context.

    The text features do not depend on the tile: they are encoded once, or once per batch while the learner is trained.
    """

    def __init__(self, clip: Clip, labels: Labels, learner: CoopLearner) -> None:
        self._clip = clip
        self._labels = labels
        self._learner = learner
        self._prompts = Prompts(clip, labels, len(learner.context))
        self._text: torch.Tensor | None = None

    def logits(self, features: HeadFeatures) -> torch.Tensor:
        if self._learner.context.requires_grad:
            self._text = None
            text = self._prompts.encode(self._learner.context.unsqueeze(0))
        else:
            if self._text is None:
                self._text = self._prompts.encode(self._learner.context.unsqueeze(0))
            text = self._text
        return cosine_logits(self._clip, self._labels, features, text)


def make_learner(init: HeadInit) -> CoopLearner:
    """Return an untrained learner."""
    return CoopLearner(init.context())


def make_head(setup: HeadSetup) -> CoopHead:
    """Return the head for the user's labels."""
    return CoopHead(setup.clip, setup.labels, setup.learner)
