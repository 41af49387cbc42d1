"""Accuracy and calibration of both heads on test images, and the difference between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bimors_cli.bundle.adapter import Adapter
from bimors_cli.labels import Labels
from bimors_cli.metrics.charts import confusion_matrix, reliability_diagram
from bimors_cli.metrics.scores import calibration_error, most_confused, score
from bimors_cli.model.frozen_models import FrozenModels
from bimors_cli.model.heads.base import probabilities
from bimors_cli.pipeline.inference.load import make_classifier
from recipe.data import ImageSet
from recipe.measures import difference, per_cent
from recipe.words import display_name

ZERO_SHOT, BIMORS, NO_CAPTIONS = "zero-shot", "bimors", "bimors, no captions"


@dataclass(frozen=True)
class TestPredictions:
    """Captions of N test images, and for each head float32 ``logits`` [N, K] and the fitted ``temperature``."""

    images: ImageSet
    labels: Labels
    captions: tuple[str, ...]
    logits: Mapping[str, torch.Tensor]
    temperature: Mapping[str, float]

    def calibrated(self, head: str) -> torch.Tensor:
        """Calibrated probabilities, float32 [N, K]."""
        return probabilities(self.logits[head], self.temperature[head])

    def correct(self, head: str) -> torch.Tensor:
        """Whether the predictions are correct, bool [N]."""
        return self.logits[head].argmax(dim=1) == self.images.target


@torch.no_grad()
def predict(models: FrozenModels, adapter: Adapter, images: ImageSet, batch: int = 64) -> TestPredictions:
    """Predict with both heads, and with that of the adapter again with empty captions, as ``--no-captions`` does."""
    labels = Labels.of([display_name(kind) for kind in images.classes])
    zero_shot = make_classifier(models, None, labels)
    trained = make_classifier(models, adapter, labels)
    captions: list[str] = []
    logits: dict[str, list[torch.Tensor]] = {ZERO_SHOT: [], BIMORS: [], NO_CAPTIONS: []}
    for rows in images.pixels.split(batch):
        features = models.encode(rows)
        empty = ("",) * len(rows)
        without_captions = replace(features, captions=empty, caption_embedding=models.caption_encoder.embed(empty))
        captions += [caption or "" for caption in features.captions]
        logits[ZERO_SHOT].append(zero_shot.head.forward(features))
        logits[BIMORS].append(trained.head.forward(features))
        logits[NO_CAPTIONS].append(trained.head.forward(without_captions))
    temperature = {ZERO_SHOT: zero_shot.temperature, BIMORS: trained.temperature, NO_CAPTIONS: trained.temperature}
    return TestPredictions(images, labels, tuple(captions), {k: torch.cat(v) for k, v in logits.items()}, temperature)


def figures(predictions: TestPredictions) -> dict[str, Any]:
    """Figures of the card for each head."""
    return {head: _figures(predictions, head) for head in predictions.logits}


def _figures(predictions: TestPredictions, head: str) -> dict[str, Any]:
    target = predictions.images.target
    scores = score(predictions.calibrated(head), target, predictions.labels.names)
    return {
        "accuracy": per_cent(scores.accuracy),
        "macro F1": round(100 * scores.macro_f1, 2),
        "balanced accuracy": round(100 * scores.balanced_accuracy, 2),
        "kappa": round(scores.kappa, 4),
        "calibration error before": round(
            100 * calibration_error(probabilities(predictions.logits[head], 1.0), target), 2
        ),
        "calibration error after": round(100 * scores.calibration_error, 2),
        "by class": {name: per_cent(part) for name, part in zip(scores.labels, scores.by_class, strict=True)},
        "most confused": most_confused(scores, 8),
    }


def differences(predictions: TestPredictions, seed: int) -> dict[str, Any]:
    """Paired differences between the adapter's head and zero-shot, and between captions and no captions."""
    bimors = predictions.correct(BIMORS)
    return {
        f"{BIMORS} minus {ZERO_SHOT}": difference(bimors, predictions.correct(ZERO_SHOT), seed),
        f"{BIMORS} minus {NO_CAPTIONS}": difference(bimors, predictions.correct(NO_CAPTIONS), seed),
    }


def draw(folder: Path, name: str, predictions: TestPredictions) -> None:
    """Write the charts ``confusion-NAME.png`` and ``reliability-NAME.png`` of the adapter's head."""
    probability = predictions.calibrated(BIMORS)
    target = predictions.images.target
    confusion_matrix(folder / f"confusion-{name}.png", score(probability, target, predictions.labels.names))
    reliability_diagram(folder / f"reliability-{name}.png", probability, target)
