"""SigLIP: a text tower that is not causal, its own tokenizer, a sigmoid's scale and bias."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bimors_cli.errors import BundleError, InputError, LabelsError
from bimors_cli.labels import Labels
from bimors_cli.model.clip import CONFIG, WEIGHTS, Clip, build_clip
from bimors_cli.model.heads.zero_shot import ZeroShotHead
from tests.bundles import tokenizer

LABELS = Labels.of(["forest", "river", "bare land"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SigLIP with few weights, as `bimors models fetch` would write it."""
    folder = tmp_path_factory.mktemp("siglip")
    words = tokenizer("<s>", "</s>")
    words.save_pretrained(folder)
    config = {
        "embed_dim": 192,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {
            "image_size": 224,
            "timm_model_name": "vit_tiny_patch16_224",
            "timm_model_pretrained": False,
            "timm_pool": "map",
            "timm_proj": "none",
        },
        "text_cfg": {
            "context_length": 24,
            "vocab_size": len(words),
            "hf_tokenizer_name": "OWNER/NAME",
            "tokenizer_kwargs": {"clean": "canonicalize"},
            "width": 192,
            "heads": 4,
            "layers": 1,
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
        },
    }
    torch.manual_seed(0)
    model = build_clip(config)
    with torch.no_grad():
        model.logit_scale.fill_(4.7)
        model.logit_bias.fill_(-16.5)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / WEIGHTS)
    images = {"mean": [0.5] * 3, "std": [0.5] * 3, "size": 224, "interpolation": "bicubic", "resize_mode": "squash"}
    (folder / CONFIG).write_text(json.dumps({"model_cfg": config, "preprocess_cfg": images}))
    return folder


def test_zero_shot_probabilities_are_the_odds_of_the_sigmoid(folder: Path) -> None:
    """If exactly one label is right, its probability is its odds among the odds of all: the bias cancels."""
    from bimors_cli.model.heads.base import HeadFeatures

    clip = Clip.load(folder)
    image, _tokens = clip.encode_image(torch.randint(0, 256, (5, 3, 224, 224), dtype=torch.uint8))
    head = ZeroShotHead(clip, LABELS, ["a photo of {}."])
    logits = head.logits(HeadFeatures(image))
    pairs = torch.sigmoid(clip.scale * image @ clip.encode_text(clip.prompts(LABELS, ["a photo of {}."])).T - 16.5)
    odds = pairs.double() / (1 - pairs.double())
    expected = odds / odds.sum(dim=1, keepdim=True)
    torch.testing.assert_close(logits.softmax(dim=1).double(), expected, atol=2e-3, rtol=0)


def test_its_own_tokenizer_is_used(folder: Path) -> None:
    clip = Clip.load(folder)
    ids = clip.tokenize(["Forest!", "forest"])
    assert ids.shape == (2, 24) and torch.equal(ids[0], ids[1])  # lower case, no punctuation


def test_texts_that_are_too_long_are_named(folder: Path) -> None:
    clip = Clip.load(folder)
    assert len(clip.prompts(LABELS, ["{}", "a photo of {}"])) == 6
    with pytest.raises(LabelsError, match="the label is too long"):
        clip.prompts(Labels.of(["forest", "river " * 24]), ["{}"])
    with pytest.raises(InputError, match=r"the template .* is too long"):
        clip.prompts(LABELS, ["a photo of a " * 9 + "{}"])


def test_a_text_that_just_fits(folder: Path) -> None:
    clip = Clip.load(folder)
    word = clip.tokenize.tokenizer  # type: ignore[attr-defined]
    fits = next(n for n in range(1, 40) if len(word("river " * (n + 1))["input_ids"]) > 24)
    assert clip.prompts(Labels.of(["forest", ("river " * fits).strip()]), ["{}"])
    with pytest.raises(LabelsError):
        clip.prompts(Labels.of(["forest", ("river " * (fits + 2)).strip()]), ["{}"])


def test_learned_prompts_say_why_not(folder: Path) -> None:
    clip = Clip.load(folder)
    with pytest.raises(BundleError, match="learned prompts need a causal CLIP text tower") as error:
        clip.text_tower()
    assert error.value.hint == "use --head zero-shot"
