"""Data sets for evaluation: ordered classes, a test split, a name and a hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePath

from bimors_cli.errors import InputError
from bimors_cli.options.scene import PixelOptions
from bimors_cli.training.examples.base import TEST, TRAIN, VALIDATION, Example, Examples
from bimors_cli.training.examples.folders import from_folder
from bimors_cli.training.examples.split_file import from_split

# Limits of the last byte of the hash of an image: below the first it is a test image, below the second validation.
_TEST_BELOW, _VALIDATION_BELOW = 77, 103


@dataclass(frozen=True)
class DataSet:
    """A source of examples with a test split. ``name`` is unique within an evaluation."""

    name: str
    examples: Examples

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names; `Classes` refers to them by index."""
        return self.examples.labels.names

    def test_rows(self) -> list[int]:
        """Indices of the test examples."""
        return [row for row, example in enumerate(self.examples.examples) if example.split == TEST]

    @cached_property
    def sha256(self) -> str:
        """Hash of the class names, and of the name, label, split and file content of every example."""
        digest = hashlib.sha256(json.dumps(self.classes).encode())
        for example in self.examples.examples:
            digest.update(json.dumps([_relative_name(example), example.label, example.split]).encode())
            digest.update(hashlib.sha256(Path(example.source_id).read_bytes()).digest())
        return digest.hexdigest()


def open_data_sets(sources: Sequence[str], images: Sequence[str], options: PixelOptions) -> tuple[DataSet, ...]:
    """Open folders of classes and split files.

    Parameters
    ----------
    sources : sequence of str
        Folders or split files (.json).
    images : sequence of str
        Image folders of the split files, in the same order; a single one is used for all.
    options : PixelOptions
        How images that are not 8-bit RGB are read.

    Raises
    ------
    InputError
        A source is not usable; two sources have the same name; the numbers of image folders and split files differ.
    """
    splits = [source for source in sources if _is_split(source)]
    if len(images) > max(1, len(splits)):
        raise InputError(
            f"--images was given {len(images)} times for {len(splits)} split files",
            "give one folder for each split file",
        )
    if 1 < len(images) < len(splits):
        raise InputError(
            f"--images was given {len(images)} times for {len(splits)} split files",
            "give one folder for each split file, or one folder for all",
        )
    folders = dict(zip(splits, images if len(images) > 1 else [*images] * len(splits), strict=False))
    found = [_open(Path(source), folders.get(source), options) for source in sources]
    for one in found:
        if sum(other.name == one.name for other in found) > 1:
            raise InputError(f"two data sets have the name {one.name!r}", "rename the folder or file of one of them")
    return tuple(found)


def _is_split(source: str) -> bool:
    return source.lower().endswith(".json") and not Path(source).is_dir()


def _open(source: Path, images: str | None, options: PixelOptions) -> DataSet:
    if _is_split(str(source)):
        examples = from_split(source, None if images is None else Path(images), options)
        name = source.stem
    else:
        examples = from_folder(source, options)
        folder = source.resolve()
        name = folder.parent.name if folder.name.lower() == "images" else folder.name
    examples = with_splits(examples)
    if TEST not in {example.split for example in examples.examples}:
        raise InputError(
            f"{source}: the data set has splits, but no test split",
            "add a folder test/ next to train/, or remove the splits: bimors then makes its own",
        )
    tested = {example.label for example in examples.examples if example.split == TEST}
    for label, kind in enumerate(examples.labels.names):
        if label not in tested:
            raise InputError(f"{source}: no test image of class {kind!r}", "add test images, or omit the class")
    return DataSet(name, replace(examples, name=name))


def with_splits(examples: Examples) -> Examples:
    """Split examples that have no splits by the hash of their names: about 60 % train, 10 % validation, 30 % test.

    The hash is that of ``<class>/<file>``, so the split of an image does not depend on the path of the folder or on
    other images.
    """
    if any(example.split is not None for example in examples.examples):
        return examples
    return replace(
        examples,
        examples=tuple(replace(example, split=_split_of(_relative_name(example))) for example in examples.examples),
    )


def _split_of(name: str) -> str:
    last = hashlib.sha1(name.encode(), usedforsecurity=False).digest()[-1]
    return TEST if last < _TEST_BELOW else VALIDATION if last < _VALIDATION_BELOW else TRAIN


def _relative_name(example: Example) -> str:
    """Folder and file name of an example, as ``<class>/<file>``."""
    return "/".join(PurePath(example.source_id).parts[-2:])
