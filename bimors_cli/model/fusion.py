"""Parts of frozen models in fewer passes over memory: the same functions, up to rounding."""

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
        seen: torch.Tensor = self.trunk.forward_features(pixels)
        return seen


def feature_map(trunk: Any) -> nn.Module:
    """Return ``trunk.forward_features`` of a timm model as a module of its own: [B, 3, h, w] to the last map or tokens.

    Batch normalisation of a frozen trunk is an affine map, so it goes into the weights of the convolution before it;
    and convolutions are quickest on a CPU where a pixel's channels lie side by side. Trunks without batch
    normalisation, or whose flow of control depends on the picture, stay as they are.

    Parameters
    ----------
    trunk : nn.Module
        Frozen, in evaluation mode. It is left as it is; the answer shares no weights with it where any were folded.
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
    """Let torch's own kernels compute what transformers spells out for T5, one operation after the other: the root mean
    square norm, and the gated layer's GELU. A model without T5 stays as it is.
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
