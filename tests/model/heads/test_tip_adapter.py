"""Tip-Adapter's cache: the equation, its reach over labels, the search, and real features."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from bimors_cli.model.frozen_models import EncoderOutputs
from bimors_cli.model.heads.base import Head, HeadFeatures
from bimors_cli.model.heads.tip_adapter import ALPHAS, BETAS, TipAdapterCache, TipAdapterHead, cache_logits, search

E, N, K = 6, 12, 3
PARTS = (slice(0, 16), slice(16, 20), slice(20, None))  # shots, validation, test of each class


def rows(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(count, E, generator=generator), dim=-1)


def evidence(features: torch.Tensor) -> EncoderOutputs:
    count = len(features)
    return EncoderOutputs(features, torch.zeros(count, 1, 1), ("",) * count, torch.zeros(count, 1))


class Fixed(Head):
    """A head that always says the same."""

    def __init__(self, always: torch.Tensor) -> None:
        self._always = always

    def logits(self, features: HeadFeatures) -> torch.Tensor:
        return self._always[: len(features)]


def test_it_is_the_papers_sum_over_examples() -> None:
    features, keys = rows(4, seed=1).double(), rows(N).double()
    target = torch.arange(N) % K
    got = cache_logits(features, keys, functional.one_hot(target, K).double(), 0.7, 3.0)
    for b in range(4):
        for k in range(K):
            of_class = [float(features[b] @ keys[n]) for n in range(N) if target[n] == k]
            expected = 0.7 * sum(2.718281828459045 ** (-3.0 * (1 - cosine)) for cosine in of_class)
            assert float(got[b, k]) == pytest.approx(expected, rel=1e-12)


def test_an_example_that_is_seen_again_counts_in_full() -> None:
    exact = functional.normalize(rows(N).double(), dim=-1)
    again = cache_logits(exact, exact, torch.eye(N).double(), 1.0, 1e4)
    torch.testing.assert_close(again, torch.eye(N).double())
    torch.testing.assert_close(
        TipAdapterCache.of(5 * rows(N), torch.arange(N) % K, K).keys, rows(N)
    )  # keys are normalised


def test_the_default_alpha_follows_the_scale_of_the_cosines() -> None:
    target = torch.arange(N) % K
    sharp, soft = TipAdapterCache.of(rows(N), target, K), TipAdapterCache.of(rows(N), target, K, scale=10.0)
    torch.testing.assert_close(soft(rows(4)), sharp(rows(4)) / 10)


def test_only_its_keys_are_trained_and_all_of_it_is_saved() -> None:
    cache = TipAdapterCache.of(rows(N), torch.arange(N) % K, K)
    assert {name for name, _ in cache.named_parameters()} == {"keys"}
    assert set(cache.state_dict()) == {"keys", "values", "alpha", "beta"}
    cache(rows(4)).sum().backward()
    assert cache.keys.grad is not None and bool((cache.keys.grad.norm(dim=1) > 0).all())


def test_labels_that_the_cache_does_not_know_keep_the_other_heads_probability() -> None:
    cache = TipAdapterCache.of(rows(N), torch.arange(N) % K, K)
    base = torch.randn(4, 4, generator=torch.Generator().manual_seed(3))
    features = rows(4, seed=1)
    answer = TipAdapterHead(Fixed(base), cache, [[2], [], [0], [1]]).forward(evidence(features))
    torch.testing.assert_close(answer.softmax(dim=1)[:, 1], base.softmax(dim=1)[:, 1])
    # Among its own it says what it says without the other.
    own = TipAdapterHead(Fixed(base[:, [0, 2, 3]]), cache, [[2], [0], [1]]).forward(evidence(features))
    torch.testing.assert_close(answer[:, [0, 2, 3]].softmax(dim=1), own.softmax(dim=1))
    torch.testing.assert_close(own, base[:, [0, 2, 3]] + cache(features)[:, [2, 0, 1]])


def test_a_cache_that_knows_none_of_the_labels_is_silent() -> None:
    base = torch.randn(4, 2, generator=torch.Generator().manual_seed(3))
    head = TipAdapterHead(Fixed(base), TipAdapterCache.of(rows(N), torch.arange(N) % K, K), [[], []])
    assert torch.equal(head.forward(evidence(rows(4))), base)


@pytest.mark.parametrize("seed", range(5))
def test_the_search_never_loses_what_was_right(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    base = 10 * torch.randn(20, K, generator=generator)
    target = torch.randint(K, (20,), generator=generator)
    keys, values = rows(N, seed), functional.one_hot(torch.arange(N) % K, K).float()
    features = rows(20, seed + 100)
    alpha, beta = search(base, features, target, keys, values)
    spread = float(base.std(dim=1).mean())
    assert beta in BETAS and any(alpha == pytest.approx(a * spread) for a in ALPHAS)

    def right(alpha: float, beta: float) -> int:
        return int(((base + cache_logits(features, keys, values, alpha, beta)).argmax(dim=1) == target).sum())

    assert right(alpha, beta) == max(right(a * spread, b) for a in ALPHAS for b in BETAS) >= right(0.0, 1.0)


def test_the_search_silences_a_cache_that_misleads_and_heeds_one_that_knows() -> None:
    target = torch.arange(N) % K
    base = 5 * functional.one_hot(target, K).float()
    wrong = functional.one_hot((target + 1) % K, K).float()
    assert search(base, rows(N), target, rows(N), wrong)[0] == 0
    assert search(base.roll(1, dims=1), rows(N), target, rows(N), functional.one_hot(target, K).float())[0] > 0


@pytest.mark.shared
@pytest.mark.parametrize(("model", "zero_shot"), [("remoteclip", 0.952), ("clip", 0.813)])
def test_sixteen_real_examples_a_class_beat_zero_shot(shared: Path, model: str, zero_shot: float) -> None:
    """WHU-RS19 through two real models (see ../shared/features): zero-shot is that of the whole set, with templates."""
    data = load_file(shared / "features" / f"whurs19_{model}_vit_b_32.safetensors")
    features = functional.normalize(data["image_features"].float(), dim=-1)
    texts = functional.normalize(data["text_features"].float(), dim=-1).mean(dim=0)
    target = data["labels"].long()
    classes = len(json.loads((shared / "features" / "whurs19.json").read_text())["classes"])
    base = 100 * features @ functional.normalize(texts, dim=-1).T

    def right(logits: torch.Tensor, some: torch.Tensor) -> float:
        return float((logits[some].argmax(dim=1) == target[some]).float().mean())

    assert right(base, torch.arange(len(target))) == pytest.approx(zero_shot, abs=1e-3)
    gains = []
    for seed in (1, 2, 3):
        shuffled = torch.randperm(len(target), generator=torch.Generator().manual_seed(seed))
        of_class = [shuffled[target[shuffled] == k] for k in range(classes)]
        shots, fitting, test = (torch.cat([rows[part] for rows in of_class]) for part in PARTS)
        cache = TipAdapterCache.of(features[shots], target[shots], classes)
        with torch.no_grad():
            alpha, beta = search(base[fitting], features[fitting], target[fitting], cache.keys, cache.values)
            found = base + cache_logits(features, cache.keys, cache.values, alpha, beta)
        gains.append([right(logits, test) - right(base, test) for logits in (base + cache(features).detach(), found)])
    untouched, searched = torch.tensor(gains).mean(dim=0).tolist()
    assert untouched > 0.01 and searched > 0.01
