"""Training examples: labelled images of a source, and the protocol for reading them."""

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
    """One image and its label.

    Attributes
    ----------
    label : int
        Index into the labels of the source.
    source_id : str
        Path of the file, or id of the tile. Unique within a source.
    spatial_block : str
        Examples of one block are neighbours: they must not be divided between training and validation. Empty for an
        example without neighbours.
    weight : float
        Weight in training, above 0.
    split : {"train", "val", "test"} or None
        The split that the source assigns, if it does.
    group : str
        The thing that was drawn or corrected: examples of one group must not be divided between the folds of a
        cross-validation. A drawn feature with those of its class that touch it; the spatial block of any other tile;
        empty for an image file, which is a group of its own.
    """

    label: int
    source_id: str
    spatial_block: str = ""
    weight: float = 1.0
    split: str | None = None
    group: str = ""


class ImageReader(Protocol):
    """Reads the images of examples."""

    def read(self, index: int) -> npt.NDArray[np.uint8] | None:
        """Return the image of example `index` as uint8 [3, h, w]; None, and a warning, if it cannot be read."""


@dataclass(frozen=True)
class Examples:
    """The examples of a source.

    Attributes
    ----------
    labels : Labels
        The classes, in the order of the source.
    examples : tuple of Example
        In an order that does not depend on the machine.
    images : ImageReader
        Reads the image of ``examples[index]``.
    name : str
        Name of the folder, or stem of the file.
    description : mapping of str to str
        Description of the source for the manifest of an adapter.
    optional : frozenset of int
        Labels that may have no example: the adapter learns to distinguish the others from them.
    """

    labels: Labels
    examples: tuple[Example, ...]
    images: ImageReader
    name: str
    description: Mapping[str, str]
    optional: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.examples)

    def take(self, rows: Sequence[int]) -> Examples:
        """Return some of the examples, in the order of `rows`, with their images."""
        chosen = tuple(self.examples[row] for row in rows)
        return replace(self, examples=chosen, images=_Subset(self.images, tuple(rows)))


@dataclass(frozen=True)
class _Subset:
    """Some of the images of a source."""

    images: ImageReader
    rows: tuple[int, ...]

    def read(self, index: int) -> npt.NDArray[np.uint8] | None:
        return self.images.read(self.rows[index])


def find_images(examples: Examples) -> tuple[ImageReader, list[int]]:
    """Return the reader of the whole source, and the index there of each example."""
    images, rows = examples.images, list(range(len(examples)))
    while isinstance(images, _Subset):
        rows = [images.rows[row] for row in rows]
        images = images.images
    return images, rows


def select_classes(examples: Examples, labels: Labels) -> Examples:
    """Select the examples of some classes, with the order, synonyms and colours of these labels.

    A label matches a class of the source by its name or a synonym; several classes that match one label are merged.

    Raises
    ------
    InputError
        A label matches no class of the source.
    """
    known = match_labels(labels, examples.labels.names)
    unknown = [name for name, classes in zip(labels.names, known, strict=True) if not classes]
    if unknown:
        raise InputError(
            f"{labels.source}: class not found in {examples.name}: {', '.join(map(repr, unknown[:5]))}",
            f"its classes are {', '.join(examples.labels.names[:20])}",
        )
    new_label = {old: index for index, classes in enumerate(known) for old in classes}
    selected = examples.take([row for row, example in enumerate(examples.examples) if example.label in new_label])
    return replace(
        selected,
        labels=labels,
        examples=tuple(replace(example, label=new_label[example.label]) for example in selected.examples),
        optional=frozenset(new_label[label] for label in examples.optional if label in new_label),
    )


def class_labels(names: Sequence[str], where: str, hint: str) -> Labels:
    """Make labels of the class names of a source, in their order.

    Parameters
    ----------
    names : sequence of str
        The class names.
    where : str
        The source, for messages.
    hint : str
        Hint of the error about fewer than two classes.

    Raises
    ------
    InputError
        There are fewer than two classes, or two names differ in case only.
    LabelsError
        A name cannot be a label.
    """
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.strip().casefold(), name)
        if other != name:
            raise InputError(f"{where}: two spellings of one class: {other!r}, {name!r}", "use one spelling")
    if len(names) < 2:
        found = f"only the class {names[0]!r}" if names else "no class"
        raise InputError(f"{where}: {found} found, at least two are needed", hint)
    return Labels.literal(names)
