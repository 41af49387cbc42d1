"""Our prompt learner and shared-prefix text path against the published implementation's answer.

The fixture lists tensors that anyone can rebuild: tensor i is ``default_rng([seed, i]).standard_normal(shape)`` as
float32, shaped by its kind in float32 (to the last bit: weights are *multiplied* by the rounded reciprocal of the root,
and the context is summed before it is widened). ``BIMORS_PARITY_FIXTURE`` names another fixture of the same form by its
stem.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from open_clip.transformer import QuickGELU, TextTransformer
from torch.nn import functional

from bimors_cli.model.heads.bimors import PromptLearner, PromptLearnerWidths
from bimors_cli.model.text_encoder import NameTokens, TextTower

GIVEN = Path(os.environ.get("BIMORS_PARITY_FIXTURE", "official_head"))
STEM = GIVEN if GIVEN.with_suffix(".json").exists() else Path(__file__).parents[1] / "data" / GIVEN

LEARNER_NAMES = {
    "meta_net.linear1.": "meta_net.0.",
    "meta_net.linear2.": "meta_net.2.",
    "cross_attn.cross_attend_blocks.norm.": "context_norm.",
    "cross_attn.cross_attend_blocks.norm_context.": "evidence_norm.",
    "cross_attn.cross_attend_blocks.fn.": "attention.",
    "token_gen.linear.": "caption_projection.",
}


def rebuilt(spec: dict[str, Any], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    shaped = {
        "norm_weight": lambda a: 1 + 0.1 * a,
        "bias": lambda a: 0.02 * a,
        "weight": lambda a: a * np.float32(a.shape[-1] ** -0.5),
        "embed": lambda a: 0.02 * a,
        "input": lambda a: a,
    }
    tensors = {}
    for t in spec["tensors"]:
        values = np.random.default_rng([spec["seed"], t["index"]]).standard_normal(t["shape"]).astype(np.float32)
        tensors[t["name"]] = torch.from_numpy(shaped[t["kind"]](values)).to(dtype)
    return tensors


def build(
    spec: dict[str, Any], tensors: dict[str, torch.Tensor], token_ids: torch.Tensor, dtype: torch.dtype
) -> tuple[PromptLearner, TextTower]:
    text_state = {
        name: value
        for name, value in tensors.items()
        if name.startswith(("transformer.", "ln_final.")) or name in ("positional_embedding", "text_projection")
    }
    text_state["token_embedding.weight"] = tensors["token_embedding.weight"]
    vocabulary, width = tensors["token_embedding.weight"].shape
    layers = 1 + max(int(name.split(".")[2]) for name in tensors if name.startswith("transformer.resblocks."))
    text = TextTransformer(
        context_length=len(tensors["positional_embedding"]),
        vocab_size=vocabulary,
        width=width,
        heads=spec["heads"]["text"],
        layers=layers,
        output_dim=tensors["text_projection"].shape[1],
        act_layer=QuickGELU,
    )
    text.to(dtype).load_state_dict(text_state, strict=True)

    m = spec["n_ctx"]
    words = tensors["token_embedding.weight"][token_ids[0, 1 : 1 + m]]
    context = (words.float() + tensors["ctx_delta"].float()).to(dtype)
    patch = tensors["meta_net.linear1.weight"].shape[1]
    caption = tensors["token_gen.linear.weight"].shape[1]
    learner = PromptLearner(PromptLearnerWidths(m, width, patch, caption)).to(dtype)
    state = {"context": context}
    for name, value in tensors.items():
        for theirs, ours in LEARNER_NAMES.items():
            if name.startswith(theirs):
                state[name.replace(theirs, ours)] = value
    learner.load_state_dict(state, strict=True)
    return learner, TextTower(text, start_id=int(token_ids[0, 0]))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_prompts_text_features_and_logits_equal_the_official_ones(dtype: torch.dtype, tolerance: float) -> None:
    spec = json.loads(STEM.with_suffix(".json").read_text())
    expected = np.load(STEM.with_suffix(".npz"))
    tensors = rebuilt(spec, dtype)
    token_ids = torch.from_numpy(expected["token_ids"])
    learner, tower = build(spec, tensors, token_ids, dtype)

    suffix = token_ids[:, 1 + spec["n_ctx"] :]
    end = suffix.argmax(dim=-1)
    names = NameTokens(suffix, end).part(0, len(suffix))
    with torch.no_grad():
        prompt = learner(tensors["img_embed"], tensors["caption_embedding"].squeeze(1))
        features = tower(prompt, names)
        image = functional.normalize(tensors["image_features"], dim=-1)
        logits = spec["logit_scale"] * torch.einsum("be,bke->bk", image, features)

    for name, ours in (("contextual_prompt", prompt), ("text_features", features), ("logits", logits)):
        worst = np.abs(ours.double().numpy() - expected[name]).max()
        assert worst <= tolerance, f"{name}: {worst:.2e}"
