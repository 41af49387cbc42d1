"""A step of prompt training on cached evidence, beside the same step with whole prompts of 77 tokens. Side by side."""

from __future__ import annotations

import time
from collections.abc import Callable

import open_clip
import pytest
import torch
from torch import nn
from torch.nn import functional

from bimors_cli.model.heads.bimors import PromptLearner, PromptLearnerWidths
from bimors_cli.model.text_encoder import NameTokens, TextTower

CLASSES, BATCH, TOKENS, WIDTH, START = 30, 4, 4, 512, 49406
STEPS = 2


def whole_prompts(text: nn.Module, context: torch.Tensor, names: NameTokens) -> torch.Tensor:
    """Every prompt of every picture at its full length, as the published code encodes them: [B, K, E]."""
    tower = TextTower(text, START)
    batch, classes = len(context), len(names)
    length = tower.context_length
    ids = torch.zeros(classes, length - TOKENS - 1, dtype=torch.int64)
    ids[:, : names.ids.shape[1]] = names.ids
    embed = tower.token_embedding
    start = embed(torch.full((batch, classes, 1), START))
    middle = context[:, None].expand(-1, classes, -1, -1)
    tail = embed(ids).expand(batch, -1, -1, -1)
    x = torch.cat((start, middle, tail), dim=2).flatten(0, 1) + tower.positional_embedding
    mask = torch.full((length, length), float("-inf")).triu(1)
    for block in tower.blocks:
        x = block(x, attn_mask=mask)
    end = names.end.repeat(batch) + TOKENS + 1
    pooled = tower.ln_final(x)[torch.arange(len(x)), end]
    return functional.normalize((pooled @ tower.text_projection).view(batch, classes, -1), dim=-1)


@pytest.mark.slow
def test_the_shared_prefix_is_eight_times_faster_than_whole_prompts() -> None:
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-B-16", pretrained=None).requires_grad_(False)
    tower = TextTower(model, START)
    lengths = torch.randint(1, 4, (CLASSES,))  # names of one to three tokens, then the full stop and the end
    ids = torch.randint(1000, 40_000, (CLASSES, int(lengths.max()) + 2))
    names = NameTokens(ids, lengths + 1)
    learner = PromptLearner(PromptLearnerWidths(TOKENS, WIDTH, 768, 768), 0.02 * torch.randn(TOKENS, WIDTH))
    nn.init.normal_(learner.attention.out_proj.weight, std=0.02)
    image = functional.normalize(torch.randn(BATCH, 512), dim=-1)
    patches, captions = torch.randn(BATCH, 197, 768), torch.randn(BATCH, 768)
    target = torch.arange(BATCH)

    def step(encode: Callable[[torch.Tensor], torch.Tensor]) -> tuple[float, torch.Tensor]:
        learner.zero_grad()
        clock = time.perf_counter()
        text = encode(learner(patches, captions))
        loss = functional.cross_entropy(100 * torch.einsum("be,bke->bk", image, text), target)
        loss.backward()
        assert learner.context.grad is not None
        return time.perf_counter() - clock, learner.context.grad.clone()

    ways = (lambda context: tower(context, names), lambda context: whole_prompts(model, context, names))
    seconds = [0.0, 0.0]
    for _ in range(STEPS):
        gradients = []
        for i, way in enumerate(ways):
            spent, gradient = step(way)
            seconds[i] += spent
            gradients.append(gradient)
        assert torch.allclose(gradients[0], gradients[1], rtol=1e-3, atol=1e-6)
    print(f"\nshared prefix {seconds[0] / STEPS:.2f} s a step, whole prompts {seconds[1] / STEPS:.2f} s")
    assert seconds[1] / seconds[0] >= 8
