"""Examples from a folder of pictures: a folder a class, with or without a train, a val and a test part."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Final

from bimors_cli.errors import InputError
from bimors_cli.options.scene import PixelOptions
from bimors_cli.training.examples.base import TEST, TRAIN, VALIDATION, Example, Examples, labels_of
from bimors_cli.training.examples.image_files import SUFFIXES, PictureFiles
from bimors_cli.training.examples.split_file import from_split

_PARTS: Final = {"train": TRAIN, "val": VALIDATION, "validation": VALIDATION, "test": TEST}
_LAYOUT: Final = "put pictures into FOLDER/CLASS/, or FOLDER/train/CLASS/ and FOLDER/val/CLASS/"

log = logging.getLogger("bimors")


def from_folder(folder: Path, options: PixelOptions | None = None) -> Examples:
    """Take the pictures of ``folder/<class>/``, or of ``folder/<train, val, test>/<class>/``, as examples.

    The class is the folder's name as it is; classes are in alphabetical order. Pictures are .jpg, .png, .tif and .webp
    in any case, directly in the class's folder; other files are counted and left, hidden ones ignored. Folders are
    parts where all of them are named train, val (or validation) or test and one is train.

    Of a folder with ``images/`` and one split file, what the split lists.

    Parameters
    ----------
    folder : Path
        The folder.
    options : PixelOptions, optional
        Bands, stretch and nodata of pictures that are not plain 8 bits; by default as of a scene.

    Raises
    ------
    InputError
        No such folder; nothing in it; no folder of a class; one class only; a class without pictures; parts that do
        not have the same classes; several splits beside ``images/``, or what `from_split` refuses.
    """
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "is not there"
        raise InputError(f"{folder} {what}", _LAYOUT)
    if (split := _official(folder)) is not None:
        return from_split(split, options=options)
    parts = _parts(folder)
    found: list[tuple[Path, str, str | None]] = []
    other = 0
    classes: dict[str | None, list[str]] = {}
    for part, place in parts.items():
        names = classes[part] = _classes(place)
        for name in names:
            pictures, others = _pictures(place / name)
            other += others
            found += [(path, name, part) for path in pictures]
    _check_same(folder, parts, classes)
    names = classes[next(iter(parts))]
    labels = labels_of(names, str(folder), "add a folder for another class")
    if other:
        log.info("%s: %d files are not pictures (%s) and were left", folder, other, " ".join(sorted(SUFFIXES)))
    examples = tuple(Example(names.index(name), path.as_posix(), part=part) for path, name, part in found)
    counts = Counter(part or "all" for _, _, part in found)
    return Examples(
        labels,
        examples,
        PictureFiles(tuple(path for path, _, _ in found), options or PixelOptions()),
        folder.resolve().name,
        {
            "source": "folder",
            "path": str(folder.resolve()),
            "pictures": ", ".join(f"{part} {count}" for part, count in counts.items()),
        },
    )


def _official(folder: Path) -> Path | None:
    """Return the split file of the official layout: nothing but ``images/`` and the split beside it."""
    if [path.name for path in _folders(folder)] != ["images"]:
        return None
    splits = sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))
    if len(splits) > 1:
        raise InputError(f"{folder} holds several splits: {', '.join(p.name for p in splits[:5])}", "name one of them")
    return splits[0] if splits else None


def _parts(folder: Path) -> dict[str | None, Path]:
    """Return the folder of each part, in the order train, val, test; the folder itself where there are no parts."""
    inside = _folders(folder)
    if not inside:
        here = any(path.suffix.lower() in SUFFIXES for path in folder.iterdir())
        empty = not any(folder.iterdir())
        what = "is empty" if empty else "has pictures but no folder a class" if here else "has no folder of a class"
        raise InputError(f"{folder} {what}", _LAYOUT)
    parts = {_PARTS[path.name.lower()]: path for path in inside if path.name.lower() in _PARTS}
    if TRAIN not in parts or len(parts) < len(inside):
        # A class may be called "test"; then it stands among others, and is one.
        return {None: folder}
    return {part: parts[part] for part in (TRAIN, VALIDATION, TEST) if part in parts}


def _classes(place: Path) -> list[str]:
    names = [path.name for path in _folders(place)]
    if not names:
        raise InputError(f"{place} has no folder of a class", _LAYOUT)
    return names


def _pictures(folder: Path) -> tuple[list[Path], int]:
    """Return the pictures of a class in order, and the number of other files."""
    files = sorted((p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")), key=lambda p: p.name)
    pictures = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not pictures:
        raise InputError(
            f"{folder}: a class without pictures ({' '.join(sorted(SUFFIXES))})", "add some, or remove the folder"
        )
    return pictures, len(files) - len(pictures)


def _check_same(folder: Path, parts: dict[str | None, Path], classes: dict[str | None, list[str]]) -> None:
    first, *others = parts
    for part in others:
        different = sorted(set(classes[first]) ^ set(classes[part]))
        if different:
            name = different[0]
            lacks = parts[part] if name in classes[first] else parts[first]
            raise InputError(
                f"{folder}: its parts have different classes: {lacks.name}/ lacks {', '.join(different[:3])}",
                "give every part the same classes",
            )


def _folders(place: Path) -> list[Path]:
    return sorted((p for p in place.iterdir() if p.is_dir() and not p.name.startswith(".")), key=lambda p: p.name)
