"""Measures for the card: captions against human captions, and the difference between two heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from scipy.stats import bootstrap

from bimors_cli.metrics.scores import Proportion

RESAMPLES = 9999


def per_cent(share: Proportion) -> dict[str, Any]:
    """A fraction in per cent, with its count and 95 % interval."""
    low, high = share.interval
    value = round(100 * share.value, 2) if share.total else None
    return {"per cent": value, "of": share.total, "95 %": [round(100 * low, 2), round(100 * high, 2)]}


def caption_scores(captions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """BLEU-4 in per cent (Papineni et al. 2002) and CIDEr, 0..10 (Vedantam et al. 2015), over all images.

    Words are split at spaces, full stops and commas: the usual tokenizer needs Java.
    """
    generated = {i: [_words(text)] for i, text in enumerate(captions)}
    human = {i: [_words(text) for text in texts] for i, texts in enumerate(references)}
    (*_, bleu4), _ = Bleu(4).compute_score(human, generated, verbose=0)
    cider, _ = Cider().compute_score(human, generated)
    return {"BLEU-4": round(100 * float(bleu4), 2), "CIDEr": round(float(cider), 3)}


def difference(right: torch.Tensor, other: torch.Tensor, seed: int) -> dict[str, Any]:
    """Difference between the accuracies of two heads on the same images, in percentage points.

    The interval comes from a paired bootstrap: images are resampled together with the predictions of both heads.

    Parameters
    ----------
    right, other : torch.Tensor
        bool [N], whether the prediction for each image is correct.
    seed : int
        Seed of the resampling.
    """
    pairs = 100 * (right.double() - other.double()).numpy()
    low = high = float(pairs.mean())
    if pairs.min() < pairs.max():  # otherwise all samples are equal
        drawn = bootstrap(
            (pairs,), np.mean, n_resamples=RESAMPLES, batch=500, method="percentile", rng=np.random.default_rng(seed)
        )
        low, high = (float(value) for value in drawn.confidence_interval)
    only = int((right & ~other).sum()), int((other & ~right).sum())
    return {
        "points": round(float(pairs.mean()), 2),
        "95 %": [round(low, 2), round(high, 2)],
        "right alone": only[0],
        "the other right alone": only[1],
    }


def _words(sentence: str) -> str:
    return " ".join(sentence.lower().replace(".", " .").replace(",", " ,").split())
