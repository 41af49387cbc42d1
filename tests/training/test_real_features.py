"""Heads that need no text tower, on the features of real models: WHU-RS19 (see ../shared/features)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from bimors_cli.labels import Labels
from bimors_cli.model.frozen_models import EncoderOutputs
from bimors_cli.model.heads.base import Head, HeadFeatures
from bimors_cli.model.heads.linear_probe import LinearHead, LinearLearner
from bimors_cli.model.heads.tip_adapter import TipAdapterCache, TipAdapterHead
from bimors_cli.options.heads import HEADS
from bimors_cli.training.hyperparameters import TrainConfig
from bimors_cli.training.train import Training, TrainViews, predict_logits, train

SHOTS, CHECKED = 16, 4


class Known(Head):
    """Zero-shot with text features that are there already, averaged over the templates."""

    def __init__(self, text: torch.Tensor) -> None:
        self._text = functional.normalize(functional.normalize(text.float(), dim=-1).mean(dim=0), dim=-1)

    def logits(self, features: HeadFeatures) -> torch.Tensor:
        return 100 * features.image_feature @ self._text.T


def evidence(features: torch.Tensor) -> EncoderOutputs:
    count = len(features)
    return EncoderOutputs(features, torch.zeros(count, 1, 1), ("",) * count, torch.zeros(count, 1))


def right(head: object, seen: EncoderOutputs, target: torch.Tensor) -> float:
    return float((predict_logits(head, seen).argmax(dim=1) == target).float().mean())  # type: ignore[arg-type]


@pytest.mark.shared
@pytest.mark.parametrize(("model", "zero_shot"), [("remoteclip", 0.9522), ("clip", 0.8129)])
def test_zero_shot_is_as_published_and_heads_learn_from_sixteen_examples(
    shared: Path, model: str, zero_shot: float
) -> None:
    data = load_file(shared / "features" / f"whurs19_{model}_vit_b_32.safetensors")
    features = functional.normalize(data["image_features"].float(), dim=-1)
    target = data["labels"].long()
    plain = Known(data["text_features"])
    assert right(plain, evidence(features), target) == pytest.approx(zero_shot, abs=1e-3)

    count = int(target.max()) + 1
    order = torch.randperm(len(target), generator=torch.Generator().manual_seed(1))
    of_class = [order[target[order] == label] for label in range(count)]
    learned = torch.cat([rows[:SHOTS] for rows in of_class])
    checked = torch.cat([rows[SHOTS : SHOTS + CHECKED] for rows in of_class])
    tested = torch.cat([rows[SHOTS + CHECKED :] for rows in of_class])
    labels = Labels.of([f"class {label}" for label in range(count)])
    views = TrainViews((evidence(features[learned]),), target[learned], torch.ones(len(learned)))
    validation = evidence(features[checked]), target[checked]
    base = right(plain, evidence(features[tested]), target[tested])
    own = [[label] for label in range(count)]
    for head in ("tip-adapter", "linear"):
        learner: nn.Module = nn.Module()
        if head == "tip-adapter":
            learner.add_module("cache", TipAdapterCache.of(features[learned], target[learned], count))
            answerer: object = TipAdapterHead(plain, learner.get_submodule("cache"), own)  # type: ignore[arg-type]
        else:
            learner = LinearLearner(features.shape[1], count)
            answerer = LinearHead(labels, learner, own)
        recipe = TrainConfig(rate=HEADS[head].learning_rate)
        training = Training.create(learner, recipe)
        train(answerer, training, views, validation, recipe)  # type: ignore[arg-type]
        learner.load_state_dict(training.best)
        assert right(answerer, evidence(features[tested]), target[tested]) > base + 0.01
