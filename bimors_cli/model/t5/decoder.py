"""The decoder of a T5, a token at a time, with fused projections and caches of constant size.

Raffel et al. 2020, Exploring the limits of transfer learning with a unified text-to-text transformer. Keys and values
of a token are written once, into a row of their own, and never moved when beams change places: a beam knows which rows
are its ancestors, and all beams of an image are the queries of one product with all rows. The encoder's keys and
values are stored once for an image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from bimors_cli.model.t5.attention import choose_attention
from bimors_cli.model.t5.layers import FeedForward, Norm, fused


@dataclass(frozen=True)
class _Layer:
    """Weights of a layer: those of linear layers [outputs, inputs], fused ones one after the other."""

    norm: Norm
    queries_keys_values: torch.Tensor
    output: torch.Tensor
    cross_norm: Norm
    cross_queries: torch.Tensor
    cross_keys_values: torch.Tensor
    cross_output: torch.Tensor
    feed_forward: FeedForward


@dataclass(frozen=True)
class Caches:
    """Keys and values of B images in each layer.

    Attributes
    ----------
    keys, values : torch.Tensor
        Of the tokens, [layers, B, heads, rows, d]. Row 0 is the start token; the beams of step t have the rows from
        1 + (t - 1) x beams.
    cross_keys, cross_values : torch.Tensor
        Of the encoder's output, [layers, B, heads, S, d].
    """

    keys: torch.Tensor
    values: torch.Tensor
    cross_keys: torch.Tensor
    cross_values: torch.Tensor


class T5Decoder:
    """The decoder and the output layer of a loaded T5, on the device and in the precision of its weights.

    The weights of ``model`` become parts of the fused ones, so that no weight is in memory twice, and ``model`` works
    as before. If it is moved to another device, this object must be made again.

    Parameters
    ----------
    model : transformers.T5ForConditionalGeneration
        In evaluation mode.
    """

    def __init__(self, model: Any) -> None:
        config = model.config
        self.words: int = model.lm_head.weight.shape[0]
        self.heads: int = config.num_heads
        self.width: int = config.d_kv
        self._scale = config.d_model**-0.5 if config.scale_decoder_outputs else None
        self._embedding: torch.Tensor = model.decoder.embed_tokens.weight
        self._norm = Norm(model.decoder.final_layer_norm, config.layer_norm_epsilon)
        self._output: torch.Tensor = model.lm_head.weight
        self._position = model.decoder.block[0].layer[0].SelfAttention
        self._attend = choose_attention(self._output.device, self._output.dtype)
        self._layers = [_fused_layer(block, config.layer_norm_epsilon) for block in model.decoder.block]

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._output.device

    @property
    def dtype(self) -> torch.dtype:
        """Its precision; logits are float32."""
        return self._output.dtype

    def new_caches(self, images: int, beams: int, steps: int, encoded: int) -> Caches:
        """Return caches for ``steps`` tokens and S = ``encoded`` states; their content is undefined."""

        def empty(rows: int) -> torch.Tensor:
            shape = (len(self._layers), images, self.heads, rows, self.width)
            return torch.empty(shape, dtype=self._output.dtype, device=self.device)

        rows = 1 + (steps - 1) * beams
        return Caches(empty(rows), empty(rows), empty(encoded), empty(encoded))

    def encode(self, states: torch.Tensor, caches: Caches) -> None:
        """Store keys and values of the encoder's output [B, S, D]."""
        images, length, _ = states.shape
        for index, layer in enumerate(self._layers):
            both = F.linear(states, layer.cross_keys_values).view(images, length, 2, self.heads, self.width)
            keys, values = both.permute(2, 0, 3, 1, 4)
            caches.cross_keys[index].copy_(keys)
            caches.cross_values[index].copy_(values)

    def distances(self, steps: int, beams: int) -> list[torch.Tensor]:
        """Return what a step adds to the scores of the rows that it sees, by their distance: [heads, rows] each."""
        bias = self._position.compute_bias(steps, steps)[0].to(self._output.dtype)
        spread = torch.cat((bias[:, :, :1], bias[:, :, 1:].repeat_interleave(beams, 2)), 2)
        return [spread[:, step, : 1 + step * beams].contiguous() for step in range(steps)]

    def step(self, tokens: torch.Tensor, bias: torch.Tensor, caches: Caches, step: int) -> torch.Tensor:
        """Read a token of each beam and predict the next one.

        Parameters
        ----------
        tokens : torch.Tensor
            int64 [B, beams]; of step 0 [B, 1].
        bias : torch.Tensor
            Added to the scores of the rows, with minus infinity for those that are not ancestors: [B, heads, beams,
            rows so far].
        caches : Caches
            Those of the previous steps; the tokens' rows are written.
        step : int
            From 0.

        Returns
        -------
        torch.Tensor
            Logits, float32 [B, beams, words].
        """
        images, beams = tokens.shape
        rows = bias.shape[-1]
        new = slice(rows - beams, rows)
        x = F.embedding(tokens.flatten(), self._embedding)
        for index, layer in enumerate(self._layers):
            both = F.linear(layer.norm(x), layer.queries_keys_values)
            queries, keys, values = both.view(images, beams, 3, self.heads, self.width).permute(2, 0, 3, 1, 4)
            caches.keys[index, :, :, new].copy_(keys)
            caches.values[index, :, :, new].copy_(values)
            found = self._attend(queries, caches.keys[index, :, :, :rows], caches.values[index, :, :, :rows], bias)
            x.addmm_(found, layer.output.t())

            queries = F.linear(layer.cross_norm(x), layer.cross_queries)
            queries = queries.view(images, beams, self.heads, self.width).transpose(1, 2)
            x.addmm_(
                self._attend(queries, caches.cross_keys[index], caches.cross_values[index]), layer.cross_output.t()
            )

            layer.feed_forward.add_to(x)
        x = self._norm(x)
        if self._scale is not None:
            x = x * self._scale
        return F.linear(x, self._output).float().view(images, beams, -1)


def _fused_layer(block: Any, epsilon: float) -> _Layer:
    own, cross, wide = block.layer
    attention, cross_attention = own.SelfAttention, cross.EncDecAttention
    return _Layer(
        norm=Norm(own.layer_norm, epsilon),
        queries_keys_values=fused((attention.q, attention.k, attention.v)),
        output=attention.o.weight,
        cross_norm=Norm(cross.layer_norm, epsilon),
        cross_queries=cross_attention.q.weight,
        cross_keys_values=fused((cross_attention.k, cross_attention.v)),
        cross_output=cross_attention.o.weight,
        feed_forward=FeedForward(wide, epsilon),
    )
