"""BERT, the caption encoder, as of 2018: with the heads of its training, and norms named gamma and beta.

What is known: the size of ``model.safetensors`` follows from names, shapes and dtypes to the byte; ``config.json`` is
the published one by its hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from transformers import BertConfig, BertForPreTraining

from tests.published_layouts.packing import Tensors, as_json, one_file
from tests.published_layouts.settings import bert_tokenizer_file, read_settings, vocabulary

SETTINGS: Final = read_settings("bert-base-uncased")


def reduce(published: Mapping[str, Any]) -> dict[str, Any]:
    return {**published, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2, "num_hidden_layers": 2}


def tensors(settings: Mapping[str, Any]) -> Tensors:
    state = BertForPreTraining(BertConfig.from_dict(dict(settings))).state_dict()
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    return {_renamed(name, old): tensor for name, tensor in state.items() if ".decoder." not in name}


def _renamed(name: str, endings: Mapping[str, str]) -> str:
    for new, old in endings.items():
        if name.endswith(new):
            return name.removesuffix(new) + old
    return name


def files(weights: Tensors, settings: Mapping[str, Any]) -> dict[str, bytes]:
    return {
        "config.json": as_json(settings),
        "model.safetensors": one_file(weights),
        "tokenizer.json": bert_tokenizer_file(),
        "tokenizer_config.json": b'{"do_lower_case": true, "model_max_length": 512}',
        "vocab.txt": vocabulary(),
    }
