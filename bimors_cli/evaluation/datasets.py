"""Data sets as the protocols want them: classes in order, a test part, a name, a fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePath

from bimors_cli.errors import InputError
from bimors_cli.options.classify import SceneOptions
from bimors_cli.training.examples.base import TEST, TRAIN, VALIDATION, Example, Examples
from bimors_cli.training.examples.folders import from_folder
from bimors_cli.training.examples.split_file import from_split

# Of the last byte of a picture's hash: below the first it is for testing, below the second for validation.
_TEST_BELOW, _VALIDATION_BELOW = 77, 103


@dataclass(frozen=True)
class DataSet:
    """A source of examples with a test part. ``name`` is unique within an evaluation."""

    name: str
    examples: Examples

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in order; their places are the classes of a `Training` and a `Question`."""
        return self.examples.labels.names

    def test_rows(self) -> list[int]:
        """Places of the test part's examples."""
        return [row for row, example in enumerate(self.examples.examples) if example.split == TEST]

    @cached_property
    def sha256(self) -> str:
        """Of what all its examples are called, what they show, their parts, and the content of their files."""
        told = hashlib.sha256(json.dumps(self.classes).encode())
        for example in self.examples.examples:
            told.update(json.dumps([_inside(example), example.label, example.split]).encode())
            told.update(hashlib.sha256(Path(example.source_id).read_bytes()).digest())
        return told.hexdigest()


def open_data_sets(sources: Sequence[str], images: Sequence[str], options: SceneOptions) -> tuple[DataSet, ...]:
    """Open folders of classes and split files.

    Parameters
    ----------
    sources : sequence of str
        Folders or split files (.json).
    images : sequence of str
        The folders of the pictures of the split files, in their order; one serves all.
    options : SceneOptions
        How pictures that are not plain 8 bits are read.

    Raises
    ------
    InputError
        A source cannot be used; two have one name; the folders of pictures do not go with the split files.
    """
    splits = [source for source in sources if _is_split(source)]
    if len(images) > max(1, len(splits)):
        raise InputError(f"--images is given {len(images)} times for {len(splits)} split files", "one each, in order")
    if 1 < len(images) < len(splits):
        raise InputError(f"--images is given {len(images)} times for {len(splits)} split files", "one each, or one")
    folders = dict(zip(splits, images if len(images) > 1 else [*images] * len(splits), strict=False))
    found = [_open(Path(source), folders.get(source), options) for source in sources]
    for one in found:
        if sum(other.name == one.name for other in found) > 1:
            raise InputError(f"two data sets are called {one.name!r}", "rename the folder or the file of one")
    return tuple(found)


def _is_split(source: str) -> bool:
    return source.lower().endswith(".json") and not Path(source).is_dir()


def _open(source: Path, images: str | None, options: SceneOptions) -> DataSet:
    if _is_split(str(source)):
        examples = from_split(source, None if images is None else Path(images), options)
        name = source.stem
    else:
        examples = from_folder(source, options)
        folder = source.resolve()
        name = folder.parent.name if folder.name.lower() == "images" else folder.name
    examples = parted(examples)
    parts = {example.split for example in examples.examples}
    if TEST not in parts:
        raise InputError(
            f"{source}: has parts, but none to test on", "add test/ beside train/, or leave the parts to bimors"
        )
    tested = {example.label for example in examples.examples if example.split == TEST}
    for label, known in enumerate(examples.labels.names):
        if label not in tested:
            raise InputError(f"{source}: no test picture of {known!r}", "add some, or leave the class out")
    return DataSet(name, replace(examples, name=name))


def parted(examples: Examples) -> Examples:
    """Part examples that have no parts by the hash of their names: near 60 % to train, 10 % to validate, 30 % to test.

    What is hashed is ``<class>/<file>``, so a picture stays in its part wherever the folder lies and whatever else is
    added to it.
    """
    if any(example.split is not None for example in examples.examples):
        return examples
    return replace(
        examples, examples=tuple(replace(example, split=_part(_inside(example))) for example in examples.examples)
    )


def _part(name: str) -> str:
    last = hashlib.sha1(name.encode(), usedforsecurity=False).digest()[-1]
    return TEST if last < _TEST_BELOW else VALIDATION if last < _VALIDATION_BELOW else TRAIN


def _inside(example: Example) -> str:
    """Folder and file name of an example."""
    return "/".join(PurePath(example.source_id).parts[-2:])
