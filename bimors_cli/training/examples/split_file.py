"""Examples from a split file of the published benchmarks: which picture is in which part, and what it shows."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any, Final

from bimors_cli.errors import InputError
from bimors_cli.options.scene import PixelOptions
from bimors_cli.training.examples.base import TEST, TRAIN, VALIDATION, Example, Examples, labels_of
from bimors_cli.training.examples.image_files import PictureFiles

_FORM: Final = 'write {"train": [["class/picture.jpg", 0, "class"], ...], "val": [...], "test": [...]}'
_MAX_BYTES: Final = 256 * 1024 * 1024  # the largest published split has 9 MB


def from_split(path: Path, images: Path | None = None, options: PixelOptions | None = None) -> Examples:
    """Take the pictures that a split file lists as examples: ``{"train": [[path, label, class], ...], "val", "test"}``.

    The order of the labels is that of the numbers in the file.

    Parameters
    ----------
    path : Path
        The JSON file; ``train`` must be there, ``val`` and ``test`` may be left out.
    images : Path, optional
        The folder that the paths start from; by default ``images`` beside the file.
    options : PixelOptions, optional
        Bands, stretch and nodata of pictures that are not plain 8 bits; by default as of a scene.

    Raises
    ------
    InputError
        The file is not there, not JSON or not of this form; labels and classes do not go together; a path leaves the
        folder, is listed twice, or is not there.
    """
    rows = [(part, row, f"{path}, {part} {i}") for part, value in _load(path).items() for i, row in enumerate(value, 1)]
    entries = [(part, *_entry(row, where)) for part, row, where in rows]
    names = _names(entries, path)
    folder = path.parent / "images" if images is None else images
    if not folder.is_dir():
        raise InputError(f"{folder}: the pictures of {path.name} are not there", "name their folder with --images")
    files = _files(folder, entries, path)
    examples = tuple(
        Example(label, file.as_posix(), part=part) for file, (part, _, label, _) in zip(files, entries, strict=True)
    )
    return Examples(
        labels_of(names, str(path), "list pictures of another class"),
        examples,
        PictureFiles(files, options or PixelOptions()),
        path.stem,
        {
            "source": "split",
            "path": str(path.resolve()),
            "images": str(folder.resolve()),
            "pictures": ", ".join(
                f"{part} {count}"
                for part in (TRAIN, VALIDATION, TEST)
                if (count := sum(entry[0] == part for entry in entries))
            ),
        },
    )


def _load(path: Path) -> dict[str, list[Any]]:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: the split cannot be read: {error.strerror or error}", _FORM) from error
    if len(data) > _MAX_BYTES:
        raise InputError(f"{path}: larger than {_MAX_BYTES // 1024**2} MiB, not a split", _FORM)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {' '.join(str(error).split())}", _FORM) from error
    if not isinstance(value, dict) or not value.get(TRAIN):
        raise InputError(f"{path}: no list of pictures under {TRAIN!r}", _FORM)
    parts = {part: value[part] for part in (TRAIN, VALIDATION, TEST) if part in value}
    for part, rows in parts.items():
        if not isinstance(rows, list):
            raise InputError(f"{path}: {part!r} is not a list", _FORM)
    return parts


def _entry(row: Any, where: str) -> tuple[str, int, str]:
    match row:
        case [str(name), int(label), str(text)] if not isinstance(label, bool) and label >= 0:
            inside = PurePosixPath(name.replace("\\", "/"))
            # A colon in the first part is a Windows drive.
            if not inside.parts or inside.is_absolute() or ".." in inside.parts or ":" in inside.parts[0]:
                raise InputError(f"{where}: {name!r} leads out of the folder of pictures", "write a path inside it")
            return str(inside), label, text
    raise InputError(f"{where}: not [path, label, class]", _FORM)


def _names(entries: list[tuple[str, str, int, str]], path: Path) -> list[str]:
    """Return the class of each label, from 0 on."""
    names: dict[int, str] = {}
    for _, _, label, text in entries:
        if names.setdefault(label, text) != text:
            raise InputError(f"{path}: label {label} is {names[label]!r} and {text!r}", "give each class one number")
    missing = set(range(len(names))) - set(names)
    if missing:
        raise InputError(f"{path}: no picture has label {min(missing)}", "number the classes from 0 without gaps")
    if len(set(names.values())) < len(names):
        twice = next(text for text in names.values() if list(names.values()).count(text) > 1)
        raise InputError(f"{path}: {twice!r} has two labels", "give each class one number")
    return [names[label] for label in sorted(names)]


def _files(folder: Path, entries: list[tuple[str, str, int, str]], path: Path) -> tuple[Path, ...]:
    files: dict[str, Path] = {}
    for part, name, _, _ in entries:
        if name in files:
            raise InputError(f"{path}: {name} is listed twice, again in {part!r}", "list each picture once")
        files[name] = folder / name
    missing = [name for name, file in files.items() if not file.is_file()]
    if missing:
        raise InputError(
            f"{path}: {len(missing):,} of {len(files):,} pictures are not in {folder}, the first is {missing[0]}",
            "name the folder of the pictures with --images",
        )
    return tuple(files.values())
