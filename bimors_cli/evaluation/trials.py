"""A trial: one head learns once and answers what it is asked about. All protocols are made of trials."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.evaluation.contestants import Contestant
from bimors_cli.evaluation.datasets import DataSet
from bimors_cli.evaluation.evidence_room import EvidenceRoom
from bimors_cli.evaluation.options import CompareOptions
from bimors_cli.evaluation.protocols import Classes, Question
from bimors_cli.labels import Labels
from bimors_cli.metrics.scores import score
from bimors_cli.model.evidence import Evidence, FrozenModels
from bimors_cli.model.heads import Head, ZeroShotHead, probabilities
from bimors_cli.model.names import new_names
from bimors_cli.model.trainable import make_head
from bimors_cli.training.learn import Lesson, begin, learn, learned_parameters
from bimors_cli.training.loop import Training, answer


@dataclass(frozen=True)
class Trial:
    """``learned`` None and ``shots`` and ``seed`` 0 for a head that learns nothing. ``asked`` in order, none twice."""

    contestant: Contestant
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


def trials_of(questions: Sequence[Question], options: CompareOptions) -> tuple[Trial, ...]:
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


def run_trial(
    trial: Trial,
    models: FrozenModels,
    bundle: Bundle,
    data_sets: Mapping[str, DataSet],
    room: EvidenceRoom,
    options: CompareOptions,
    after_epoch: Callable[[Training], None] = lambda training: None,
) -> Outcome:
    """Let a head learn and answer.

    Raises
    ------
    BimorsError
        A label is too long, a picture cannot be read any more; whatever ``after_epoch`` raises.
    """

    def names(classes: Classes) -> tuple[str, ...]:
        return tuple(data_sets[classes.data_set].classes[place] for place in classes.places)

    contestant = trial.contestant
    asked = [room.asked(classes) for classes in trial.asked]
    lesson = None if trial.learned is None else room.lesson(trial.learned, trial.shots, trial.seed)
    clock = time.perf_counter()
    temperature = bundle.zero_shot_temperature
    training: Training | None = None
    answerer: Callable[[Labels], Head]
    if contestant.choice is None or trial.learned is None or lesson is None:

        def answerer(labels: Labels) -> Head:
            return ZeroShotHead(models.clip, labels, bundle.context)

        trained: tuple[str, ...] = ()
    else:
        trained = names(trial.learned)
        choice = contestant.choice
        lesson = _sensed(lesson, contestant, models)
        if options.official_quirks:
            evidence, target = room.asked(trial.learned)
            lesson = replace(lesson, validation=(_blinded(evidence, contestant, models), target))
        recipe = contestant.recipe(options.epochs, options.batch_size, trial.seed)
        training, head = begin(choice, models, bundle, Labels.of(trained), lesson, recipe)
        temperature = learn(training, head, lesson, recipe, bundle, after_epoch)
        learner = training.learner

        def answerer(labels: Labels) -> Head:
            return make_head(choice.head, models.clip, labels, learner, words=bundle.context, trained=trained)

    answers: list[dict[str, Any] | None] = []
    for classes, (evidence, target) in zip(trial.asked, asked, strict=True):
        called = names(classes)
        if contestant.choice is not None and contestant.choice.head == "linear" and new_names(called, trained):
            answers.append(None)
            continue
        logits = answer(answerer(Labels.of(called)), _blinded(evidence, contestant, models))
        answers.append(score(probabilities(logits, temperature).cpu(), target.cpu(), called).as_json())
    best = None if training is None else training.epochs[training.best_epoch - 1]
    return Outcome(
        parameters=0 if training is None else learned_parameters(training),
        temperature=temperature,
        best_epoch=None if best is None else best.epoch,
        validation_accuracy=None if best is None else best.validation_accuracy,
        seconds=time.perf_counter() - clock,
        answers=tuple(answers),
    )


def _sensed(lesson: Lesson, contestant: Contestant, models: FrozenModels) -> Lesson:
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


def _blinded(evidence: Evidence, contestant: Contestant, models: FrozenModels) -> Evidence:
    if not contestant.captions:
        silence = models.caption_encoder.embed([""])
        captions = ("",) * len(evidence)
        evidence = replace(evidence, captions=captions, caption_embedding=silence.expand(len(evidence), -1))
    if not contestant.patch_tokens:
        # One token is as good as many that are all zero: only their mean is used.
        evidence = replace(evidence, patch_tokens=torch.zeros_like(evidence.patch_tokens[:, :1]))
    return evidence
