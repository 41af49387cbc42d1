"""What a source of training examples gives: which pictures there are, what they show, and how to read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bimors_cli.errors import InputError
from bimors_cli.labels import Labels, match_labels

TRAIN, VALIDATION, TEST = "train", "val", "test"


@dataclass(frozen=True, slots=True)
class Example:
    """One picture and its label.

    Attributes
    ----------
    label : int
        Place in the labels of the source.
    where : str
        What a person would look for: the file's path, or the tile's id. Unique within a source.
    block : str
        Examples of one block lie side by side: they must not part between training and validation. Empty for an
        example that stands alone.
    weight : float
        How much it counts, above 0.
    part : {"train", "val", "test"} or None
        Where the source itself says so.
    """

    label: int
    where: str
    block: str = ""
    weight: float = 1.0
    part: str | None = None


class Pictures(Protocol):
    """Who reads the pictures of examples."""

    def read(self, index: int) -> npt.NDArray[np.uint8] | None:
        """Return the picture of example `index` as uint8 [3, h, w]; None, and a warning, if it cannot be read."""


@dataclass(frozen=True)
class Examples:
    """The examples of a source.

    Attributes
    ----------
    labels : Labels
        The classes, in the order of the source.
    examples : tuple of Example
        In an order that does not depend on the machine.
    pictures : Pictures
        Reads the picture of ``examples[index]``.
    name : str
        Of the source: a folder's, or the stem of a file.
    description : mapping of str to str
        What the source is, for the manifest of what is trained on it.
    optional : frozenset of int
        Labels that may be without an example: they are there to be told from the others.
    """

    labels: Labels
    examples: tuple[Example, ...]
    pictures: Pictures
    name: str
    description: Mapping[str, str]
    optional: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.examples)

    def take(self, rows: Sequence[int]) -> Examples:
        """Return some of the examples, in the order of `rows`, with the pictures that belong to them."""
        chosen = tuple(self.examples[row] for row in rows)
        return replace(self, examples=chosen, pictures=_Some(self.pictures, tuple(rows)))


@dataclass(frozen=True)
class _Some:
    """The pictures of a part of a source."""

    pictures: Pictures
    rows: tuple[int, ...]

    def read(self, index: int) -> npt.NDArray[np.uint8] | None:
        return self.pictures.read(self.rows[index])


def choose(examples: Examples, labels: Labels) -> Examples:
    """Keep the examples of some classes, which get the order, synonyms and colours of these labels.

    A label is a class of the source by any of its names; several that are classes there become one.

    Raises
    ------
    InputError
        A label is no class of the source.
    """
    known = match_labels(labels, examples.labels.names)
    unknown = [name for name, some in zip(labels.names, known, strict=True) if not some]
    if unknown:
        raise InputError(
            f"{labels.source}: {', '.join(map(repr, unknown[:5]))} is no class of {examples.name}",
            f"it has {', '.join(examples.labels.names[:20])}",
        )
    now = {before: place for place, some in enumerate(known) for before in some}
    kept = examples.take([row for row, example in enumerate(examples.examples) if example.label in now])
    return replace(
        kept,
        labels=labels,
        examples=tuple(replace(example, label=now[example.label]) for example in kept.examples),
        optional=frozenset(now[label] for label in examples.optional if label in now),
    )


def labels_of(names: Sequence[str], where: str, hint: str) -> Labels:
    """Make labels of the class names of a source, in their order.

    Parameters
    ----------
    names : sequence of str
        The class names.
    where : str
        The source, for messages.
    hint : str
        What to do about fewer than two classes.

    Raises
    ------
    InputError
        Fewer than two classes, or one class in two spellings that differ in case only.
    LabelsError
        A name that is no label.
    """
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.strip().casefold(), name)
        if other != name:
            raise InputError(f"{where}: one class is written in two ways: {other!r}, {name!r}", "make them one")
    if len(names) < 2:
        found = f"only one class, {names[0]!r}" if names else "no class"
        raise InputError(f"{where}: {found}; at least two are needed", hint)
    return Labels.literal(names)
