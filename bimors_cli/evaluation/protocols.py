"""The protocols of the literature: which classes of which data set a head learns, and which it is then asked about.

Base-to-new, cross-dataset and domain generalization as in CoOp and CoCoOp (Zhou et al. 2022, arXiv 2109.01134 and
2203.05557), which the remote-sensing papers follow; plain is few-shot learning without a shift.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bimors_cli.errors import InputError
from bimors_cli.labels import match_names

BASE_TO_NEW, CROSS_DATASET, DOMAIN, PLAIN = "base-to-new", "cross-dataset", "domain-generalization", "plain"


@dataclass(frozen=True)
class Classes:
    """Some classes of a data set, by their places in its order."""

    data_set: str
    places: tuple[int, ...]


@dataclass(frozen=True)
class Question:
    """A column of a protocol's table: after learning ``learned``, test pictures of the classes ``asked``.

    ``table`` and ``column`` are its place for readers; ``role`` is ``base``, ``new``, ``source`` or ``target``.
    """

    protocol: str
    table: str
    column: str
    role: str
    learned: Classes
    asked: Classes


def questions(protocol: str, data_sets: Mapping[str, Sequence[str]]) -> tuple[Question, ...]:
    """Lay out a protocol.

    Parameters
    ----------
    protocol : str
        One of `PROTOCOLS`.
    data_sets : mapping of str to sequence of str
        Name and class names of each, in order.

    Raises
    ------
    InputError
        The data sets do not serve: too few classes, none shared, only one where several are needed.
    """
    return PROTOCOLS[protocol](data_sets)


def base_count(classes: int) -> int:
    """How many of K classes are base: the first half, the larger one of an odd number."""
    return math.ceil(classes / 2)


def _all(name: str, classes: Sequence[str]) -> Classes:
    return Classes(name, tuple(range(len(classes))))


def _base_to_new(data_sets: Mapping[str, Sequence[str]]) -> tuple[Question, ...]:
    found = []
    for name, classes in data_sets.items():
        if len(classes) < 4:
            raise InputError(
                f"{name}: base-to-new needs two base and two new classes, it has {len(classes)}", "leave it out"
            )
        cut = base_count(len(classes))
        base, new = Classes(name, tuple(range(cut))), Classes(name, tuple(range(cut, len(classes))))
        found += [
            Question(BASE_TO_NEW, name, role, role, base, asked) for role, asked in (("base", base), ("new", new))
        ]
    return tuple(found)


def _cross_dataset(data_sets: Mapping[str, Sequence[str]]) -> tuple[Question, ...]:
    if len(data_sets) < 2:
        raise InputError("cross-dataset needs a data set to learn from and another to be asked about", "give two")
    return _from_each_to_all(CROSS_DATASET, {name: _all(name, classes) for name, classes in data_sets.items()})


def _domain_generalization(data_sets: Mapping[str, Sequence[str]]) -> tuple[Question, ...]:
    first, *others = data_sets.values()
    shared = [name for name in first if all(None not in match_names([name], other) for other in others)]
    if len(shared) < 2:
        raise InputError(
            f"domain-generalization needs classes that all data sets have; {', '.join(data_sets)} share "
            f"{' and '.join(map(repr, shared)) or 'none'}",
            "give data sets with the same class names, such as the v2 splits",
        )
    some = {}
    for name, classes in data_sets.items():
        known = match_names(shared, classes)
        some[name] = Classes(name, tuple(place for place in known if place is not None))
    return _from_each_to_all(DOMAIN, some)


def _plain(data_sets: Mapping[str, Sequence[str]]) -> tuple[Question, ...]:
    every = [_all(name, classes) for name, classes in data_sets.items()]
    return tuple(Question(PLAIN, "all classes", one.data_set, "source", one, one) for one in every)


def _from_each_to_all(protocol: str, some: Mapping[str, Classes]) -> tuple[Question, ...]:
    return tuple(
        Question(protocol, source, target, "source" if target == source else "target", learned, asked)
        for source, learned in some.items()
        for target, asked in sorted(some.items(), key=lambda item: item[0] != source)
    )


PROTOCOLS: Final[Mapping[str, Callable[[Mapping[str, Sequence[str]]], tuple[Question, ...]]]] = {
    BASE_TO_NEW: _base_to_new,
    CROSS_DATASET: _cross_dataset,
    DOMAIN: _domain_generalization,
    PLAIN: _plain,
}
