"""Real architectures in the layout that the hub gives, with random weights and vocabularies made here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from transformers import (
    BertConfig,
    BertForPreTraining,
    BertTokenizer,
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    GPT2Tokenizer,
    OPTConfig,
    T5Config,
    T5Tokenizer,
)

from bimors_cli.model.clip import build_clip

WORDS = ["a", "photo", "of", "forest", "river", "road", "green", "many", "buildings", "next", "to", "and", "the", "."]


def flan_t5_xl(**smaller: Any) -> T5Config:
    widths = {"d_model": 2048, "d_kv": 64, "d_ff": 5120, "num_layers": 24, "num_heads": 32}
    return T5Config(
        vocab_size=32128,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
        pad_token_id=0,
        **widths | smaller,
    )


def opt_2_7b(**smaller: Any) -> OPTConfig:
    widths = {"hidden_size": 2560, "word_embed_proj_dim": 2560, "ffn_dim": 10240}
    layers = {"num_hidden_layers": 32, "num_attention_heads": 32}
    return OPTConfig(vocab_size=50304, bos_token_id=2, eos_token_id=50118, pad_token_id=1, **widths | layers | smaller)


def blip2(text: T5Config | OPTConfig, layers: int | None = None) -> Blip2Config:
    """BLIP-2 with the ViT-g/14 and the Q-Former of the published ones; their depths too, unless ``layers`` says."""
    depth = {} if layers is None else {"num_hidden_layers": layers}
    return Blip2Config(
        vision_config=Blip2VisionConfig(**depth, initializer_range=0.02),  # of 1e-10 it would see nothing,
        qformer_config=Blip2QFormerConfig(**depth),
        text_config=text,
        image_token_index=32100 if text.is_encoder_decoder else 50265,
    )


def blip_base(**smaller: Any) -> BlipConfig:
    tokens = {"bos_token_id": 30522, "sep_token_id": 102, "eos_token_id": 2, "pad_token_id": 0}
    return BlipConfig(
        text_config={"vocab_size": 30524, **tokens, **smaller},
        vision_config={"image_size": 384, **smaller},
    )


def write_clip(folder: Path, name: str, dtype: torch.dtype = torch.float16) -> None:
    folder.mkdir(parents=True)
    config = open_clip.get_model_config(name)
    cut = {"interpolation": "bicubic", "resize_mode": "shortest"}
    means = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": means | cut}))
    state = build_clip(config).state_dict()
    save_file(
        {key: value.to(dtype).contiguous() for key, value in state.items()}, folder / "open_clip_model.safetensors"
    )


def write_bert(folder: Path, dtype: torch.dtype = torch.float16) -> None:
    """As the hub has it: with the heads of its training."""
    BertForPreTraining(BertConfig()).to(dtype).save_pretrained(folder)
    bert_words().save_pretrained(folder)


def write_blip2(folder: Path, config: Blip2Config, dtype: torch.dtype = torch.bfloat16) -> None:
    model = made(Blip2ForConditionalGeneration, config, dtype)
    if config.text_config.is_encoder_decoder:
        # The next word is the fourth after this one: some words for sure. Flan-T5 has an output layer of its own.
        words = model.language_model.shared.weight
        model.language_model.lm_head.weight = torch.nn.Parameter(words.roll(4, dims=0))
        model.language_model.lm_head.weight.data.mul_(1.5)
    model.save_pretrained(folder, max_shard_size="300MB")
    if config.text_config.is_encoder_decoder:  # transformers writes here that it ties them; the hub has the truth
        told = json.loads((folder / "config.json").read_text())
        told["text_config"]["tie_word_embeddings"] = False
        (folder / "config.json").write_text(json.dumps(told))
    words = t5_words() if config.text_config.is_encoder_decoder else opt_words()
    pictures = BlipImageProcessor(size={"height": 224, "width": 224})
    Blip2Processor(pictures, words, num_query_tokens=config.num_query_tokens).save_pretrained(folder)
    if config.text_config.is_encoder_decoder:  # older folders have the picture's part in a file of its own
        (folder / "processor_config.json").unlink()
        pictures.save_pretrained(folder)


def write_blip(folder: Path, config: BlipConfig, dtype: torch.dtype = torch.float16) -> None:
    made(BlipForConditionalGeneration, config, dtype).save_pretrained(folder)
    BlipProcessor(BlipImageProcessor(size={"height": 384, "width": 384}), bert_words()).save_pretrained(folder)


def made(kind: Callable[[Any], Any], config: Any, dtype: torch.dtype) -> Any:
    torch.set_default_dtype(dtype)
    try:
        return kind(config)
    finally:
        torch.set_default_dtype(torch.float32)


def bert_words() -> BertTokenizer:
    special = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
    words = [special.get(i, f"[unused{i}]" if i < 999 else f"word{i}") for i in range(30522)]
    letters = [chr(c) for c in range(ord("!"), ord("~") + 1) if not chr(c).isupper()]
    for i, word in enumerate([*WORDS, *letters, *(f"##{letter}" for letter in letters)]):
        if word not in words:
            words[1000 + i] = word
    return BertTokenizer({word: i for i, word in enumerate(words)})


def t5_words() -> T5Tokenizer:
    words = ["<pad>", "</s>", "<unk>", "▁", *(f"▁{word}" for word in WORDS)]
    words += [f"▁word{i}" for i in range(len(words), 32000)]
    extra = [f"<extra_id_{i}>" for i in range(99, -1, -1)]
    return T5Tokenizer([(word, 0.0 if i < 3 else -1.0 - i / 1e4) for i, word in enumerate([*words, *extra])])


def opt_words() -> GPT2Tokenizer:
    words = ["<s>", "<pad>", "</s>", "<unk>", *(f"Ġ{word}" for word in WORDS)]
    words += [f"Ġword{i}" for i in range(len(words), 50265)]
    words[50118] = "Ċ"
    start = {"bos_token": "</s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "</s>"}
    return GPT2Tokenizer({word: i for i, word in enumerate(words)}, [], **start)
