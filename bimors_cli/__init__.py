"""bimors: label a georeferenced raster tile by tile with your own words.

The functions here are the commands: the same names, the same options. `transductive` and `spatial` work on arrays
instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bimors_cli.version import __version__

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bimors_cli.evaluation.evaluate import EvaluationResult
    from bimors_cli.labels import Labels
    from bimors_cli.pipeline.summary import Summary
    from bimors_cli.training.summary import FinetuneSummary

__all__ = ["__version__", "classify", "compare", "finetune", "merge", "spatial", "transductive"]

StrPath = str | PathLike[str]


def classify(
    scenes: StrPath | Sequence[StrPath],
    labels: StrPath | Sequence[str] | Labels,
    output: StrPath | None = None,
    **options: Any,
) -> Summary:
    """Label every tile of one or more scenes, and write a layer that opens coloured in QGIS.

    Parameters
    ----------
    scenes : path or sequence of paths
        Rasters that GDAL opens.
    labels : path, sequence of str, or Labels
        A labels file, or the class names themselves.
    output : path, optional
        As ``-o``.
    **options
        The other options of the command, see `bimors_cli.options.classify.ClassifyOptions`.

    Returns
    -------
    Summary
        Counts by label and reason, seconds by stage.

    Raises
    ------
    bimors_cli.errors.BimorsError
        As the command.
    """
    from bimors_cli.labels import Labels, read_labels
    from bimors_cli.options.classify import ClassifyOptions
    from bimors_cli.pipeline.run import run

    if isinstance(labels, Labels):
        names = labels
    elif isinstance(labels, (str, PathLike)):
        names = read_labels(Path(labels))
    else:
        names = Labels.of(labels)
    paths = (scenes,) if isinstance(scenes, (str, PathLike)) else tuple(scenes)
    return run(
        ClassifyOptions(
            scenes=tuple(str(path) for path in paths),
            labels=names,
            output=None if output is None else str(output),
            **options,
        )
    )


def merge(output: StrPath, journals: StrPath | Sequence[StrPath], **options: Any) -> Summary:
    """Write the layer of a run that was done in shards, ``classify(…, shard="3/16")``, and remove their journals.

    Parameters
    ----------
    output : path
        The layer's file.
    journals : path or sequence of paths
        Those of all shards.
    **options
        The other options of the command, see `bimors_cli.pipeline.merge.MergeOptions`.

    Returns
    -------
    Summary
        As `classify`.

    Raises
    ------
    bimors_cli.errors.BimorsError
        As the command.
    """
    from bimors_cli.pipeline.merge import MergeOptions
    from bimors_cli.pipeline.merge import merge as run

    paths = (journals,) if isinstance(journals, (str, PathLike)) else tuple(journals)
    return run(MergeOptions(output=str(output), journals=tuple(map(str, paths)), **options))


def finetune(sources: StrPath | Sequence[StrPath], output: StrPath | None = None, **options: Any) -> FinetuneSummary:
    """Train an adapter from a folder of classes, from features drawn on scenes, or from a corrected layer.

    Parameters
    ----------
    sources : path or sequence of paths
        One folder, split file or layer; with ``polygons``, scenes.
    output : path, optional
        As ``-o``.
    **options
        The other options of the command, see `bimors_cli.training.options.FinetuneOptions`.

    Returns
    -------
    FinetuneSummary
        Counts and scores.

    Raises
    ------
    bimors_cli.errors.BimorsError
        As the command.
    """
    from bimors_cli.training.options import FinetuneOptions
    from bimors_cli.training.run import finetune as run

    paths = (sources,) if isinstance(sources, (str, PathLike)) else tuple(sources)
    return run(
        FinetuneOptions(
            sources=tuple(str(path) for path in paths), output=None if output is None else str(output), **options
        )
    )


def compare(sources: StrPath | Sequence[StrPath], output: StrPath = "results", **options: Any) -> EvaluationResult:
    """Let heads learn from data sets of labelled pictures and ask them about others, as `bimors evaluate` does.

    Parameters
    ----------
    sources : path or sequence of paths
        Folders of classes and split files.
    output : path
        As ``-o``.
    **options
        The other options of the command, see `bimors_cli.evaluation.options.EvaluateOptions`.

    Returns
    -------
    EvaluationResult
        The tables, and the folder with all figures.

    Raises
    ------
    bimors_cli.errors.BimorsError
        As the command.
    """
    from bimors_cli.evaluation.evaluate import evaluate as run
    from bimors_cli.evaluation.options import EvaluateOptions

    paths = (sources,) if isinstance(sources, (str, PathLike)) else tuple(sources)
    return run(EvaluateOptions(sources=tuple(str(path) for path in paths), output=str(output), **options))


def transductive(image_features: NDArray[Any], text_probabilities: NDArray[Any]) -> NDArray[np.float32]:
    """Refine each tile's probabilities by the features of all tiles; no labelled example, nothing to tune.

    Parameters
    ----------
    image_features : ndarray
        [N, D], any float, of any length; a memory map is read in blocks.
    text_probabilities : ndarray
        [N, K], any float, 0..1, each row sums to 1: the per-tile answer of any head.

    Returns
    -------
    ndarray
        float32 [N, K], 0..1, each row sums to 1. See `bimors_cli.refine.transductive` for the equations.

    Raises
    ------
    ValueError
        The shapes do not fit each other, a number is not finite, or a row is not one of probabilities.
    """
    from bimors_cli.refine.transductive import transductive as refine

    return refine(image_features, text_probabilities)


def spatial(
    image_features: NDArray[Any], text_probabilities: NDArray[Any], map_neighbours: NDArray[np.integer[Any]]
) -> NDArray[np.float32]:
    """Refine each tile's probabilities by the features of all tiles, and by the tiles that touch it on the map.

    Parameters
    ----------
    image_features, text_probabilities : ndarray
        [N, D] and [N, K], as `transductive`.
    map_neighbours : ndarray
        int64 [N, M], rows of the tiles that touch each tile, in any order; -1 where there is none.

    Returns
    -------
    ndarray
        float32 [N, K], 0..1, each row sums to 1. See `bimors_cli.refine.spatial` for the equations.

    Raises
    ------
    ValueError
        The shapes do not fit each other, a number is not finite, a row is not one of probabilities, or a neighbour is
        no row.
    """
    from bimors_cli.refine.spatial import spatial as refine

    return refine(image_features, text_probabilities, map_neighbours)
