"""Examples from a folder of images: one folder per class, with or without train, val and test splits."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Final

from bimors_cli.errors import InputError
from bimors_cli.options.scene import PixelOptions
from bimors_cli.training.examples.base import TEST, TRAIN, VALIDATION, Example, Examples, class_labels
from bimors_cli.training.examples.image_files import SUFFIXES, ImageFiles
from bimors_cli.training.examples.split_file import from_split

_SPLITS: Final = {"train": TRAIN, "val": VALIDATION, "validation": VALIDATION, "test": TEST}
_LAYOUT: Final = "put images in FOLDER/CLASS/, or in FOLDER/train/CLASS/ and FOLDER/val/CLASS/"

log = logging.getLogger("bimors")


def from_folder(folder: Path, options: PixelOptions | None = None) -> Examples:
    """Take the images of ``folder/<class>/``, or of ``folder/<train, val, test>/<class>/``, as examples.

    The class is the name of the folder, unchanged; classes are in alphabetical order. Images are .jpg, .png, .tif and
    .webp files in any case, directly in the folder of the class; other files are counted and skipped, hidden ones
    ignored. Folders are splits if all of them are named train, val (or validation) or test and one of them is train.

    If a folder holds ``images/`` and one split file, the examples are those of the split file.

    Parameters
    ----------
    folder : Path
        The folder.
    options : PixelOptions, optional
        Bands, stretch and nodata of images that are not 8-bit RGB; by default as for a scene.

    Raises
    ------
    InputError
        The folder does not exist, is empty or holds no class folder; there is only one class, or a class without
        images; the splits have different classes; there are several split files next to ``images/``; or as
        `from_split`.
    """
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise InputError(f"{folder} {what}", _LAYOUT)
    if (split_file := _official_split(folder)) is not None:
        return from_split(split_file, options=options)
    splits = _split_folders(folder)
    found: list[tuple[Path, str, str | None]] = []
    skipped = 0
    classes: dict[str | None, list[str]] = {}
    for split, split_folder in splits.items():
        names = classes[split] = _classes(split_folder)
        for name in names:
            images, others = _images(split_folder / name)
            skipped += others
            found += [(path, name, split) for path in images]
    _check_same_classes(folder, splits, classes)
    names = classes[next(iter(splits))]
    labels = class_labels(names, str(folder), "add a folder for another class")
    if skipped:
        log.info("%s: skipped %d files that are not images (%s)", folder, skipped, " ".join(sorted(SUFFIXES)))
    examples = tuple(Example(names.index(name), path.as_posix(), split=split) for path, name, split in found)
    counts = Counter(split or "all" for _, _, split in found)
    return Examples(
        labels,
        examples,
        ImageFiles(tuple(path for path, _, _ in found), options or PixelOptions()),
        folder.resolve().name,
        {
            "source": "folder",
            "path": str(folder.resolve()),
            "pictures": ", ".join(f"{split} {count}" for split, count in counts.items()),
        },
    )


def _official_split(folder: Path) -> Path | None:
    """Return the split file of the official layout: only ``images/`` and one split file; else None."""
    if [path.name for path in _folders(folder)] != ["images"]:
        return None
    splits = sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))
    if len(splits) > 1:
        raise InputError(
            f"{folder} holds several split files: {', '.join(p.name for p in splits[:5])}", "give one of them"
        )
    return splits[0] if splits else None


def _split_folders(folder: Path) -> dict[str | None, Path]:
    """Return the folder of each split, in the order train, val, test; the folder itself if there are no splits."""
    inside = _folders(folder)
    if not inside:
        here = any(path.suffix.lower() in SUFFIXES for path in folder.iterdir())
        empty = not any(folder.iterdir())
        what = "is empty" if empty else "holds images but no class folder" if here else "holds no class folder"
        raise InputError(f"{folder} {what}", _LAYOUT)
    splits = {_SPLITS[path.name.lower()]: path for path in inside if path.name.lower() in _SPLITS}
    if TRAIN not in splits or len(splits) < len(inside):
        # A class may be named "test": then there are other class folders next to it.
        return {None: folder}
    return {split: splits[split] for split in (TRAIN, VALIDATION, TEST) if split in splits}


def _classes(folder: Path) -> list[str]:
    names = [path.name for path in _folders(folder)]
    if not names:
        raise InputError(f"{folder} holds no class folder", _LAYOUT)
    return names


def _images(folder: Path) -> tuple[list[Path], int]:
    """Return the images of a class in order, and the number of other files."""
    files = sorted((p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")), key=lambda p: p.name)
    images = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not images:
        raise InputError(f"{folder} holds no images ({' '.join(sorted(SUFFIXES))})", "add some, or remove the folder")
    return images, len(files) - len(images)


def _check_same_classes(folder: Path, splits: dict[str | None, Path], classes: dict[str | None, list[str]]) -> None:
    first, *others = splits
    for split in others:
        different = sorted(set(classes[first]) ^ set(classes[split]))
        if different:
            incomplete = splits[split] if different[0] in classes[first] else splits[first]
            raise InputError(
                f"{folder}: the splits have different classes: {incomplete.name}/ lacks {', '.join(different[:3])}",
                "use the same class folders in every split",
            )


def _folders(folder: Path) -> list[Path]:
    return sorted((p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")), key=lambda p: p.name)
