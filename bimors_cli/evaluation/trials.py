"""A trial trains one head once and tests it on one or more sets of classes. All protocols consist of trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from bimors_cli.evaluation.options import EvaluateOptions
from bimors_cli.evaluation.protocols import Classes, Task
from bimors_cli.evaluation.variants import HeadVariant


@dataclass(frozen=True)
class Trial:
    """A head variant, its training classes and its test classes; the latter are ordered and unique.

    For a head without training ``train_classes`` is None, and ``shots`` and ``seed`` are 0.
    """

    variant: HeadVariant
    train_classes: Classes | None
    shots: int
    seed: int
    test_classes: tuple[Classes, ...]

    def as_json(self) -> dict[str, Any]:
        """Convert it to the form of ``results.json``."""
        return {
            "contestant": asdict(self.variant),
            "learned": None if self.train_classes is None else self.train_classes.as_json(),
            "shots": self.shots,
            "seed": self.seed,
            "asked": [classes.as_json() for classes in self.test_classes],
        }


@dataclass(frozen=True)
class Outcome:
    """The result of a trial as plain values.

    ``scores`` are in the order of ``Trial.test_classes``; None where the head cannot predict the classes (a linear
    probe, and classes that it was not trained on).
    """

    parameters: int
    temperature: float
    best_epoch: int | None
    validation_accuracy: float | None
    seconds: float
    scores: tuple[dict[str, Any] | None, ...]

    def as_json(self) -> dict[str, Any]:
        """Convert it to the form of ``results.json`` and ``trials.jsonl``."""
        return {
            "parameters": self.parameters,
            "temperature": self.temperature,
            "best_epoch": self.best_epoch,
            "validation_accuracy": self.validation_accuracy,
            "seconds": self.seconds,
            "answers": self.scores,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Outcome:
        """Read what `as_json` returns. Raises KeyError or TypeError."""
        fields = {key: value for key, value in content.items() if key != "answers"}
        return cls(**fields, scores=tuple(content["answers"]))


def trials_of(tasks: Sequence[Task], options: EvaluateOptions) -> tuple[Trial, ...]:
    """List the trials of some tasks; a head is trained once for all tasks with the same training examples.

    Trials are ordered by data set and seed, then in the order of the tasks.
    """
    variants = options.variants
    tests: dict[Classes, list[Classes]] = {}
    for task in tasks:
        tested = tests.setdefault(task.train_classes, [])
        if task.test_classes not in tested:
            tested.append(task.test_classes)
    all_tested = tuple(dict.fromkeys(task.test_classes for task in tasks))
    trials = [Trial(variant, None, 0, 0, all_tested) for variant in variants if variant.choice is None]
    names = list(dict.fromkeys(classes.data_set for classes in tests))
    for name in names:
        for seed in options.seeds:
            trials += [
                Trial(variant, trained, shots, seed, tuple(tested))
                for trained, tested in tests.items()
                if trained.data_set == name
                for shots in options.shots
                for variant in variants
                if variant.choice is not None
            ]
    return tuple(trials)


def unrefined(trial: Trial) -> Trial:
    """The trial without refinement; it is equal for trials that share a trained head."""
    return replace(trial, variant=trial.variant.without_refinement)
