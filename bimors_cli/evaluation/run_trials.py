"""Runs trials: a head is trained once, and its predictions are scored for each trial that shares it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from bimors_cli.evaluation.datasets import DataSet
from bimors_cli.evaluation.feature_store import FeatureStore, TestFeatures
from bimors_cli.evaluation.options import EvaluateOptions
from bimors_cli.evaluation.protocols import Classes
from bimors_cli.evaluation.trials import Outcome, Trial
from bimors_cli.evaluation.variants import HeadVariant
from bimors_cli.labels import Labels, new_names
from bimors_cli.metrics.scores import score
from bimors_cli.model.frozen_models import EncoderOutputs, FrozenModels
from bimors_cli.model.heads.base import Head, probabilities
from bimors_cli.model.heads.registry import make_head
from bimors_cli.model.heads.zero_shot import ZeroShotHead
from bimors_cli.options.heads import find_head
from bimors_cli.refine.transductive import transductive
from bimors_cli.training.train import Training, TrainingData, count_trained, fit, init_training, predict_logits


def run_trials(
    trials: Sequence[Trial],
    models: FrozenModels,
    data_sets: Mapping[str, DataSet],
    store: FeatureStore,
    options: EvaluateOptions,
    after_epoch: Callable[[Training], None] = lambda training: None,
) -> tuple[Outcome, ...]:
    """Train a head once, and score its predictions for each of some trials.

    Parameters
    ----------
    trials : sequence of Trial
        At least one; `unrefined` must be equal for all.
    models, data_sets, store, options
        As for the evaluation.
    after_epoch : callable
        As for `bimors_cli.training.train.train`.

    Returns
    -------
    tuple of Outcome
        In the order of the trials. The seconds of a trial include the shared training.

    Raises
    ------
    BimorsError
        A label is too long; an image can no longer be read; any error of ``after_epoch``.
    """
    trial = trials[0]
    tests = [store.test_features(classes) for classes in trial.test_classes]
    data = None
    if trial.train_classes is not None:
        data = store.training_data(trial.train_classes, trial.shots, trial.seed)
    clock = time.perf_counter()
    trained = _train(trial, data, models, data_sets, store, options, after_epoch)
    predictions = [
        _predict(trained, _names(classes, data_sets), _ablate(features, trial.variant, models))
        for classes, (features, _) in zip(trial.test_classes, tests, strict=True)
    ]
    shared_seconds = time.perf_counter() - clock
    return tuple(_outcome(one, trained, predictions, tests, data_sets, shared_seconds) for one in trials)


@dataclass(frozen=True)
class _TrainedHead:
    """A trained head: ``make`` returns it for labels; ``only_labels`` are the only labels that it can predict."""

    make: Callable[[Labels], Head]
    temperature: float
    training: Training | None = None
    only_labels: tuple[str, ...] | None = None


def _predict(trained: _TrainedHead, names: tuple[str, ...], features: EncoderOutputs) -> torch.Tensor | None:
    """Calibrated probabilities, float32 [N, K]; None if the head cannot predict the labels."""
    if trained.only_labels is not None and new_names(names, trained.only_labels):
        return None
    return probabilities(predict_logits(trained.make(Labels.literal(names)), features), trained.temperature).cpu()


def _train(
    trial: Trial,
    data: TrainingData | None,
    models: FrozenModels,
    data_sets: Mapping[str, DataSet],
    store: FeatureStore,
    options: EvaluateOptions,
    after_epoch: Callable[[Training], None],
) -> _TrainedHead:
    variant, choice, bundle = trial.variant, trial.variant.choice, models.bundle
    if choice is None or trial.train_classes is None or data is None:
        templates = (bundle.one_template,) if variant.one_template else bundle.templates
        return _TrainedHead(lambda labels: ZeroShotHead(models.clip, labels, templates), bundle.zero_shot_temperature)
    names = _names(trial.train_classes, data_sets)
    data = _ablated(data, variant, models)
    if options.official_quirks:
        features, target = store.test_features(trial.train_classes)
        data = replace(data, validation=(_ablate(features, variant, models), target))
    config = variant.train_config(options.epochs, options.batch_size, trial.seed)
    training, head = init_training(choice, models, Labels.literal(names), data, config)
    temperature = fit(training, head, data, config, bundle.zero_shot_temperature, after_epoch)

    def make(labels: Labels) -> Head:
        return make_head(choice.head, models.clip, labels, training.learner, words=bundle.context, trained=names)

    return _TrainedHead(make, temperature, training, names if find_head(choice.head).closed_set else None)


def _outcome(
    trial: Trial,
    trained: _TrainedHead,
    predictions: Sequence[torch.Tensor | None],
    tests: Sequence[TestFeatures],
    data_sets: Mapping[str, DataSet],
    shared_seconds: float,
) -> Outcome:
    """Score the predictions of one trial; ``shared_seconds`` is the time of the shared training and prediction."""
    clock = time.perf_counter()
    scores: list[dict[str, Any] | None] = []
    for classes, prediction, (features, target) in zip(trial.test_classes, predictions, tests, strict=True):
        if prediction is None:
            scores.append(None)
            continue
        if trial.variant.transductive:
            prediction = torch.from_numpy(transductive(features.image_feature.cpu().numpy(), prediction.numpy()))
        scores.append(score(prediction, target.cpu(), _names(classes, data_sets)).as_json())
    training = trained.training
    best = None if training is None else training.epochs[training.best_epoch - 1]
    return Outcome(
        parameters=0 if training is None else count_trained(training),
        temperature=trained.temperature,
        best_epoch=None if best is None else best.epoch,
        validation_accuracy=None if best is None else best.validation_accuracy,
        seconds=shared_seconds + time.perf_counter() - clock,
        scores=tuple(scores),
    )


def _names(classes: Classes, data_sets: Mapping[str, DataSet]) -> tuple[str, ...]:
    return tuple(data_sets[classes.data_set].classes[index] for index in classes.indices)


def _ablated(data: TrainingData, variant: HeadVariant, models: FrozenModels) -> TrainingData:
    """The training data without the inputs that a variant does not use."""
    if variant.captions and variant.patch_tokens:
        return data
    validation = data.validation
    return TrainingData(
        replace(data.train, views=tuple(_ablate(view, variant, models) for view in data.train.views)),
        _ablate(data.full_images, variant, models),
        None if validation is None else (_ablate(validation[0], variant, models), validation[1]),
    )


def _ablate(features: EncoderOutputs, variant: HeadVariant, models: FrozenModels) -> EncoderOutputs:
    if not variant.captions:
        empty = models.caption_encoder.embed([""])
        captions = ("",) * len(features)
        features = replace(features, captions=captions, caption_embedding=empty.expand(len(features), -1))
    if not variant.patch_tokens:
        # One zero token replaces all: only the mean of the tokens is used.
        features = replace(features, patch_tokens=torch.zeros_like(features.patch_tokens[:, :1]))
    return features
