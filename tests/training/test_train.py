"""The training loop, on the real heads of a small random bundle."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import JournalError, OutputExistsError
from bimors_cli.labels import Labels
from bimors_cli.model.frozen_models import EncoderOutputs, FrozenModels
from bimors_cli.model.heads.base import Head
from bimors_cli.model.heads.registry import make_head, make_learner
from bimors_cli.model.heads.tip_adapter import TipAdapterCache
from bimors_cli.options.heads import HEADS
from bimors_cli.training.calibration import fit_temperature
from bimors_cli.training.checkpoint import TrainingCheckpoint
from bimors_cli.training.hyperparameters import TrainConfig
from bimors_cli.training.train import Training, TrainViews, predict_logits, train

LABELS = Labels.of(["forest", "river", "beach"])
RECIPE = TrainConfig(epochs=4, rate=0.05, batch_size=4)


@pytest.fixture(scope="module")
def features(tiny_models: FrozenModels) -> EncoderOutputs:
    pictures = torch.randint(0, 256, (12, 3, 40, 40), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
    return tiny_models.encode(pictures)


@pytest.fixture(scope="module")
def material(features: EncoderOutputs) -> TrainViews:
    other = dataclasses.replace(features, patch_tokens=features.patch_tokens * 1.01)
    return TrainViews((features, other), torch.arange(12) % 3, torch.ones(12))


def begin(kind: str, models: FrozenModels, bundle: Bundle, material: TrainViews) -> tuple[Training, Head]:
    learner = make_learner(kind, models, bundle.context, classes=3, seed=1)
    if kind == "tip-adapter":
        learner.add_module("cache", TipAdapterCache.of(material.views[0].image_feature, material.target, 3))
    head = make_head(kind, models.clip, LABELS, learner, words=bundle.context, trained=LABELS.names)
    return Training.create(learner, RECIPE), head


@pytest.mark.parametrize("kind", HEADS)
def test_every_head_learns(kind: str, tiny_models: FrozenModels, tiny_bundle: Bundle, material: TrainViews) -> None:
    # Random pictures of random towers: that most of them are of one class is all that every head can learn.
    material = dataclasses.replace(material, target=torch.tensor([0] * 9 + [1, 1, 2]))
    training, head = begin(kind, tiny_models, tiny_bundle, material)
    train(head, training, material, None, dataclasses.replace(RECIPE, epochs=12, rate=HEADS[kind].learning_rate))
    assert training.epochs[-1].loss < training.epochs[0].loss
    assert training.best_epoch == 12  # without validation the last one


def test_the_frozen_models_stay_as_they_are(
    tiny_models: FrozenModels, tiny_bundle: Bundle, material: TrainViews
) -> None:
    before = {name: value.clone() for name, value in tiny_models.clip.state_dict().items()}
    training, head = begin("bimors", tiny_models, tiny_bundle, material)
    train(head, training, material, None, RECIPE)
    assert all(torch.equal(before[name], value) for name, value in tiny_models.clip.state_dict().items())


class Cut(Exception):
    """A run that dies."""


@pytest.mark.parametrize("kind", ["bimors", "tip-adapter"])
def test_a_run_that_was_cut_off_ends_as_one_that_was_not(
    kind: str,
    tiny_models: FrozenModels,
    tiny_bundle: Bundle,
    material: TrainViews,
    features: EncoderOutputs,
    tmp_path: Path,
) -> None:
    validation = features.take(torch.arange(6)), material.target[:6]
    whole, head = begin(kind, tiny_models, tiny_bundle, material)
    train(head, whole, material, validation, RECIPE)

    cut, head = begin(kind, tiny_models, tiny_bundle, material)
    work = TrainingCheckpoint(tmp_path / "coast", {"lr": 1}, resume=False, overwrite=False)

    def die(training: Training) -> None:
        work.save(training)
        if len(training.epochs) == 2:
            raise Cut

    with pytest.raises(Cut):
        train(head, cut, material, validation, RECIPE, after_epoch=die)
    work.release()

    resumed, head = begin(kind, tiny_models, tiny_bundle, material)
    TrainingCheckpoint(tmp_path / "coast", {"lr": 1}, resume=True, overwrite=False).restore(resumed)
    assert len(resumed.epochs) == 2
    train(head, resumed, material, validation, RECIPE)
    assert resumed.epochs == whole.epochs and resumed.best_epoch == whole.best_epoch
    assert all(torch.equal(resumed.best[name], value) for name, value in whole.best.items())


def test_the_best_epoch_is_the_first_of_the_best_on_validation(
    tiny_models: FrozenModels, tiny_bundle: Bundle, material: TrainViews, features: EncoderOutputs
) -> None:
    training, head = begin("bimors", tiny_models, tiny_bundle, material)
    states = []
    train(
        head,
        training,
        material,
        (features, material.target),
        dataclasses.replace(RECIPE, rate=0.5),
        after_epoch=lambda now: states.append({k: v.clone() for k, v in now.learner.state_dict().items()}),
    )
    merit = [(e.validation_accuracy, -(e.validation_loss or 0.0)) for e in training.epochs]
    assert training.best_epoch - 1 == merit.index(max(merit))
    assert all(torch.equal(states[training.best_epoch - 1][k], v) for k, v in training.best.items())


def test_an_example_of_more_weight_pulls_more(
    tiny_models: FrozenModels, tiny_bundle: Bundle, features: EncoderOutputs
) -> None:
    # One picture under two labels: the heavier one wins.
    twice = TrainViews((features.take(torch.tensor([0, 0])),), torch.tensor([0, 1]), torch.tensor([1.0, 20.0]))
    training, head = begin("linear", tiny_models, tiny_bundle, twice)
    train(head, training, twice, None, RECIPE)
    assert predict_logits(head, twice.views[0]).argmax(dim=1).tolist() == [1, 1]


def test_the_learning_rate_warms_up_and_falls() -> None:
    rates = [TrainConfig().rate_in(epoch) for epoch in range(10)]
    assert rates[0] == 1e-5 and rates[1] == 0.009
    assert all(a > b for a, b in pairwise(rates[1:])) and rates[-1] > 0


def test_the_temperature_is_the_one_that_was_put_in() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20_000, 5, generator=generator)
    target = torch.multinomial(torch.softmax(logits / 2.5, dim=1), 1, generator=generator)[:, 0]
    assert fit_temperature(logits, target) == pytest.approx(2.5, rel=0.05)


def test_a_perfect_answer_does_not_freeze_the_temperature() -> None:
    assert fit_temperature(torch.eye(3) * 9, torch.arange(3)) >= 0.01


class TestWorkshop:
    def test_a_run_that_was_cut_off_is_not_passed_over(self, tmp_path: Path) -> None:
        TrainingCheckpoint(tmp_path / "a", {"lr": 1}, resume=False, overwrite=False).release()
        with pytest.raises(OutputExistsError, match="unfinished"):
            TrainingCheckpoint(tmp_path / "a", {"lr": 1}, resume=False, overwrite=False)

    def test_another_plan_is_refused_and_named(self, tmp_path: Path) -> None:
        TrainingCheckpoint(tmp_path / "a", {"lr": 1, "seed": 2}, resume=False, overwrite=False).release()
        with pytest.raises(JournalError, match="differs in lr"):
            TrainingCheckpoint(tmp_path / "a", {"lr": 3, "seed": 2}, resume=True, overwrite=False)
        TrainingCheckpoint(tmp_path / "a", {"lr": 3, "seed": 2}, resume=False, overwrite=True).release()

    def test_two_at_once_are_refused(self, tmp_path: Path) -> None:
        first = TrainingCheckpoint(tmp_path / "a", {}, resume=False, overwrite=False)
        with pytest.raises(JournalError, match="another run"):
            TrainingCheckpoint(tmp_path / "a", {}, resume=True, overwrite=False)
        first.finish()
        assert not (tmp_path / "a.training").exists()

    def test_a_damaged_checkpoint_is_said(
        self, tmp_path: Path, tiny_models: FrozenModels, tiny_bundle: Bundle, material: TrainViews
    ) -> None:
        training, _ = begin("bimors", tiny_models, tiny_bundle, material)
        work = TrainingCheckpoint(tmp_path / "a", {}, resume=False, overwrite=False)
        work.save(training)
        (work.folder / "checkpoint.safetensors").write_bytes(b"\0" * 20)
        with pytest.raises(JournalError, match="damaged"):
            work.restore(training)
