"""Captions of every kind of captioner: its own words alone, as many as asked for, whatever else is in the batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    OPTConfig,
    T5Config,
)

from bimors_cli.errors import BundleError
from bimors_cli.model.captioner import Captioner
from bimors_cli.model.preprocessing import prepare
from tests.bundles import tokenizer

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
PICTURE = {"image_size": 32, "patch_size": 8}


def blip2(words: Any, text: Any) -> Any:
    return Blip2ForConditionalGeneration(
        Blip2Config(
            vision_config=Blip2VisionConfig(**SMALL, **PICTURE, initializer_range=1.0),
            qformer_config=Blip2QFormerConfig(**SMALL, encoder_hidden_size=32, vocab_size=8),
            text_config=text,
            num_query_tokens=4,
            image_token_index=words.convert_tokens_to_ids("<image>"),
        )
    )


def opt(words: Any) -> Any:
    ids = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    sizes = {"hidden_size": 32, "word_embed_proj_dim": 32, "ffn_dim": 64, "num_hidden_layers": 2}
    return blip2(
        words, OPTConfig(vocab_size=len(words), num_attention_heads=4, max_position_embeddings=64, **ids, **sizes)
    )


def t5(words: Any) -> Any:
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
    ids = {"decoder_start_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    return blip2(words, T5Config(vocab_size=len(words), **sizes, **ids))


def blip(words: Any) -> Any:
    # As the published one: its start token is beyond the tokenizer's vocabulary.
    tokens = {"bos_token_id": len(words), "sep_token_id": words.eos_token_id, "eos_token_id": 1, "pad_token_id": 0}
    text = {"vocab_size": len(words) + 2, "encoder_hidden_size": 32, **tokens, **SMALL}
    return BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config={**SMALL, **PICTURE}))


KINDS = {"t5": t5, "opt": opt, "blip": blip}


def saved(kind: str, folder: Path, *, ends: bool = False) -> Path:
    """``ends``: the end token is what comes first."""
    torch.manual_seed(3)
    words = tokenizer("<start>", "<end>")
    model = KINDS[kind](words)
    if ends and kind == "blip":
        model.text_decoder.cls.predictions.bias.data[words.eos_token_id] += 1e4
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    BlipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_caption_is_what_the_model_says_after_its_prompt(kind: str, tmp_path: Path) -> None:
    captioner = Captioner.load(saved(kind, tmp_path))
    pictures = torch.randint(0, 256, (3, 3, 40, 40), dtype=torch.uint8)
    captions = captioner.caption(pictures)
    ids = captioner.model.generate(
        pixel_values=prepare(pictures, captioner.preprocessing, torch.float32),
        num_beams=captioner.num_beams,
        max_new_tokens=captioner.max_new_tokens,
        early_stopping=True,
    )
    prompt = captioner.prompt_length
    assert prompt == {"t5": 1, "opt": 5, "blip": 1}[kind]
    assert prompt < ids.shape[1] <= prompt + captioner.max_new_tokens
    starts = {"t5": 0, "opt": captioner.tokenizer.bos_token_id, "blip": len(captioner.tokenizer)}
    assert set(ids[:, prompt - 1].tolist()) == {starts[kind]}
    assert captions == [c.strip() for c in captioner.tokenizer.batch_decode(ids[:, prompt:], skip_special_tokens=True)]
    assert all("<image>" not in caption for caption in captions)
    assert [captioner.caption(picture[None])[0] for picture in pictures] == captions


@pytest.mark.parametrize("kind", KINDS)
def test_files_that_say_shared_weights_twice(kind: str, tmp_path: Path) -> None:
    """As the hub's do: the output layer beside the words that it shares, and counters of positions."""
    before = Captioner.load(saved(kind, tmp_path)).model.state_dict()
    whole = {name: tensor.clone() for name, tensor in before.items()}
    assert len(whole) > len(load_file(tmp_path / "model.safetensors"))
    whole["text_decoder.bert.embeddings.position_ids"] = torch.arange(9)
    save_file(whole, tmp_path / "model.safetensors", {"format": "pt"})
    after = Captioner.load(tmp_path).model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_an_empty_caption_is_legal(tmp_path: Path) -> None:
    captioner = Captioner.load(saved("blip", tmp_path, ends=True))
    assert captioner.caption(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)) == ["", ""]


@pytest.mark.parametrize("kind", ["opt", "blip"])
def test_an_end_token_ends_the_caption(kind: str, tmp_path: Path) -> None:
    captioner = Captioner.load(saved(kind, tmp_path))
    model = captioner.model
    inner = model.text_decoder if kind == "blip" else model.language_model
    # Whatever it would say first is now its end token.
    said = model.generate(pixel_values=torch.zeros(1, 3, 32, 32), num_beams=1, max_new_tokens=1, do_sample=False)[
        0, captioner.prompt_length
    ]
    if kind == "blip":
        model.config.text_config.sep_token_id = int(said)
    else:
        inner.generation_config.eos_token_id = int(said)
    ids = model.generate(pixel_values=torch.zeros(1, 3, 32, 32), num_beams=1, max_new_tokens=9, do_sample=False)
    assert ids.shape[1] == captioner.prompt_length + 1


@pytest.mark.parametrize(("change", "said"), [("image_token_index", "image_token_index"), ("bos", "bos_token_id")])
def test_a_captioner_that_does_not_know_how_to_begin(change: str, said: str, tmp_path: Path) -> None:
    folder = saved("opt", tmp_path)
    path = folder / "config.json"
    content = json.loads(path.read_text())
    if change == "bos":
        content["text_config"]["bos_token_id"] = None
    else:
        del content[change]
    path.write_text(json.dumps(content))
    with pytest.raises(BundleError, match=said):
        Captioner.load(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_whose_numbers_are_lost_has_no_caption(kind: str, tmp_path: Path) -> None:
    captioner = Captioner.load(saved(kind, tmp_path))
    pictures = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    first, _, last = captioner.caption(pictures)

    def overflow(_module: Any, _inputs: Any, output: Any) -> None:
        output.last_hidden_state[1] = torch.nan

    captioner.model.vision_model.register_forward_hook(overflow)
    assert captioner.caption(pictures) == [first, None, last]
