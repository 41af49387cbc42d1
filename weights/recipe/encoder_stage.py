"""The caption encoder: a small BERT trained to predict masked words of captions."""

from __future__ import annotations

import copy
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional
from transformers import BertConfig, BertForMaskedLM

from recipe import data
from recipe.common import Settings, publishing
from recipe.loop import Schedule, run
from recipe.optimiser import MuonAdamW
from recipe.vocab import load

PAD, CLS, SEP, MASK = 0, 2, 3, 4


@dataclass(frozen=True)
class Plan:
    """One training run of the caption encoder."""

    name: str = "caption-encoder"
    epochs: int = 5
    rate: float = 2e-3
    batch: int = 128
    limit: float = 0.0


def create(vocabulary: int, seed: int) -> BertForMaskedLM:
    torch.manual_seed(seed)
    return BertForMaskedLM(
        BertConfig(
            vocab_size=vocabulary,
            hidden_size=192,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=512,
            max_position_embeddings=64,
            hidden_dropout_prob=0.05,
            attention_probs_dropout_prob=0.05,
            pad_token_id=PAD,
        )
    )


def _masked(ids: torch.Tensor, vocabulary: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Select 20 % of the words: 80 % of these are masked, 10 % replaced, 10 % unchanged (Devlin et al. 2019)."""
    chosen = (torch.rand(ids.shape, generator=generator) < 0.2) & (ids > MASK)
    how = torch.rand(ids.shape, generator=generator)
    other = torch.randint(MASK + 1, vocabulary, ids.shape, generator=generator)
    given = torch.where(chosen & (how < 0.8), torch.full_like(ids, MASK), ids)
    given = torch.where(chosen & (how >= 0.9), other, given)
    return given, torch.where(chosen, ids, torch.full_like(ids, -100))


def train(settings: Settings, plan: Plan) -> BertForMaskedLM:
    tokenizer = load(settings.work / "tokenizers" / "caption_encoder")
    rows = tokenizer(data.sentences(settings), truncation=True, max_length=48)["input_ids"]
    held, rows = rows[::50], [row for i, row in enumerate(rows) if i % 50]
    model = create(len(tokenizer), settings.seed).to(settings.device)
    optimiser = MuonAdamW(model, decay=0.05, plain=("embeddings", "predictions"))

    def loss_of(batch: list[list[int]], generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        length = max(map(len, batch))
        ids = torch.tensor([row + [PAD] * (length - len(row)) for row in batch])
        given, wanted = (x.to(settings.device) for x in _masked(ids, len(tokenizer), generator))
        logits = model(input_ids=given, attention_mask=(given != PAD).long()).logits.float()
        known = wanted != -100
        return functional.cross_entropy(logits[known], wanted[known]), (logits.argmax(-1) == wanted)[known]

    def draw(generator: torch.Generator) -> list[list[list[int]]]:
        # Sentences of similar length share a batch; batches are in random order.
        order = sorted(torch.randperm(len(rows), generator=generator).tolist(), key=lambda i: len(rows[i]))
        batches = [order[i : i + plan.batch] for i in range(0, len(order), plan.batch)]
        return [[rows[i] for i in batches[b]] for b in torch.randperm(len(batches), generator=generator).tolist()]

    @torch.no_grad()
    def measure(_last: bool) -> dict[str, float]:
        model.eval()
        right = torch.cat([loss_of(held[i : i + 256], settings.generator(18))[1] for i in range(0, len(held), 256)])
        return {"held_out_words_right": round(100 * float(right.float().mean()), 2)}

    run(
        settings,
        Schedule(plan.name, plan.epochs, plan.rate, plan.limit, stream=17),
        model,
        optimiser,
        draw,
        lambda batch, _progress, generator: {"loss": loss_of(batch, generator)[0]},
        measure,
    )
    return model


def build(settings: Settings, plan: Plan) -> None:
    """Train and write ``caption_encoder/``: the encoder without the head that predicts words."""
    model = train(settings, plan)
    target: Path = settings.out / "caption_encoder"
    with publishing(target, "config.json") as fresh:
        encoder = copy.deepcopy(model.bert).cpu().half()
        if not all(torch.isfinite(value).all() for value in encoder.parameters()):
            raise ValueError("the caption encoder has weights that are not finite in float16")
        encoder.save_pretrained(fresh)
        shutil.copytree(settings.work / "tokenizers" / "caption_encoder", fresh, dirs_exist_ok=True)
