"""T5 models of a few weights, whose captions end early: their vocabulary is small."""

from __future__ import annotations

from typing import Any

import torch
from transformers import T5Config, T5ForConditionalGeneration

from bimors_cli.model.fusion import fuse_t5
from bimors_cli.model.t5.settings import BeamSettings


def small_t5(seed: int = 0, *, words: int = 24, **changes: Any) -> Any:
    """A T5 with random weights; its start token is 0, its end token 1."""
    torch.manual_seed(seed)
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 3}
    ids = {"decoder_start_token_id": 0, "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0}
    model = T5ForConditionalGeneration(T5Config(vocab_size=words, **{**sizes, **ids, **changes}))
    # Sentences that depend on the picture and on the words so far.
    for name, weight in model.named_parameters():
        if "layer_norm" not in name:
            weight.data.mul_(3 if "relative_attention_bias" in name else 2)
    model.lm_head.weight.data[1].mul_(2)  # sentences of all lengths
    fuse_t5(model)
    return model.eval().requires_grad_(False)


def settings(beams: int = 4, steps: int = 8, **changes: Any) -> BeamSettings:
    """Settings of a search with such a model."""
    usual = {"shortest": 0, "length_penalty": 1.0, "early_stopping": True, "start": 0, "fill": 1, "ends": (1,)}
    return BeamSettings(beams, steps, **{**usual, **changes})


def generated(model: Any, inputs: torch.Tensor, wanted: BeamSettings) -> Any:
    """What transformers generates for the encoder's inputs [B, S, D]: ``sequences`` and ``sequences_scores``."""
    greedy = wanted.beams == 1
    options: dict[str, Any] = {} if greedy else {"length_penalty": wanted.length_penalty}
    return model.generate(
        inputs_embeds=inputs,
        num_beams=wanted.beams,
        max_new_tokens=wanted.steps,
        min_new_tokens=wanted.shortest,
        eos_token_id=list(wanted.ends),
        return_dict_in_generate=True,
        output_scores=True,
        do_sample=False,
        **options,
        **({} if greedy else {"early_stopping": wanted.early_stopping}),
    )
