"""Arguments that the functions of the API share."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bimors_cli.labels import Labels

StrPath = str | PathLike[str]
StrPaths = StrPath | Sequence[StrPath]


def as_path(path: StrPath | None) -> str | None:
    """Return a path as the options have it."""
    return None if path is None else str(path)


def as_paths(paths: StrPaths) -> tuple[str, ...]:
    """Return one path or several as the options have them."""
    return (str(paths),) if isinstance(paths, str | PathLike) else tuple(map(str, paths))


def as_labels(labels: StrPath | Sequence[str] | Labels) -> Labels:
    """Return labels of a file, of their names, or as they are; raises BimorsError as `Labels.of` and the file."""
    from bimors_cli.labels import Labels
    from bimors_cli.options.parse import named_labels

    if isinstance(labels, Labels):
        return labels
    return named_labels(str(labels)) if isinstance(labels, str | PathLike) else Labels.of(labels)
