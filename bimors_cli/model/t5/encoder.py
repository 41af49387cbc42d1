"""The encoder of a T5 for inputs of one length, with fused projections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from bimors_cli.model.t5.attention import choose_attention
from bimors_cli.model.t5.layers import FeedForward, Norm, fused


@dataclass(frozen=True)
class _Layer:
    """Weights of a layer, [outputs, inputs]; those of queries, keys and values one after the other."""

    norm: Norm
    queries_keys_values: torch.Tensor
    output: torch.Tensor
    feed_forward: FeedForward


class T5Encoder:
    """The encoder of a loaded T5, on the device and in the precision of its weights.

    The weights of ``model`` become parts of the fused ones, as those of `T5Decoder` do.

    Parameters
    ----------
    model : transformers.T5ForConditionalGeneration
        In evaluation mode.
    """

    def __init__(self, model: Any) -> None:
        config = model.config
        self._heads: int = config.num_heads
        self._width: int = config.d_kv
        epsilon: float = config.layer_norm_epsilon
        self._position = model.encoder.block[0].layer[0].SelfAttention
        self._norm = Norm(model.encoder.final_layer_norm, epsilon)
        self._attend = choose_attention(model.device, model.dtype)
        self._layers = []
        for block in model.encoder.block:
            own, wide = block.layer
            attention = own.SelfAttention
            self._layers.append(
                _Layer(
                    Norm(own.layer_norm, epsilon),
                    fused((attention.q, attention.k, attention.v)),
                    attention.o.weight,
                    FeedForward(wide, epsilon),
                )
            )

    def encode(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the last hidden states of B sequences of embeddings [B, S, D], all of whose rows are seen."""
        count, length, size = inputs.shape
        x = inputs.reshape(count * length, size).clone()
        bias = self._position.compute_bias(length, length).to(x.dtype).expand(count, -1, -1, -1)
        shape = (count, length, 3, self._heads, self._width)
        for layer in self._layers:
            both = F.linear(layer.norm(x), layer.queries_keys_values)
            queries, keys, values = both.view(shape).permute(2, 0, 3, 1, 4)
            x.addmm_(self._attend(queries, keys, values, bias), layer.output.t())
            layer.feed_forward.add_to(x)
        return self._norm(x).view(inputs.shape)
