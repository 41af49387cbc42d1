"""Fused operations for parts of frozen models: the same results, up to rounding."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn
from torch.fx.experimental.optimization import fuse
from transformers.activations import NewGELUActivation
from transformers.models.t5.modeling_t5 import T5LayerNorm


class _FeatureMap(nn.Module):
    def __init__(self, trunk: Any) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.trunk.forward_features(pixels)
        return features


def feature_map(trunk: Any) -> nn.Module:
    """Return ``trunk.forward_features`` of a timm model as a module: [B, 3, h, w] to the last feature map or tokens.

    Batch normalisation of a frozen trunk is an affine map, so it is folded into the weights of the preceding
    convolution; and convolutions on a CPU are fastest in channels-last format. Trunks without batch normalisation, or
    whose control flow depends on the input, are not changed.

    Parameters
    ----------
    trunk : nn.Module
        Frozen, in evaluation mode. It is not modified; if weights were folded, the returned module shares none with it.
    """
    features = _FeatureMap(trunk).eval()
    if not any(isinstance(part, nn.BatchNorm2d) for part in trunk.modules()):
        return features
    try:
        traced = fx.symbolic_trace(features)
    except fx.proxy.TraceError:
        return features
    folded: nn.Module = fuse(traced).eval().requires_grad_(False)
    return folded.to(memory_format=torch.channels_last)


def fuse_t5(model: nn.Module) -> None:
    """Replace T5's root mean square norm and GELU, which transformers computes as several operations, by torch's fused
    kernels. A model without T5 is not changed.
    """
    for module in list(model.modules()):
        for name, part in list(module.named_children()):
            if isinstance(part, T5LayerNorm):
                setattr(module, name, _rms_norm(part))
            elif isinstance(part, NewGELUActivation):
                setattr(module, name, nn.GELU(approximate="tanh"))


def _rms_norm(norm: Any) -> nn.RMSNorm:
    fused = nn.RMSNorm(norm.weight.shape, eps=norm.variance_epsilon, device="meta")
    fused.weight = norm.weight
    return fused.train(norm.training)
