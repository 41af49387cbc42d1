"""Measures of the captions of test images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from bimors_cli.metrics.scores import Proportion
from recipe.data import ImageSet
from recipe.measures import caption_scores, per_cent
from recipe.words import CAPTION_STEMS, display_name, names_class


def figures(captions: Sequence[str], test: ImageSet) -> dict[str, Any]:
    """Figures of the card for captions of RSICD's images."""
    kinds = [test.classes[int(i)] for i in test.target]
    # Chance level of the measure: captions that were generated for other images.
    other = torch.randperm(len(kinds), generator=torch.Generator().manual_seed(0)).tolist()
    named = _named(captions, kinds)
    return {
        "names the class": _percent(named),
        "first human caption names the class": _percent(_named([sentences[0] for sentences in test.captions], kinds)),
        "caption of a random other picture names the class": _percent(_named([captions[i] for i in other], kinds)),
        "by class": {display_name(kind): _percent(named[test.target == i]) for i, kind in enumerate(test.classes)},
        **caption_scores(captions, test.captions),
        "distinct": len(set(captions)),
        "empty": sum(not text for text in captions),
        # Sentences of the data sets are not redistributed.
        "examples": [[test.files[i], captions[i]] for i in range(40, len(test), 250)],
        "words that count": {display_name(kind): list(stems) for kind, stems in CAPTION_STEMS.items()},
    }


def _named(captions: Sequence[str], kinds: Sequence[str]) -> torch.Tensor:
    return torch.tensor([names_class(text, kind) for text, kind in zip(captions, kinds, strict=True)])


def _percent(named: torch.Tensor) -> dict[str, Any]:
    return per_cent(Proportion(int(named.sum()), len(named)))
