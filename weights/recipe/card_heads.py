"""Both heads on test pictures: how often they are right, how sure they are, and which of them is better."""

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
from bimors_cli.model.evidence import FrozenModels
from bimors_cli.model.heads.base import probabilities
from bimors_cli.pipeline.inference.load import make_classifier
from recipe.data import Pictures
from recipe.measures import difference, per_cent
from recipe.words import spoken

ZERO_SHOT, BIMORS, SILENT = "zero-shot", "bimors", "bimors, no captions"


@dataclass(frozen=True)
class Answers:
    """Of N test pictures: ``captions``, and of each head float32 ``logits`` [N, K] and the fitted ``temperature``."""

    pictures: Pictures
    labels: Labels
    captions: tuple[str, ...]
    logits: Mapping[str, torch.Tensor]
    temperature: Mapping[str, float]

    def calibrated(self, head: str) -> torch.Tensor:
        """Probabilities as the program gives them, float32 [N, K]."""
        return probabilities(self.logits[head], self.temperature[head])

    def right(self, head: str) -> torch.Tensor:
        """Which answers are right, bool [N]."""
        return self.logits[head].argmax(dim=1) == self.pictures.target


@torch.no_grad()
def ask(models: FrozenModels, adapter: Adapter, pictures: Pictures, batch: int = 64) -> Answers:
    """Let both heads answer, and the adapter's once more with every caption empty, as ``--no-captions`` does."""
    labels = Labels.of([spoken(kind) for kind in pictures.classes])
    plain = make_classifier(models, None, labels)
    tuned = make_classifier(models, adapter, labels)
    captions: list[str] = []
    logits: dict[str, list[torch.Tensor]] = {ZERO_SHOT: [], BIMORS: [], SILENT: []}
    for rows in pictures.pixels.split(batch):
        evidence = models.encode(rows)
        empty = ("",) * len(rows)
        silent = replace(evidence, captions=empty, caption_embedding=models.caption_encoder.embed(empty))
        captions += [caption or "" for caption in evidence.captions]
        logits[ZERO_SHOT].append(plain.head.forward(evidence))
        logits[BIMORS].append(tuned.head.forward(evidence))
        logits[SILENT].append(tuned.head.forward(silent))
    temperature = {ZERO_SHOT: plain.temperature, BIMORS: tuned.temperature, SILENT: tuned.temperature}
    return Answers(pictures, labels, tuple(captions), {k: torch.cat(v) for k, v in logits.items()}, temperature)


def figures(answers: Answers) -> dict[str, Any]:
    """What the card says of each head."""
    return {head: _figures(answers, head) for head in answers.logits}


def _figures(answers: Answers, head: str) -> dict[str, Any]:
    target = answers.pictures.target
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
    """The adapter's head against the zero-shot one, and captions against none, picture by picture."""
    bimors = answers.right(BIMORS)
    return {
        f"{BIMORS} minus {ZERO_SHOT}": difference(bimors, answers.right(ZERO_SHOT), seed),
        f"{BIMORS} minus {SILENT}": difference(bimors, answers.right(SILENT), seed),
    }


def draw(folder: Path, name: str, answers: Answers) -> None:
    """Write ``confusion-NAME.png`` and ``reliability-NAME.png`` of the adapter's head."""
    certain = answers.calibrated(BIMORS)
    target = answers.pictures.target
    confusion_matrix(folder / f"confusion-{name}.png", score(certain, target, answers.labels.names))
    reliability_diagram(folder / f"reliability-{name}.png", certain, target)
