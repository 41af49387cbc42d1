"""What the layers of T5's encoder and decoder have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class Norm:
    """T5's root mean square norm.

    Parameters
    ----------
    norm : nn.Module
        Of a loaded model.
    epsilon : float
        Added to the mean square.
    """

    def __init__(self, norm: Any, epsilon: float) -> None:
        self._weight: torch.Tensor = norm.weight
        self._epsilon = epsilon

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise rows [..., D]."""
        return F.rms_norm(x, self._weight.shape, self._weight, self._epsilon)


class FeedForward:
    """The two linear layers after the attention, with the norm before them; the gate's layer is part of the first.

    Parameters
    ----------
    layer : transformers' T5LayerFF
        Of a loaded model; its weights become parts of fused ones.
    epsilon : float
        Of the norm.
    """

    def __init__(self, layer: Any, epsilon: float) -> None:
        dense = layer.DenseReluDense
        self._is_gated = hasattr(dense, "wi_0")
        self._norm = Norm(layer.layer_norm, epsilon)
        self._inner = fused((dense.wi_0, dense.wi_1)) if self._is_gated else dense.wi.weight
        self._outer: torch.Tensor = dense.wo.weight
        self._activation: Callable[[torch.Tensor], torch.Tensor] = dense.act

    def add_to(self, x: torch.Tensor) -> None:
        """Add the output to rows [N, D]."""
        inner = F.linear(self._norm(x), self._inner)
        if self._is_gated:
            gate, linear = inner.chunk(2, -1)
            inner = self._activation(gate).mul_(linear)
        else:
            inner = self._activation(inner)
        x.addmm_(inner, self._outer.t())


def fused(parts: Sequence[nn.Linear]) -> torch.Tensor:
    """Return the weights of linear layers with the same input as one; theirs become its parts."""
    weights = torch.cat([part.weight.detach() for part in parts])
    start = 0
    for part in parts:
        size = part.weight.shape[0]
        part.weight.data = weights[start : start + size]
        start += size
    return weights
