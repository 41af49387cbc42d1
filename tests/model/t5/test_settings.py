"""Which captioners have the search of our own, and with what settings."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import GenerationConfig

from bimors_cli.model.t5.settings import BeamSettings, read_settings


def captioner(dtype: torch.dtype = torch.float32, model_type: str = "t5", words: int = 100, **generation: Any) -> Any:
    """What `read_settings` reads of a captioner."""
    ids = {"bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0, "decoder_start_token_id": 0}
    text = SimpleNamespace(model_type=model_type, vocab_size=words, bos_token_id=1)
    return SimpleNamespace(
        config=SimpleNamespace(text_config=text, image_token_index=2),
        dtype=dtype,
        language_model=SimpleNamespace(generation_config=GenerationConfig(**{**ids, **generation})),
    )


def test_settings_of_a_flan_t5() -> None:
    found = read_settings(captioner(), 4, 15)
    assert found == BeamSettings(4, 15, 0, 1.0, True, start=0, fill=1, ends=(1,))
    assert found.candidates == 8


def test_settings_that_are_computed() -> None:
    found = read_settings(captioner(eos_token_id=[1, 5], length_penalty=0.5, min_length=9, pad_token_id=3), 2, 10)
    assert found == BeamSettings(2, 10, 8, 0.5, True, start=0, fill=3, ends=(1, 5))
    assert found.candidates == 6


def test_settings_of_the_captioner_replace_those_of_the_model() -> None:
    other: dict[str, Any] = {"num_beams": 7, "max_length": 99, "early_stopping": "never"}
    assert read_settings(captioner(**other), 4, 15) == read_settings(captioner(), 4, 15)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"repetition_penalty": 1.5}, "generation setting repetition_penalty"),
        ({"no_repeat_ngram_size": 3}, "generation setting no_repeat_ngram_size"),
        ({"forced_bos_token_id": 5}, "generation setting forced_bos_token_id"),
        ({"do_sample": True}, "generation setting do_sample"),
        ({"suppress_tokens": [4]}, "generation setting suppress_tokens"),
        ({"a_setting_of_a_later_version": 1}, "generation setting a_setting_of_a_later_version"),
        ({"eos_token_id": None}, "no end token"),
        ({"decoder_start_token_id": None}, "no start token"),
        ({"model_type": "opt"}, "the language model is opt"),
        ({"dtype": torch.float16}, "the precision is torch.float16"),
        ({"words": 7}, "a vocabulary of 7 words"),
    ],
)
def test_others_need_generate(changes: dict[str, Any], reason: str) -> None:
    assert read_settings(captioner(**changes), 4, 15) == reason
