"""Evaluation protocols: the classes and data sets that a head is trained on, and those that it is tested on.

Base-to-new, cross-dataset and domain generalization as in CoOp and CoCoOp (Zhou et al. 2022, arXiv 2109.01134 and
2203.05557), as used in remote sensing; plain is few-shot learning without a distribution shift.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bimors_cli.errors import InputError
from bimors_cli.labels import match_names

BASE_TO_NEW, CROSS_DATASET, DOMAIN, PLAIN = "base-to-new", "cross-dataset", "domain-generalization", "plain"


@dataclass(frozen=True)
class Classes:
    """A subset of the classes of a data set, by index."""

    data_set: str
    indices: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        """Convert it to the form of ``results.json``."""
        return {"data_set": self.data_set, "places": self.indices}


@dataclass(frozen=True)
class Task:
    """A column of a protocol's table: training on ``train_classes``, testing on images of ``test_classes``.

    ``table`` and ``column`` are the titles in the results; ``role`` is ``base``, ``new``, ``source`` or ``target``.
    """

    protocol: str
    table: str
    column: str
    role: str
    train_classes: Classes
    test_classes: Classes

    def as_json(self) -> dict[str, Any]:
        """Convert it to the form of ``results.json``."""
        return {
            "protocol": self.protocol,
            "table": self.table,
            "column": self.column,
            "role": self.role,
            "learned": self.train_classes.as_json(),
            "asked": self.test_classes.as_json(),
        }


def tasks_of(protocol: str, data_sets: Mapping[str, Sequence[str]]) -> tuple[Task, ...]:
    """List the tasks of a protocol.

    Parameters
    ----------
    protocol : str
        One of `PROTOCOLS`.
    data_sets : mapping of str to sequence of str
        Class names in order, by name of the data set.

    Raises
    ------
    InputError
        The protocol needs more data sets, more classes, or shared classes.
    """
    return PROTOCOLS[protocol](data_sets)


def base_count(classes: int) -> int:
    """Number of base classes of K classes: the first half, rounded up."""
    return math.ceil(classes / 2)


def _all(name: str, classes: Sequence[str]) -> Classes:
    return Classes(name, tuple(range(len(classes))))


def _base_to_new(data_sets: Mapping[str, Sequence[str]]) -> tuple[Task, ...]:
    tasks = []
    for name, classes in data_sets.items():
        if len(classes) < 4:
            raise InputError(
                f"{name}: base-to-new needs at least 4 classes, the data set has {len(classes)}", "omit the data set"
            )
        count = base_count(len(classes))
        base, new = Classes(name, tuple(range(count))), Classes(name, tuple(range(count, len(classes))))
        tasks += [Task(BASE_TO_NEW, name, role, role, base, tested) for role, tested in (("base", base), ("new", new))]
    return tuple(tasks)


def _cross_dataset(data_sets: Mapping[str, Sequence[str]]) -> tuple[Task, ...]:
    if len(data_sets) < 2:
        raise InputError("cross-dataset needs at least 2 data sets, 1 was given", "add a data set to test on")
    return _from_each_to_all(CROSS_DATASET, {name: _all(name, classes) for name, classes in data_sets.items()})


def _domain_generalization(data_sets: Mapping[str, Sequence[str]]) -> tuple[Task, ...]:
    first, *others = data_sets.values()
    shared = [name for name in first if all(None not in match_names([name], other) for other in others)]
    if len(shared) < 2:
        raise InputError(
            f"domain-generalization needs at least 2 classes that all data sets have; {', '.join(data_sets)} share "
            f"{' and '.join(map(repr, shared)) or 'none'}",
            "use data sets with the same class names, such as the v2 splits",
        )
    subsets = {}
    for name, classes in data_sets.items():
        indices = match_names(shared, classes)
        subsets[name] = Classes(name, tuple(index for index in indices if index is not None))
    return _from_each_to_all(DOMAIN, subsets)


def _plain(data_sets: Mapping[str, Sequence[str]]) -> tuple[Task, ...]:
    subsets = [_all(name, classes) for name, classes in data_sets.items()]
    return tuple(Task(PLAIN, "all classes", one.data_set, "source", one, one) for one in subsets)


def _from_each_to_all(protocol: str, subsets: Mapping[str, Classes]) -> tuple[Task, ...]:
    return tuple(
        Task(protocol, source, target, "source" if target == source else "target", trained, tested)
        for source, trained in subsets.items()
        for target, tested in sorted(subsets.items(), key=lambda item: item[0] != source)
    )


PROTOCOLS: Final[Mapping[str, Callable[[Mapping[str, Sequence[str]]], tuple[Task, ...]]]] = {
    BASE_TO_NEW: _base_to_new,
    CROSS_DATASET: _cross_dataset,
    DOMAIN: _domain_generalization,
    PLAIN: _plain,
}
