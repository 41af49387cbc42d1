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
from bimors_cli.model.evidence import EncoderOutputs
from bimors_cli.model.heads.base import Head, HeadFeatures, Prompts, cosine_logits

ATTENTION_HEADS = 4
META_NET_REDUCTION = 16


@dataclass(frozen=True)
class PromptLearnerWidths:
    """Numbers that shape a prompt learner; they follow from the bundle.

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

    The attention's output projection starts at zero, so an untrained prompt learner leaves P as it is and the answer is
    that of zero-shot CLIP with the context's words.

    Parameters
    ----------
    widths : PromptLearnerWidths
        See there.
    context : torch.Tensor, optional
        [M, D], the start of the context tokens: the token embeddings of the words that the prompt begins with.
        Without it they start at zero, to be loaded.
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
        """Give the attention's output projection torch's own start, as the published implementation has it: then the
        answer is not that of zero-shot before anything is learned. Torch's own generator is left as it was.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.attention.out_proj.reset_parameters()

    def forward(self, patch_tokens: torch.Tensor, caption_embedding: torch.Tensor) -> torch.Tensor:
        """Condition the context on tiles.

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
        # The second layer is affine, so it commutes with the mean: one row a tile instead of N.
        seen = second(relu(first(patch_tokens)).mean(dim=1))
        told = self.caption_projection(caption_embedding)
        evidence = self.evidence_norm(torch.stack((seen, told), dim=1))
        context = self.context.expand(len(patch_tokens), -1, -1)
        change: torch.Tensor = self.attention(self.context_norm(context), evidence, evidence, need_weights=False)[0]
        return context + change


class BimorsHead(Head):
    """The BiMoRS answer: prompts conditioned on the tile's patch tokens and caption, text features for each tile."""

    def __init__(self, clip: Clip, labels: Labels, learner: PromptLearner) -> None:
        self._clip = clip
        self._labels = labels
        self._learner = learner
        self._prompts = Prompts(clip, labels, learner.widths.context)

    @property
    def context_shape(self) -> tuple[int, int] | None:
        return self._learner.widths.context, self._learner.widths.text

    def encode(self, evidence: EncoderOutputs) -> HeadFeatures:
        dtype = self._learner.context.dtype
        context = self._learner(evidence.patch_tokens.to(dtype), evidence.caption_embedding.to(dtype))
        return HeadFeatures(evidence.image_feature, context)

    def answer(self, gist: HeadFeatures) -> torch.Tensor:
        assert gist.context is not None  # of this head's own condensing
        return cosine_logits(self._clip, self._labels, gist, self._prompts.read(gist.context))
