"""The fused vision tower against that of transformers."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import layer_norm
from transformers import Blip2VisionConfig, Blip2VisionModel

from bimors_cli.model.kernels.find import find_kernels
from bimors_cli.model.vision_tower import FusedVisionTower, can_be_fused


def tower(device: str = "cpu", dtype: torch.dtype = torch.float32, **changes: object) -> Blip2VisionModel:
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4}
    config = Blip2VisionConfig(**sizes, image_size=28, patch_size=7, initializer_range=0.2, **changes)
    model = Blip2VisionModel(config).eval().requires_grad_(False)
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(weight)
    return model.to(device, dtype)


def normalise(
    x: torch.Tensor, shift: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, epsilon: float
) -> torch.Tensor:
    return layer_norm(x.float() + shift, weight.shape, weight.float(), bias.float(), epsilon).to(x.dtype)


@pytest.mark.parametrize("qkv_bias", [True, False])
def test_the_same_tokens(qkv_bias: bool) -> None:
    model = tower(qkv_bias=qkv_bias)
    pixels = torch.randn(3, 3, 28, 28)
    expected = model(pixel_values=pixels).last_hidden_state
    found = FusedVisionTower(model, normalise).encode(pixels)
    assert expected.std() > 0.5
    # GELU by tanh differs by up to 0.0005.
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0.0)


def test_other_activations_are_left_to_transformers() -> None:
    assert can_be_fused(tower())
    assert not can_be_fused(tower(hidden_act="relu"))


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    kernels = find_kernels(torch.device("cuda"))
    assert kernels is not None
    model = tower("cuda", torch.bfloat16)
    pixels = torch.randn(3, 3, 28, 28, device="cuda").bfloat16()
    with torch.inference_mode():
        expected = model.float()(pixel_values=pixels.float()).last_hidden_state
        model.to(torch.bfloat16)
        found = FusedVisionTower(model, kernels.normalise).encode(pixels)
        theirs = model(pixel_values=pixels).last_hidden_state
    errors = [(tokens.float() - expected).norm() / expected.norm() for tokens in (found, theirs)]
    assert errors[0] < max(0.02, 1.5 * errors[1])
