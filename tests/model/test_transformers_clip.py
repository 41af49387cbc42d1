"""Models of transformers under open_clip's names give the features that transformers computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

from bimors_cli.errors import BundleError
from bimors_cli.model.clip import build_clip
from bimors_cli.model.loading import load_into
from bimors_cli.model.transformers_clip import convert_to_open_clip, open_clip_config, open_clip_tensors

SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}


def clip_config(activation: str = "quick_gelu", **text: Any) -> CLIPConfig:
    vision = {**SMALL, "image_size": 32, "patch_size": 16, "hidden_act": activation}
    words = {**SMALL, "hidden_size": 24, "hidden_act": activation, "eos_token_id": 49407, **text}
    return CLIPConfig(vision_config=vision, text_config=words, projection_dim=16)


def open_clip_model(model: Any, config: dict[str, Any], folder: Path) -> Any:
    """The model as a bundle would load it."""
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "theirs.safetensors")
    convert_to_open_clip(folder / "theirs.safetensors", folder / "ours.safetensors")
    built = build_clip(config["model_cfg"]).eval()
    with torch.no_grad():
        load_into(built, folder / "ours.safetensors")
    return built


def randomise(model: Any) -> Any:
    """Weights of some size everywhere: as they are initialised, biases are zero and norms one."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_clip_gives_the_same_features(activation: str, tmp_path: Path) -> None:
    model = randomise(CLIPModel(clip_config(activation)))
    config = open_clip_config("OWNER/NAME", model.config.to_dict(), {"image_mean": [0.1, 0.2, 0.3], "resample": 2})
    assert config["preprocess_cfg"] == {
        "size": 32,
        "mean": [0.1, 0.2, 0.3],
        "std": [0.26862954, 0.26130258, 0.27577711],
        "interpolation": "bilinear",
        "resize_mode": "shortest",
    }
    ours = open_clip_model(model, config, tmp_path)
    pixels = torch.randn(3, 3, 32, 32)
    ids = torch.zeros(2, 77, dtype=torch.int64)
    ids[0, :4], ids[1, :6] = torch.tensor([49406, 320, 5, 49407]), torch.tensor([49406, 1, 2, 3, 4, 49407])
    with torch.no_grad():
        theirs = model(input_ids=ids, pixel_values=pixels)
        torch.testing.assert_close(ours.encode_image(pixels, normalize=True), theirs.image_embeds, atol=1e-5, rtol=0)
        torch.testing.assert_close(ours.encode_text(ids, normalize=True), theirs.text_embeds, atol=1e-5, rtol=0)
    assert float(ours.logit_scale) == float(model.logit_scale)


def test_siglip_gives_the_same_features_and_probabilities(tmp_path: Path) -> None:
    text = {"hidden_size": 768, "num_hidden_layers": 1, "num_attention_heads": 12, "vocab_size": 50}
    torch.manual_seed(0)
    model = randomise(SiglipModel(SiglipConfig(text_config=text, vision_config={"image_size": 224})))
    config = open_clip_config("OWNER/NAME", model.config.to_dict(), {})
    assert config["preprocess_cfg"]["resize_mode"] == "squash" and config["preprocess_cfg"]["mean"] == [0.5] * 3
    ours = open_clip_model(model, config, tmp_path)
    pixels, ids = torch.randn(2, 3, 224, 224), torch.randint(0, 50, (3, 64))
    with torch.no_grad():
        theirs = model(input_ids=ids, pixel_values=pixels)
        image = ours.encode_image(pixels, normalize=True)
        words = ours.encode_text(ids, normalize=True)
        torch.testing.assert_close(image, theirs.image_embeds, atol=1e-4, rtol=0)
        torch.testing.assert_close(words, theirs.text_embeds, atol=1e-4, rtol=0)
        logits = ours.logit_scale.exp() * image @ words.T + ours.logit_bias
        torch.testing.assert_close(logits, theirs.logits_per_image, atol=1e-2, rtol=1e-3)


def test_what_is_missing_or_unknown_is_named() -> None:
    tensors = dict(CLIPModel(clip_config()).state_dict())
    lost = {name: value for name, value in tensors.items() if name != "text_model.encoder.layers.1.mlp.fc2.bias"}
    with pytest.raises(BundleError, match=r"tensor text_model\.encoder\.layers\.1\.mlp\.fc2\.bias is missing"):
        open_clip_tensors("x", lost)
    with pytest.raises(BundleError, match=r"tensor lora\.down is not part of CLIP"):
        open_clip_tensors("x", {**tensors, "lora.down": torch.zeros(1)})
    assert open_clip_tensors("x", {**tensors, "text_model.embeddings.position_ids": torch.zeros(1, 77)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "chinese_clip"}, "a model of type 'chinese_clip'"),
        ({"model_type": None}, "not CLIP or SigLIP"),
        ({"auto_map": {"AutoModel": "modeling.Model"}}, "its own code, which bimors never runs"),
        ({"text_config": {"vocab_size": 21128}}, "another vocabulary"),
        ({"text_config": {"hidden_act": "relu"}}, "activation quick_gelu, relu"),
    ],
)
def test_other_models_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        open_clip_config("OWNER/NAME", {**clip_config().to_dict(), **change}, {})


def test_a_siglip_that_timm_does_not_have() -> None:
    config = SiglipConfig(vision_config={"hidden_size": 96, "num_attention_heads": 4}).to_dict()
    with pytest.raises(BundleError, match="timm has no SigLIP image tower of width 96"):
        open_clip_config("OWNER/NAME", config, {})


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(np.arange(64, dtype=np.uint8).tobytes())
    with pytest.raises(BundleError, match=r"x\.safetensors: cannot be converted"):
        convert_to_open_clip(tmp_path / "x.safetensors", tmp_path / "y.safetensors")
