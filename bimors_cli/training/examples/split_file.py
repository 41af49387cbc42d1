"""Examples from a split file of the published benchmarks: the split and the class of each image."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any, Final

from bimors_cli.errors import InputError
from bimors_cli.options.scene import PixelOptions
from bimors_cli.training.examples.base import TEST, TRAIN, VALIDATION, Example, Examples, class_labels
from bimors_cli.training.examples.image_files import ImageFiles

_FORMAT: Final = 'expected {"train": [["class/image.jpg", 0, "class"], ...], "val": [...], "test": [...]}'
_MAX_BYTES: Final = 256 * 1024 * 1024  # the largest published split has 9 MB


def from_split(path: Path, images: Path | None = None, options: PixelOptions | None = None) -> Examples:
    """Take the images that a split file lists as examples: ``{"train": [[path, label, class], ...], "val", "test"}``.

    The labels are in the order of their numbers in the file.

    Parameters
    ----------
    path : Path
        The JSON file; ``train`` is required, ``val`` and ``test`` are optional.
    images : Path, optional
        The folder that the paths are relative to; by default ``images`` next to the file.
    options : PixelOptions, optional
        Bands, stretch and nodata of images that are not 8-bit RGB; by default as for a scene.

    Raises
    ------
    InputError
        The file does not exist, is not JSON or has another structure; labels and classes are inconsistent; a path
        leaves the folder, is listed twice, or does not exist.
    """
    rows = [
        (split, row, f"{path}, {split} {i}") for split, rows in _load(path).items() for i, row in enumerate(rows, 1)
    ]
    entries = [(split, *_entry(row, where)) for split, row, where in rows]
    names = _names(entries, path)
    folder = path.parent / "images" if images is None else images
    if not folder.is_dir():
        raise InputError(f"{folder}: folder of the images of {path.name} not found", "give it with --images")
    files = _files(folder, entries, path)
    examples = tuple(
        Example(label, file.as_posix(), split=split) for file, (split, _, label, _) in zip(files, entries, strict=True)
    )
    return Examples(
        class_labels(names, str(path), "add images of another class"),
        examples,
        ImageFiles(files, options or PixelOptions()),
        path.stem,
        {
            "source": "split",
            "path": str(path.resolve()),
            "images": str(folder.resolve()),
            "pictures": ", ".join(
                f"{split} {count}"
                for split in (TRAIN, VALIDATION, TEST)
                if (count := sum(entry[0] == split for entry in entries))
            ),
        },
    )


def _load(path: Path) -> dict[str, list[Any]]:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot read the split file: {error.strerror or error}", _FORMAT) from error
    if len(data) > _MAX_BYTES:
        raise InputError(f"{path}: exceeds {_MAX_BYTES // 1024**2} MiB, not a split file", _FORMAT)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {' '.join(str(error).split())}", _FORMAT) from error
    if not isinstance(value, dict) or not value.get(TRAIN):
        raise InputError(f"{path}: no list of images under {TRAIN!r}", _FORMAT)
    splits = {split: value[split] for split in (TRAIN, VALIDATION, TEST) if split in value}
    for split, rows in splits.items():
        if not isinstance(rows, list):
            raise InputError(f"{path}: {split!r} is not a list", _FORMAT)
    return splits


def _entry(row: Any, where: str) -> tuple[str, int, str]:
    match row:
        case [str(name), int(label), str(text)] if not isinstance(label, bool) and label >= 0:
            inside = PurePosixPath(name.replace("\\", "/"))
            # A colon in the first part is a Windows drive.
            if not inside.parts or inside.is_absolute() or ".." in inside.parts or ":" in inside.parts[0]:
                raise InputError(
                    f"{where}: {name!r} is outside the folder of images", "use relative paths inside the folder"
                )
            return str(inside), label, text
    raise InputError(f"{where}: not [path, label, class]", _FORMAT)


def _names(entries: list[tuple[str, str, int, str]], path: Path) -> list[str]:
    """Return the class of each label, from 0 on."""
    names: dict[int, str] = {}
    for _, _, label, text in entries:
        if names.setdefault(label, text) != text:
            raise InputError(f"{path}: label {label} is {names[label]!r} and {text!r}", "give each class one number")
    missing = set(range(len(names))) - set(names)
    if missing:
        raise InputError(f"{path}: no image has label {min(missing)}", "number the classes from 0 without gaps")
    if len(set(names.values())) < len(names):
        twice = next(text for text in names.values() if list(names.values()).count(text) > 1)
        raise InputError(f"{path}: {twice!r} has two labels", "give each class one number")
    return [names[label] for label in sorted(names)]


def _files(folder: Path, entries: list[tuple[str, str, int, str]], path: Path) -> tuple[Path, ...]:
    files: dict[str, Path] = {}
    for split, name, _, _ in entries:
        if name in files:
            raise InputError(f"{path}: {name} is listed twice, again in {split!r}", "list each image once")
        files[name] = folder / name
    missing = [name for name, file in files.items() if not file.is_file()]
    if missing:
        raise InputError(
            f"{path}: {len(missing):,} of {len(files):,} images not found in {folder}, first: {missing[0]}",
            "give the folder of the images with --images",
        )
    return tuple(files.values())
