"""Numbers for the card."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import torch

from recipe.common import wilson


def share(right: torch.Tensor) -> dict[str, object]:
    """A share in per cent, with its count and 95 % interval."""
    count = int(right.sum())
    return {"per cent": round(100 * count / max(len(right), 1), 2), "of": len(right), "95 %": wilson(count, len(right))}


def calibration_error(probabilities: torch.Tensor, target: torch.Tensor, bins: int = 15) -> float:
    """Expected calibration error in per cent points, equal-width bins (Guo et al. 2017)."""
    confidence, answer = probabilities.max(dim=1)
    right = (answer == target).float()
    place = (confidence * bins).long().clamp(max=bins - 1)
    error = 0.0
    for i in range(bins):
        inside = place == i
        if inside.any():
            error += float(inside.float().mean() * (right[inside].mean() - confidence[inside].mean()).abs())
    return round(100 * error, 2)


def bleu4(spoken: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Corpus BLEU-4 in per cent (Papineni et al. 2002), words and full stops as tokens, no smoothing."""
    hits, total = [0] * 4, [0] * 4
    length, closest = 0, 0
    for sentence, others in zip(spoken, references, strict=True):
        words = _split(sentence)
        rows = [_split(other) for other in others]
        length += len(words)
        closest += min((abs(len(row) - len(words)), len(row)) for row in rows)[1]
        for n in range(1, 5):
            have = _grams(words, n)
            allowed: Counter[tuple[str, ...]] = Counter()
            for row in rows:
                allowed |= _grams(row, n)
            hits[n - 1] += sum((have & allowed).values())
            total[n - 1] += sum(have.values())
    if min(hits) == 0:
        return 0.0
    precision = sum(math.log(h / t) for h, t in zip(hits, total, strict=True)) / 4
    return round(100 * math.exp(precision + min(0.0, 1 - closest / length)), 2)


def _split(sentence: str) -> list[str]:
    return sentence.lower().replace(".", " .").replace(",", " ,").split()


def _grams(words: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
