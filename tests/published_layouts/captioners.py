"""The captioners BLIP-2 with T5, BLIP-2 with OPT and a LoRA of it, and BLIP.

What is known: the shards of BLIP-2 with OPT have the sizes that follow from names, shapes and dtypes to the byte, those
of BLIP-2 with T5 the rounded sizes that the hub shows. The configurations of both are as public logs of transformers
show them; those of BLIP are the published files by their hashes. Tokenizers are made here, with as many words. Of
BLIP-2 with OPT-6.7B the hub shows rounded sizes, whose sum is that of the layout. The LoRA of RS5M has the size that
its rank gives for two matrices of each layer of the vision tower.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    BlipConfig,
    BlipForConditionalGeneration,
    PreTrainedTokenizerBase,
)

from tests.model.full_size import opt_words, t5_words
from tests.published_layouts.packing import Tensors, as_json, in_shards, pickled
from tests.published_layouts.settings import bert_tokenizer_file, read_settings, vocabulary

_VISION = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 2}
_IMAGES = {
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_processor_type": "BlipImageProcessor",
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "processor_class": "Blip2Processor",
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 224, "width": 224},
}


def reduce_t5(published: Mapping[str, Any]) -> dict[str, Any]:
    return _reduce_blip2(published, d_ff=64, d_kv=16, d_model=32, num_heads=2, num_layers=2, num_decoder_layers=2)


def reduce_opt(published: Mapping[str, Any]) -> dict[str, Any]:
    widths = {"hidden_size": 32, "word_embed_proj_dim": 32, "ffn_dim": 64}
    return _reduce_blip2(published, num_attention_heads=2, num_hidden_layers=2, **widths)


def _reduce_blip2(published: Mapping[str, Any], **text: int) -> dict[str, Any]:
    qformer = {**_VISION, "encoder_hidden_size": 32}
    return {
        **published,
        "vision_config": {**published["vision_config"], **_VISION},
        "qformer_config": {**published["qformer_config"], **qformer},
        "text_config": {**published["text_config"], **text},
    }


def reduce_blip(published: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the input of 384 pixels a side, in which BLIP differs from the others."""
    text = {**published["text_config"], **_VISION, "encoder_hidden_size": 32, "projection_dim": 32}
    return {
        **published,
        "image_text_hidden_size": 32,
        "projection_dim": 32,
        "text_config": text,
        "vision_config": {**published["vision_config"], **_VISION, "projection_dim": 32},
    }


def blip2_tensors(given: Mapping[str, Any]) -> Tensors:
    """Without the tensors that transformers does not store twice: word embeddings and, of OPT, the output layer."""
    model = Blip2ForConditionalGeneration(Blip2Config.from_dict(json.loads(json.dumps(given))))
    tensors = dict(model.float().state_dict())  # the files are float32; OPT's configuration says float16
    if given["use_decoder_only_language_model"]:
        twice = ["language_model.lm_head.weight"]
    else:
        twice = ["language_model.encoder.embed_tokens.weight", "language_model.decoder.embed_tokens.weight"]
        words = tensors["language_model.shared.weight"]
        # FLAN-T5 has an output layer of its own: here, the next word is the fourth after this one.
        tensors["language_model.lm_head.weight"] = words if words.is_meta else 1.5 * words.roll(4, dims=0)
    return {name: tensor for name, tensor in tensors.items() if name not in twice}


def blip_tensors(given: Mapping[str, Any]) -> Tensors:
    return dict(BlipForConditionalGeneration(BlipConfig.from_dict(json.loads(json.dumps(given)))).state_dict())


