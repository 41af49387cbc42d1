"""A complete bundle in seconds: the real classes with tiny configurations and random weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    PreTrainedTokenizerFast,
    T5Config,
)

from bimors_cli.bundle.adapter import WEIGHTS, Adapter, write_adapter_manifest
from bimors_cli.bundle.input_bands import InputBand, InputBands
from bimors_cli.bundle.manifest import ADAPTER, CAPTION_ENCODER, CAPTIONER, CLIP, Bundle, write_bundle_manifest
from bimors_cli.model.clip import build_clip, replace_input
from bimors_cli.model.frozen_models import FrozenModels
from bimors_cli.model.heads.bimors import PromptLearner
from bimors_cli.model.heads.registry import make_learner
from bimors_cli.options.heads import find_head
from bimors_cli.pipeline.inference.load import load_models

WORDS = "a photo of forest farmland river pond bare land meadow dense residential port green many trees water ."
CONTEXT = "a photo of a"
IMAGE_SIZE = 32


def tokenizer(start: str, end: str) -> PreTrainedTokenizerFast:
    """A byte-level BPE that reads any text, with a start and an end token around it."""
    core = Tokenizer(models.BPE())
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<pad>", start, end, "<image>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator([WORDS] * 3, trainer)
    core.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, 1), (end, 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        bos_token=start,
        eos_token=end,
        model_input_names=["input_ids", "attention_mask"],
    )


def make_bundle(folder: Path, *, seed: int = 0, spread: float = 0.0) -> Bundle:
    """Write a bundle with random weights, its untrained adapter included.

    ``spread`` scales random numbers on the adapter's attention output, which starts at zero: then captions and patch
    tokens matter.
    """
    torch.manual_seed(seed)
    _clip(folder / CLIP)
    _captioner(folder / CAPTIONER)
    _caption_encoder(folder / CAPTION_ENCODER)
    bundle = write_bundle_manifest(
        folder,
        name="tiny",
        description="random weights, for tests",
        context=CONTEXT,
        image_size=IMAGE_SIZE,
        zero_shot_temperature=1.0,
        vocabulary=WORDS.split(),
        licences={"weights": "none: random numbers"},
    )
    write_adapter(folder / ADAPTER, bundle, spread=spread)
    return bundle


def write_adapter(folder: Path, bundle: Bundle, *, spread: float = 0.0, temperature: float = 1.0) -> None:
    """Write an adapter that was never trained."""
    frozen = load_models(bundle, "cpu")
    learner = make_learner("bimors", frozen, bundle.context, classes=2)
    assert isinstance(learner, PromptLearner)
    if spread:
        torch.nn.init.normal_(learner.attention.out_proj.weight, std=spread)
    save_adapter(folder, bundle, "bimors", learner, ["forest", "river"], name="untrained", temperature=temperature)


def save_adapter(
    folder: Path,
    bundle: Bundle,
    head: str,
    learner: nn.Module,
    labels: Sequence[str],
    *,
    name: str = "coast",
    temperature: float = 1.0,
) -> Adapter:
    """Save a learner as an adapter."""
    folder.mkdir(exist_ok=True)
    state = learner.state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, folder / WEIGHTS)
    return write_adapter_manifest(
        folder,
        bundle,
        name=name,
        head=find_head(head).stored_name,
        cache="cache.keys" in state,
        labels=labels,
        temperature=temperature,
        training={"epochs": "0"},
    )


BANDS = InputBands(
    tuple(
        InputBand(name, mean, std)
        for name, mean, std in (
            ("blue", 925.161, 1205.586),
            ("green", 1183.128, 1223.713),
            ("red", 1338.041, 1399.638),
            ("rededge1", 1667.254, 1403.298),
            ("rededge2", 2233.633, 1378.513),
            ("rededge3", 2460.96, 1434.924),
            ("nir", 2555.569, 1491.141),
            ("nir narrow", 2619.542, 1454.089),
            ("swir1", 2406.497, 1473.248),
            ("swir2", 1841.645, 1365.08),
        )
    ),
    "Sentinel-2 L2A digital numbers",
)


def make_band_bundle(folder: Path, *, bands: InputBands = BANDS, seed: int = 0) -> Bundle:
    """Write a bundle whose CLIP takes bands; it has no other part."""
    torch.manual_seed(seed)
    _clip(folder / CLIP, len(bands))
    return write_bundle_manifest(
        folder,
        name="ms",
        description="random weights, for tests",
        context=CONTEXT,
        image_size=IMAGE_SIZE,
        zero_shot_temperature=1.0,
        vocabulary=None,
        licences={"weights": "none: random numbers"},
        bands=bands,
    )


def _clip(folder: Path, channels: int | None = None) -> None:
    folder.mkdir(parents=True)
    words = tokenizer("<start>", "<end>")
    words.save_pretrained(folder)
    config: dict[str, Any] = {
        "model_cfg": {
            "embed_dim": 32,
            "vision_cfg": {"image_size": IMAGE_SIZE, "layers": 2, "width": 48, "head_width": 16, "patch_size": 8},
            "text_cfg": {
                "context_length": 77,
                "vocab_size": len(words),
                "hf_tokenizer_name": "local",
                "width": 32,
                "heads": 4,
                "layers": 2,
                "pool_type": "eos",
                "eos_id": words.eos_token_id,
            },
        },
        "preprocess_cfg": {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]},
    }
    model = build_clip(config["model_cfg"])
    if channels is not None:
        replace_input(model, channels)
        config["in_chans"] = channels
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )


def _captioner(folder: Path) -> None:
    words = tokenizer("<start>", "<end>")
    text = T5Config(
        vocab_size=len(words),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=4,
        decoder_start_token_id=words.pad_token_id,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    config = Blip2Config(
        vision_config=Blip2VisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            image_size=IMAGE_SIZE,
            patch_size=8,
        ),
        qformer_config=Blip2QFormerConfig(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            encoder_hidden_size=32,
            vocab_size=8,
        ),
        text_config=text,
        num_query_tokens=4,
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )
    model = Blip2ForConditionalGeneration(config)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    image = {
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.3, 0.3, 0.3],
        "size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(image))


def _caption_encoder(folder: Path) -> None:
    words = tokenizer("[CLS]", "[SEP]")
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=80,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    words.save_pretrained(folder)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with random weights whose captions and patch tokens move the answer."""
    return make_bundle(tmp_path_factory.mktemp("bundle") / "tiny", spread=0.5)


@pytest.fixture(scope="session")
def tiny_models(tiny_bundle: Bundle) -> FrozenModels:
    """Its frozen models, on the CPU."""
    return load_models(tiny_bundle, "cpu")


@pytest.fixture(scope="session")
def band_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of ten bands of Sentinel-2 with random weights."""
    return make_band_bundle(tmp_path_factory.mktemp("bundle") / "ms")
