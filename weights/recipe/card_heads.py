"""Both heads on test images: how often they are right, how sure they are, and which of them is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bimors_cli.bundle.adapter import Adapter
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.labels import Labels
from bimors_cli.metrics.charts import confusion_matrix, reliability_diagram
from bimors_cli.metrics.scores import calibration_error, most_confused, score
from bimors_cli.model.evidence import FrozenModels
from bimors_cli.model.heads.base import probabilities
from bimors_cli.pipeline.inference.load import make_classifier
from recipe.data import ImageSet
from recipe.measures import difference, per_cent
from recipe.words import display_name

ZERO_SHOT, BIMORS, NO_CAPTIONS = "zero-shot", "bimors", "bimors, no captions"


@dataclass(frozen=True)
class Answers:
    """Of N test images: ``captions``, and of each head float32 ``logits`` [N, K] and the fitted ``temperature``."""

    images: ImageSet
    labels: Labels
    captions: tuple[str, ...]
    logits: Mapping[str, torch.Tensor]
    temperature: Mapping[str, float]

    def calibrated(self, head: str) -> torch.Tensor:
        """Probabilities as the program gives them, float32 [N, K]."""
        return probabilities(self.logits[head], self.temperature[head])

    def right(self, head: str) -> torch.Tensor:
        """Which answers are right, bool [N]."""
        return self.logits[head].argmax(dim=1) == self.images.target


@torch.no_grad()
def predict(models: FrozenModels, bundle: Bundle, adapter: Adapter, images: ImageSet, batch: int = 64) -> Answers:
    """Let both heads answer, and the adapter's once more with every caption empty, as ``--no-captions`` does."""
    labels = Labels.of([display_name(kind) for kind in images.classes])
    plain = make_classifier(models, bundle, None, labels)
    tuned = make_classifier(models, bundle, adapter, labels)
    captions: list[str] = []
    logits: dict[str, list[torch.Tensor]] = {ZERO_SHOT: [], BIMORS: [], NO_CAPTIONS: []}
    for rows in images.pixels.split(batch):
        evidence = models.gather(rows)
        empty = ("",) * len(rows)
        silent = replace(evidence, captions=empty, caption_embedding=models.caption_encoder.embed(empty))
        captions += [caption or "" for caption in evidence.captions]
        logits[ZERO_SHOT].append(plain.head.logits(evidence))
        logits[BIMORS].append(tuned.head.logits(evidence))
        logits[NO_CAPTIONS].append(tuned.head.logits(silent))
    temperature = {ZERO_SHOT: plain.temperature, BIMORS: tuned.temperature, NO_CAPTIONS: tuned.temperature}
    return Answers(images, labels, tuple(captions), {k: torch.cat(v) for k, v in logits.items()}, temperature)


def figures(answers: Answers) -> dict[str, Any]:
    """What the card says of each head."""
    return {head: _figures(answers, head) for head in answers.logits}


def _figures(answers: Answers, head: str) -> dict[str, Any]:
    target = answers.images.target
    scores = score(answers.calibrated(head), target, answers.labels.names)
    return {
        "accuracy": per_cent(scores.accuracy),
        "macro F1": round(100 * scores.macro_f1, 2),
        "balanced accuracy": round(100 * scores.balanced_accuracy, 2),
        "kappa": round(scores.kappa, 4),
        "calibration error before": round(100 * calibration_error(probabilities(answers.logits[head], 1.0), target), 2),
        "calibration error after": round(100 * scores.calibration_error, 2),
        "by class": {name: per_cent(share) for name, share in zip(scores.labels, scores.by_class, strict=True)},
        "most confused": most_confused(scores, 8),
    }


def differences(answers: Answers, seed: int) -> dict[str, Any]:
    """The adapter's head against the zero-shot one, and captions against none, image by image."""
    bimors = answers.right(BIMORS)
    return {
        f"{BIMORS} minus {ZERO_SHOT}": difference(bimors, answers.right(ZERO_SHOT), seed),
        f"{BIMORS} minus {NO_CAPTIONS}": difference(bimors, answers.right(NO_CAPTIONS), seed),
    }


def draw(folder: Path, name: str, answers: Answers) -> None:
    """Write ``confusion-NAME.png`` and ``reliability-NAME.png`` of the adapter's head."""
    certain = answers.calibrated(BIMORS)
    target = answers.images.target
    confusion_matrix(folder / f"confusion-{name}.png", score(certain, target, answers.labels.names))
    reliability_diagram(folder / f"reliability-{name}.png", certain, target)
