"""Looking at finished layers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bimors_cli.api.arguments import StrPath

if TYPE_CHECKING:
    from bimors_cli.options.change import ChangeOptions
    from bimors_cli.options.restore import RestoreOptions
    from bimors_cli.options.search import SearchOptions
    from bimors_cli.options.view import PreviewOptions, ReportOptions
    from bimors_cli.results.change.summary import ChangeSummary
    from bimors_cli.results.found_layer import Hit
    from bimors_cli.results.restore import RestoreSummary


def change(before: StrPath, after: StrPath, output: StrPath, options: ChangeOptions | None = None) -> ChangeSummary:
    """Find what changed between two layers of one place with the same labels, and write a layer of changes.

    Parameters
    ----------
    before, after : path
        GeoPackages that `classify` wrote, with ``probabilities``.
    output : path
        As ``-o``.
    options : ChangeOptions, optional
        The other options of the command.

    Returns
    -------
    ChangeSummary
        Tiles and hectares of each stratum and transition.

    Raises
    ------
    bimors_cli.errors.BimorsError
        As the command.
    """
    from bimors_cli.options.change import ChangeOptions
    from bimors_cli.results.change.run import change as run

    chosen = options or ChangeOptions()
    return run(replace(chosen, before=Path(before), after=Path(after), output=Path(output)))


def search(layer_file: StrPath, query: str | None = None, options: SearchOptions | None = None) -> list[Hit]:
    """Find the tiles that match a text, or other tiles, best, in a layer written with ``keep_features``; best first.

    Without ``query``, ``options.like`` gives the tiles, or ``options.judged`` the files of earlier searches.

    Raises
    ------
    bimors_cli.errors.BimorsError
        As the command.
    """
    from bimors_cli.options.search import SearchOptions
    from bimors_cli.results.search import search as run

    return run(replace(options or SearchOptions(), file=Path(layer_file), query=query))


def preview(layer_file: StrPath, output: StrPath | None = None, options: PreviewOptions | None = None) -> Path:
    """Draw a layer over its scene as a PNG, and return its path.

    Raises
    ------
    bimors_cli.errors.BimorsError
        As the command.
    """
    from bimors_cli.options.view import PreviewOptions
    from bimors_cli.results.preview import preview as run

    target = None if output is None else Path(output)
    return run(replace(options or PreviewOptions(), layer_file=Path(layer_file), output=target))


def report(layer_file: StrPath, output: StrPath | None = None, options: ReportOptions | None = None) -> Path:
    """Write an HTML page that shows a layer, or to label the tiles of a sample, and return its path.

    Raises
    ------
    bimors_cli.errors.BimorsError
        As the command.
    """
    from bimors_cli.evaluation.areas.label_sample import label_sample
    from bimors_cli.evaluation.areas.sample_file import is_sample
    from bimors_cli.options.view import ReportOptions
    from bimors_cli.pipeline.tile_captions import report as run

    target = None if output is None else Path(output)
    chosen = replace(options or ReportOptions(), layer_file=Path(layer_file), output=target)
    return label_sample(chosen) if is_sample(chosen.layer_file) else run(chosen)


def restore(copy: StrPath, original: StrPath, output: StrPath, options: RestoreOptions | None = None) -> RestoreSummary:
    """Give a copy of a layer that QGIS exported the record of its run again: the original with the edits of the copy.

    Parameters
    ----------
    copy : path
        The copy, ``file`` or ``file:layer``, in any CRS.
    original : path
        The GeoPackage of bimors that it was exported from.
    output : path
        As ``-o``.
    options : RestoreOptions, optional
        The other options of the command.

    Returns
    -------
    RestoreSummary
        Tiles, edited values, and features that are not tiles.

    Raises
    ------
    bimors_cli.errors.BimorsError
        As the command.
    """
    from bimors_cli.options.restore import RestoreOptions
    from bimors_cli.results.restore import restore as run

    chosen = options or RestoreOptions()
    return run(replace(chosen, copy=str(copy), original=Path(original), output=Path(output)))
