"""Florence-2 base in the layout of transformers, in half precision.

What is known: the size that the hub shows, 463 MB, is that of these tensors; sizes and depths are those of the model's
paper and of its first publication. The files were not read: the tokenizer is made here, with as many words.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from transformers import Florence2Config, Florence2ForConditionalGeneration, RobertaTokenizer

from tests.published_layouts.packing import Tensors, as_json, one_file

WORDS: Final = 51289
_TEXT = {
    "activation_function": "gelu",
    "bos_token_id": 0,
    "d_model": 768,
    "decoder_attention_heads": 12,
    "decoder_ffn_dim": 3072,
    "decoder_layers": 6,
    "decoder_start_token_id": 2,
    "encoder_attention_heads": 12,
    "encoder_ffn_dim": 3072,
    "encoder_layers": 6,
    "eos_token_id": 2,
    "forced_bos_token_id": 0,
    "forced_eos_token_id": 2,
    "is_encoder_decoder": True,
    "max_position_embeddings": 1024,
    "model_type": "bart",
    "pad_token_id": 1,
    "vocab_size": WORDS,
}
_VISION = {
    "depths": [1, 1, 9, 1],
    "embed_dim": [128, 256, 512, 1024],
    "max_position_embeddings": 50,
    "max_temporal_embeddings": 100,
    "model_type": "florence_vision",
    "num_groups": [4, 8, 16, 32],
    "num_heads": [4, 8, 16, 32],
    "patch_padding": [3, 1, 1, 1],
    "patch_prenorm": [False, True, True, True],
    "patch_size": [7, 3, 3, 3],
    "patch_stride": [4, 2, 2, 2],
    "projection_dim": 768,
    "window_size": 12,
}
SETTINGS: Final[dict[str, Any]] = {
    "architectures": ["Florence2ForConditionalGeneration"],
    "bos_token_id": 0,
    "eos_token_id": 2,
    "image_token_id": WORDS - 1,
    "is_encoder_decoder": True,
    "model_type": "florence2",
    "pad_token_id": 1,
    "text_config": _TEXT,
    "vision_config": _VISION,
}


def reduce(published: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the input of 768 pixels a side, with a position of the last feature map for 32 of them."""
    layers = {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "d_model": 32}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    vision = {
        "depths": [1, 1, 1, 1],
        "embed_dim": [8, 8, 16, 32],
        "num_heads": [1, 1, 2, 2],
        "num_groups": [1, 1, 2, 2],
    }
    return {
        **published,
        "text_config": {**published["text_config"], **layers, **heads},
        "vision_config": {**published["vision_config"], **vision, "projection_dim": 32},
    }


def tensors(settings: Mapping[str, Any]) -> Tensors:
    """Words are stored once, for three matrices."""
    state = Florence2ForConditionalGeneration(Florence2Config.from_dict(dict(settings))).half().state_dict()
    twice = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")
    return {name: tensor for name, tensor in state.items() if not name.endswith(twice)}


def files(weights: Tensors, settings: Mapping[str, Any]) -> dict[str, bytes]:
    start = {"bos_token_id": 0, "decoder_start_token_id": 2, "eos_token_id": 2, "pad_token_id": 1}
    more = {"forced_bos_token_id": 0, "forced_eos_token_id": 2, "no_repeat_ngram_size": 3, "num_beams": 3}
    return {
        "config.json": as_json(settings),
        "generation_config.json": as_json({**start, **more, "transformers_version": "4.56.0"}),
        "model.safetensors": one_file(weights),
        "preprocessor_config.json": as_json(
            {
                "do_center_crop": False,
                "do_normalize": True,
                "do_rescale": True,
                "do_resize": True,
                "image_mean": [0.485, 0.456, 0.406],
                "image_processor_type": "CLIPImageProcessor",
                "image_seq_length": 577,
                "image_std": [0.229, 0.224, 0.225],
                "processor_class": "Florence2Processor",
                "resample": 3,
                "size": {"height": 768, "width": 768},
            }
        ),
        **_words(),
    }


@cache
def _words() -> dict[str, bytes]:
    """A tokenizer of BART with as many words, the last of them the placeholder of the image."""
    start = ["<s>", "<pad>", "</s>", "<unk>"]
    letters = sorted(_byte_letters())
    known = [*start, "<mask>", *letters]
    known += [f"word{i}" for i in range(len(known), WORDS - 1)]
    words = RobertaTokenizer({word: i for i, word in enumerate(known)}, [])
    words.add_special_tokens({"additional_special_tokens": ["<image>"]})
    assert words.convert_tokens_to_ids("<image>") == WORDS - 1
    with tempfile.TemporaryDirectory() as folder:
        words.save_pretrained(folder)
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def _byte_letters() -> list[str]:
    from tokenizers.pre_tokenizers import ByteLevel

    letters: list[str] = ByteLevel.alphabet()
    return letters
