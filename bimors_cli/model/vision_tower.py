"""The vision tower of BLIP-2 on a GPU, with fewer passes over the memory than transformers takes.

Its matrix products take two thirds of the time of transformers' own; the rest are biases, GELU, sums and norms, each of
which reads and writes all tokens. Here bias and GELU are parts of a product, the sum of a residual is the third operand
of one, and the biases of output layers are added where the next normalisation reads the tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from bimors_cli.model.kernels.find import ShiftedNorm


@dataclass(frozen=True)
class _Layer:
    """Weights of a layer, [outputs, inputs], and for each of its two norms the sum of the biases before it."""

    norm: Any
    shift: torch.Tensor
    queries_keys_values: Any
    output: torch.Tensor
    wide_norm: Any
    wide_shift: torch.Tensor
    inner: Any
    outer: torch.Tensor


class FusedVisionTower:
    """The last hidden state of a vision tower, up to rounding; GELU is its approximation by tanh.

    Parameters
    ----------
    model : transformers.Blip2VisionModel
        In evaluation mode, on a CUDA device, in bfloat16. Its weights are used where they are.
    normalise : ShiftedNorm
        From `bimors_cli.model.kernels.find.find_kernels`.
    """

    def __init__(self, model: Any, normalise: ShiftedNorm) -> None:
        self._embeddings = model.embeddings
        self._normalise = normalise
        self._heads: int = model.config.num_attention_heads
        self._scale: float = model.encoder.layers[0].self_attn.scale
        self._last_norm = model.post_layernorm
        self._layers: list[_Layer] = []
        shift = torch.zeros_like(self._last_norm.weight, dtype=torch.float32)
        for layer in model.encoder.layers:
            attention, wide = layer.self_attn, layer.mlp
            middle = shift + attention.projection.bias.float()
            self._layers.append(
                _Layer(
                    layer.layer_norm1,
                    shift,
                    attention.qkv,
                    attention.projection.weight,
                    layer.layer_norm2,
                    middle,
                    wide.fc1,
                    wide.fc2.weight,
                )
            )
            shift = middle + wide.fc2.bias.float()
        self._last_shift = shift

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode preprocessed images [B, 3, h, w] as tokens [B, N, D]."""
        tokens = self._embeddings(pixels)
        images, count, width = tokens.shape
        x = tokens.reshape(images * count, width).contiguous()
        shape = (images, count, 3, self._heads, width // self._heads)
        for layer in self._layers:
            both = layer.queries_keys_values(self._normalised(x, layer.norm, layer.shift))
            queries, keys, values = both.view(shape).permute(2, 0, 3, 1, 4)
            found = F.scaled_dot_product_attention(queries, keys, values, scale=self._scale)
            x.addmm_(found.transpose(1, 2).reshape(images * count, width), layer.output.t())
            wide = torch._addmm_activation(
                layer.inner.bias,
                self._normalised(x, layer.wide_norm, layer.wide_shift),
                layer.inner.weight.t(),
                use_gelu=True,
            )
            x.addmm_(wide, layer.outer.t())
        return self._normalised(x, self._last_norm, self._last_shift).view(images, count, width)

    def _normalised(self, x: torch.Tensor, norm: Any, shift: torch.Tensor) -> torch.Tensor:
        return self._normalise(x, shift, norm.weight, norm.bias, norm.eps)


def can_be_fused(model: Any) -> bool:
    """Whether a vision tower has the activation that `FusedVisionTower` computes."""
    return str(model.config.hidden_act) in ("gelu", "gelu_new", "gelu_pytorch_tanh")
