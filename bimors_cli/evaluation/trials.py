"""A trial: one head learns once and answers what it is asked about. All protocols are made of trials."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from bimors_cli.evaluation.datasets import DataSet
from bimors_cli.evaluation.feature_store import FeatureStore
from bimors_cli.evaluation.options import EvaluateOptions
from bimors_cli.evaluation.protocols import Classes, Question
from bimors_cli.evaluation.variants import HeadVariant
from bimors_cli.labels import Labels, new_names
from bimors_cli.metrics.scores import score
from bimors_cli.model.evidence import EncoderOutputs, FrozenModels
from bimors_cli.model.heads.base import Head, probabilities
from bimors_cli.model.heads.registry import make_head
from bimors_cli.model.heads.zero_shot import ZeroShotHead
from bimors_cli.options.heads import find_head
from bimors_cli.refine.transductive import transductive
from bimors_cli.training.train import Lesson, Training, answer, begin, learn, learned_parameters


@dataclass(frozen=True)
class Trial:
    """``learned`` None and ``shots`` and ``seed`` 0 for a head that learns nothing. ``asked`` in order, none twice."""

    contestant: HeadVariant
    learned: Classes | None
    shots: int
    seed: int
    asked: tuple[Classes, ...]


@dataclass(frozen=True)
class Outcome:
    """What a trial came to, as plain values for `results.json`.

    ``answers`` are scores by place in ``Trial.asked``; None where the head cannot answer (a linear probe and classes
    that it has not learned).
    """

    parameters: int
    temperature: float
    best_epoch: int | None
    validation_accuracy: float | None
    seconds: float
    answers: tuple[dict[str, Any] | None, ...]


def trials_of(questions: Sequence[Question], options: EvaluateOptions) -> tuple[Trial, ...]:
    """All trials that answer the questions, each head learning once from the same examples whatever it is asked.

    They come by data set and seed, in the order of the questions.
    """
    contestants = options.contestants
    asked: dict[Classes, list[Classes]] = {}
    for question in questions:
        known = asked.setdefault(question.learned, [])
        if question.asked not in known:
            known.append(question.asked)
    everything = tuple(dict.fromkeys(question.asked for question in questions))
    found = [Trial(one, None, 0, 0, everything) for one in contestants if one.choice is None]
    names = list(dict.fromkeys(learned.data_set for learned in asked))
    for name in names:
        for seed in options.seeds:
            found += [
                Trial(one, learned, shots, seed, tuple(about))
                for learned, about in asked.items()
                if learned.data_set == name
                for shots in options.shots
                for one in contestants
                if one.choice is not None
            ]
    return tuple(found)


def learning(trial: Trial) -> Trial:
    """What is the same of trials that can share what their head learns: they differ in how answers are refined."""
    return replace(trial, contestant=trial.contestant.without_refinement)


def run_trials(
    trials: Sequence[Trial],
    models: FrozenModels,
    data_sets: Mapping[str, DataSet],
    room: FeatureStore,
    options: EvaluateOptions,
    after_epoch: Callable[[Training], None] = lambda training: None,
) -> tuple[Outcome, ...]:
    """Let a head learn once, and answer as each of these trials wants it.

    Parameters
    ----------
    trials : sequence of Trial
        At least one; `learning` is the same of all.
    models, data_sets, room, options
        Of the evaluation.
    after_epoch : callable
        See `bimors_cli.training.train.train`.

    Returns
    -------
    tuple of Outcome
        In the order of the trials. The seconds of each are those of the learning and of its own answers.

    Raises
    ------
    BimorsError
        A label is too long, a picture cannot be read any more; whatever ``after_epoch`` raises.
    """
    trial = trials[0]
    asked = [room.asked(classes) for classes in trial.asked]
    lesson = None if trial.learned is None else room.lesson(trial.learned, trial.shots, trial.seed)
    clock = time.perf_counter()
    pupil = _teach(trial, lesson, models, data_sets, room, options, after_epoch)
    answers = [
        None
        if pupil.knows_only is not None and new_names(_names(classes, data_sets), pupil.knows_only)
        else probabilities(
            answer(
                pupil.head(Labels.literal(_names(classes, data_sets))), _blinded(evidence, trial.contestant, models)
            ),
            pupil.temperature,
        ).cpu()
        for classes, (evidence, _) in zip(trial.asked, asked, strict=True)
    ]
    together = time.perf_counter() - clock
    return tuple(_outcome(one, pupil, answers, asked, data_sets, together) for one in trials)


@dataclass(frozen=True)
class _Pupil:
    """A head that has learned: ``head`` makes it for labels, ``knows_only`` are those that it can answer with."""

    head: Callable[[Labels], Head]
    temperature: float
    training: Training | None = None
    knows_only: tuple[str, ...] | None = None


def _teach(
    trial: Trial,
    lesson: Lesson | None,
    models: FrozenModels,
    data_sets: Mapping[str, DataSet],
    room: FeatureStore,
    options: EvaluateOptions,
    after_epoch: Callable[[Training], None],
) -> _Pupil:
    contestant, choice, bundle = trial.contestant, trial.contestant.choice, models.bundle
    if choice is None or trial.learned is None or lesson is None:
        templates = (bundle.one_template,) if contestant.one_template else bundle.templates
        return _Pupil(lambda labels: ZeroShotHead(models.clip, labels, templates), bundle.zero_shot_temperature)
    trained = _names(trial.learned, data_sets)
    lesson = _sensed(lesson, contestant, models)
    if options.official_quirks:
        evidence, target = room.asked(trial.learned)
        lesson = replace(lesson, validation=(_blinded(evidence, contestant, models), target))
    recipe = contestant.recipe(options.epochs, options.batch_size, trial.seed)
    training, head = begin(choice, models, Labels.literal(trained), lesson, recipe)
    temperature = learn(training, head, lesson, recipe, bundle.zero_shot_temperature, after_epoch)

    def made(labels: Labels) -> Head:
        return make_head(choice.head, models.clip, labels, training.learner, words=bundle.context, trained=trained)

    return _Pupil(made, temperature, training, trained if find_head(choice.head).closed_set else None)


def _outcome(
    trial: Trial,
    pupil: _Pupil,
    answers: Sequence[torch.Tensor | None],
    asked: Sequence[tuple[EncoderOutputs, torch.Tensor]],
    data_sets: Mapping[str, DataSet],
    together: float,
) -> Outcome:
    """Score the answers as one trial gives them; ``together`` are the seconds that it shares with others."""
    clock = time.perf_counter()
    scores = []
    for classes, said, (evidence, target) in zip(trial.asked, answers, asked, strict=True):
        if said is not None and trial.contestant.transductive:
            said = torch.from_numpy(transductive(evidence.image_feature.cpu().numpy(), said.numpy()))
        scores.append(None if said is None else score(said, target.cpu(), _names(classes, data_sets)).as_json())
    training = pupil.training
    best = None if training is None else training.epochs[training.best_epoch - 1]
    return Outcome(
        parameters=0 if training is None else learned_parameters(training),
        temperature=pupil.temperature,
        best_epoch=None if best is None else best.epoch,
        validation_accuracy=None if best is None else best.validation_accuracy,
        seconds=together + time.perf_counter() - clock,
        answers=tuple(scores),
    )


def _names(classes: Classes, data_sets: Mapping[str, DataSet]) -> tuple[str, ...]:
    return tuple(data_sets[classes.data_set].classes[place] for place in classes.places)


def _sensed(lesson: Lesson, contestant: HeadVariant, models: FrozenModels) -> Lesson:
    """The lesson as a contestant without some of its senses sees it."""
    if contestant.captions and contestant.patch_tokens:
        return lesson
    material = lesson.material
    checked = lesson.validation
    return Lesson(
        replace(material, views=tuple(_blinded(view, contestant, models) for view in material.views)),
        _blinded(lesson.whole, contestant, models),
        None if checked is None else (_blinded(checked[0], contestant, models), checked[1]),
    )


def _blinded(evidence: EncoderOutputs, contestant: HeadVariant, models: FrozenModels) -> EncoderOutputs:
    if not contestant.captions:
        silence = models.caption_encoder.embed([""])
        captions = ("",) * len(evidence)
        evidence = replace(evidence, captions=captions, caption_embedding=silence.expand(len(evidence), -1))
    if not contestant.patch_tokens:
        # One token is as good as many that are all zero: only their mean is used.
        evidence = replace(evidence, patch_tokens=torch.zeros_like(evidence.patch_tokens[:, :1]))
    return evidence
