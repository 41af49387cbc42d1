"""The trained part of BiMoRS: learnable context vectors, conditioned on a tile by cross-attention.

Equations: Kashyap, Singha, Banerjee, "Bi-Modal Textual Prompt Learning for Vision-Language Models in Remote Sensing",
arXiv 2601.20675, in the shapes of its published implementation (4 heads, one layer, no feed-forward, no last norm).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from bimors_cli.labels import Labels
from bimors_cli.model.clip import Clip
from bimors_cli.model.frozen_models import EncoderOutputs
from bimors_cli.model.heads.base import Head, HeadFeatures, HeadInit, HeadSetup, Prompts, cosine_logits

ATTENTION_HEADS = 4
META_NET_REDUCTION = 16


@dataclass(frozen=True)
class PromptLearnerWidths:
    """Sizes of a prompt learner; they follow from the bundle.

    ``context`` M, the number of context tokens; ``text`` D, the width of CLIP's text tower; ``patch`` Dv, the width of
    its patch tokens; ``caption`` Db, the width of the caption embedding.
    """

    context: int
    text: int
    patch: int
    caption: int


class PromptLearner(nn.Module):
    """Context tokens, meta-net, caption projection and cross-attention.

    With V the patch tokens, c the caption embedding and P the context tokens:

    - u = mean over tokens of W2 relu(W1 V + b1) + b2
    - s = Wg c + bg
    - P' = P + attention(norm(P), norm_kv([u; s]), norm_kv([u; s]))

    The output projection of the attention is initialised with zeros, so an untrained prompt learner returns P unchanged
    and the logits are those of zero-shot CLIP with the words of the context.

    Parameters
    ----------
    widths : PromptLearnerWidths
        Sizes of all layers.
    context : torch.Tensor, optional
        [M, D], initial context tokens: the token embeddings of the words that the prompt begins with. Default zeros,
        for weights that are loaded afterwards.
    """

    def __init__(self, widths: PromptLearnerWidths, context: torch.Tensor | None = None) -> None:
        super().__init__()
        self.widths = widths
        hidden = max(1, widths.patch // META_NET_REDUCTION)
        start = torch.zeros(widths.context, widths.text) if context is None else context.detach().clone().float()
        if start.shape != (widths.context, widths.text):
            raise ValueError(f"context is {tuple(start.shape)}, expected {(widths.context, widths.text)}")
        self.context = nn.Parameter(start)
        self.meta_net = nn.Sequential(nn.Linear(widths.patch, hidden), nn.ReLU(), nn.Linear(hidden, widths.text))
        self.caption_projection = nn.Linear(widths.caption, widths.text)
        self.context_norm = nn.LayerNorm(widths.text)
        self.evidence_norm = nn.LayerNorm(widths.text)
        self.attention = nn.MultiheadAttention(widths.text, ATTENTION_HEADS, batch_first=True)
        nn.init.zeros_(self.attention.out_proj.weight)
        nn.init.zeros_(self.attention.out_proj.bias)

    def start_at_random(self, seed: int) -> None:
        """Initialise the output projection of the attention at random, as the published implementation does: then the
        logits before training are not those of zero-shot. The state of torch's random generator is restored.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.attention.out_proj.reset_parameters()

    def forward(self, patch_tokens: torch.Tensor, caption_embedding: torch.Tensor) -> torch.Tensor:
        """Return the context tokens of each tile.

        Parameters
        ----------
        patch_tokens : torch.Tensor
            [B, N, Dv]
        caption_embedding : torch.Tensor
            [B, Db]

        Returns
        -------
        torch.Tensor
            [B, M, D]
        """
        first, relu, second = self.meta_net
        # The second layer is affine, so it commutes with the mean: one row per tile instead of N.
        image = second(relu(first(patch_tokens)).mean(dim=1))
        caption = self.caption_projection(caption_embedding)
        keys = self.evidence_norm(torch.stack((image, caption), dim=1))
        context = self.context.expand(len(patch_tokens), -1, -1)
        change: torch.Tensor = self.attention(self.context_norm(context), keys, keys, need_weights=False)[0]
        return context + change


class BimorsHead(Head):
    """Cosine between the image feature and text features of prompts conditioned on patch tokens and caption."""

    def __init__(self, clip: Clip, labels: Labels, learner: PromptLearner) -> None:
        self._clip = clip
        self._labels = labels
        self._learner = learner
        self._prompts = Prompts(clip, labels, learner.widths.context)

    @property
    def context_shape(self) -> tuple[int, int] | None:
        return self._learner.widths.context, self._learner.widths.text

    def encode(self, outputs: EncoderOutputs) -> HeadFeatures:
        dtype = self._learner.context.dtype
        context = self._learner(outputs.patch_tokens.to(dtype), outputs.caption_embedding.to(dtype))
        return HeadFeatures(outputs.image_feature, context)

    def logits(self, features: HeadFeatures) -> torch.Tensor:
        assert features.context is not None  # made by this head's encode()
        return cosine_logits(self._clip, self._labels, features, self._prompts.encode(features.context))


def make_learner(init: HeadInit) -> PromptLearner:
    """Return an untrained learner."""
    context = init.context()
    widths = PromptLearnerWidths(
        context=len(context),
        text=context.shape[1],
        patch=init.models.clip.patch_width,
        caption=init.models.caption_encoder.width,
    )
    return PromptLearner(widths, context)


def make_head(setup: HeadSetup) -> BimorsHead:
    """Return the head for the user's labels."""
    return BimorsHead(setup.clip, setup.labels, setup.learner)