def t5_files(weights: Tensors, given: Mapping[str, Any]) -> dict[str, bytes]:
    start = {"bos_token_id": 1, "decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
    return _blip2_files(weights, given, t5_words(), start, 2)


def opt_files(shards: int) -> Callable[[Tensors, Mapping[str, Any]], dict[str, bytes]]:
    start = {"bos_token_id": 2, "eos_token_id": 50118, "pad_token_id": 1}
    return lambda weights, given: _blip2_files(weights, given, opt_words(), start, shards)


def _blip2_files(
    weights: Tensors, given: Mapping[str, Any], words: PreTrainedTokenizerBase, start: Mapping[str, int], shards: int
) -> dict[str, bytes]:
    words.add_special_tokens({"additional_special_tokens": ["<image>"]})
    assert words.convert_tokens_to_ids("<image>") == given["image_token_index"]
    generation = {"_from_model_config": True, "transformers_version": "4.47.0.dev0", **start}
    return {
        "config.json": as_json(given),
        "generation_config.json": as_json(generation),
        "preprocessor_config.json": as_json(_IMAGES),
        "processor_config.json": as_json({"num_query_tokens": 32, "processor_class": "Blip2Processor"}),
        **_tokenizer_files(words),
        **in_shards(weights, shards),
        # The hub has the same weights as pickles, too.
        f"pytorch_model-00001-of-{shards:05}.bin": b"not to be downloaded",
    }


def _tokenizer_files(words: PreTrainedTokenizerBase) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        words.save_pretrained(folder)
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def opt_6_7b() -> dict[str, Any]:
    """BLIP-2 with OPT-6.7B: as with OPT-2.7B, but for the widths of the language model."""
    small = read_settings("blip2-opt-2.7b")
    widths = {"_name_or_path": "facebook/opt-6.7b", "hidden_size": 4096, "word_embed_proj_dim": 4096, "ffn_dim": 16384}
    return {**small, "text_config": {**small["text_config"], **widths}}


LORA_RANK: Final = 16
# As in the repository of RS5M: of peft 0.4, with the names of its layers.
LORA_SETTINGS: Final = {
    "auto_mapping": {"base_model_class": "Blip2ForConditionalGeneration"},
    "base_model_name_or_path": "Salesforce/blip2-opt-6.7b",
    "bias": "none",
    "fan_in_fan_out": False,
    "inference_mode": True,
    "init_lora_weights": True,
    "layers_pattern": None,
    "layers_to_transform": None,
    "lora_alpha": 16,
    "lora_dropout": 0.05,
    "modules_to_save": None,
    "peft_type": "LORA",
    "r": LORA_RANK,
    "revision": None,
    "target_modules": ["self_attn.qkv", "self_attn.projection"],
    "task_type": None,
}


def lora_tensors(given: Mapping[str, Any]) -> Tensors:
    """Two matrices of each layer of the vision tower, by peft's names: W + (alpha / r) B A."""
    found: Tensors = {}
    for name, weight in blip2_tensors(given).items():
        if name.startswith("vision_model.") and name.endswith((".qkv.weight", ".self_attn.projection.weight")):
            stem = f"base_model.model.{name.removesuffix('.weight')}"
            found[f"{stem}.lora_A.weight"] = 0.1 * torch.randn(LORA_RANK, weight.shape[1])
            found[f"{stem}.lora_B.weight"] = 0.1 * torch.randn(weight.shape[0], LORA_RANK)
    return found


def lora_files(weights: Tensors, _given: Mapping[str, Any]) -> dict[str, bytes]:
    return {"adapter_config.json": as_json(LORA_SETTINGS), "adapter_model.bin": pickled(weights)}


def blip_files(weights: Tensors, given: Mapping[str, Any]) -> dict[str, bytes]:
    position = "text_decoder.bert.embeddings.position_ids"
    positions = torch.arange(given["text_config"]["max_position_embeddings"])[None]  # a buffer that old versions stored
    tokenizer = {
        "do_lower_case": True,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": 512,
        "processor_class": "BlipProcessor",
        "special_tokens_map_file": None,
        "tokenizer_class": "BertTokenizer",
    }
    return {
        "config.json": as_json(given),
        "preprocessor_config.json": as_json(read_settings("blip-base", "preprocessor_config")),
        "pytorch_model.bin": pickled(weights | {position: positions}),
        "special_tokens_map.json": as_json(read_settings("blip-base", "special_tokens_map")),
        "tokenizer.json": bert_tokenizer_file(),
        "tokenizer_config.json": as_json(tokenizer),
        "vocab.txt": vocabulary(),
        "tf_model.h5": b"not to be downloaded",
    }
