"""bimors: label a georeferenced raster tile by tile with your own words.

Every command is a function of the same name here, with the same options: a frozen dataclass, whose fields are
documented by ``bimors COMMAND --help``.

    import bimors_cli
    from bimors_cli import ClassifyOptions

    bimors_cli.classify("scene.tif", "labels.txt", "out.gpkg", ClassifyOptions(tile_size="500m", top_k=3))

`transductive` and `spatial` refine arrays of any other classifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bimors_cli.run_warnings import keeps_warnings
from bimors_cli.version import __version__

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bimors_cli.evaluation.accuracy.assess import Assessment
    from bimors_cli.evaluation.areas.assessment import SampleAssessment
    from bimors_cli.evaluation.areas.sample import SampleSummary
    from bimors_cli.evaluation.evaluate import EvaluationResult
    from bimors_cli.evaluation.options import EvaluateOptions
    from bimors_cli.labels import Labels
    from bimors_cli.options.accuracy import AssessOptions
    from bimors_cli.options.change import ChangeOptions
    from bimors_cli.options.classify import ClassifyOptions
    from bimors_cli.options.inference import CaptionOptions
    from bimors_cli.options.layer import TilesOptions
    from bimors_cli.options.merge import MergeOptions
    from bimors_cli.options.restore import RestoreOptions
    from bimors_cli.options.sample import SampleOptions
    from bimors_cli.options.scene import InfoOptions
    from bimors_cli.options.search import SearchOptions
    from bimors_cli.options.suggest import SuggestOptions
    from bimors_cli.options.try_model import TryOptions
    from bimors_cli.options.view import PreviewOptions, ReportOptions
    from bimors_cli.pipeline.bundles.tried import Tried
    from bimors_cli.pipeline.info import SceneReport
    from bimors_cli.pipeline.plan import LayerPlan
    from bimors_cli.pipeline.summary import RunSummary, Summary
    from bimors_cli.results.change.summary import ChangeSummary
    from bimors_cli.results.found_layer import Hit
    from bimors_cli.results.restore import RestoreSummary
    from bimors_cli.results.suggest import SuggestSummary
    from bimors_cli.training.options import FinetuneOptions
    from bimors_cli.training.summary import FinetuneSummary
    from bimors_cli.training.views.summary import ViewsSummary

__all__ = [
    "AssessOptions",
    "CaptionOptions",
    "ChangeOptions",
    "ClassifyOptions",
    "EvaluateOptions",
    "FinetuneOptions",
    "InfoOptions",
    "Labels",
    "MergeOptions",
    "PreviewOptions",
    "ReportOptions",
    "RestoreOptions",
    "SampleOptions",
    "SearchOptions",
    "SuggestOptions",
    "TilesOptions",
    "TryOptions",
    "__version__",
    "assess",
    "assess_sample",
    "caption",
    "change",
    "classify",
    "compare",
    "evaluate",
    "finetune",
    "info",
    "merge",
    "preview",
    "report",
    "restore",
    "sample",
    "search",
    "spatial",
    "suggest",
    "tiles",
    "transductive",
    "try_model",
]

# Where the classes of options are: they are imported when they are asked for, so that `import bimors_cli` stays quick.
_WHERE = {
    "EvaluateOptions": "bimors_cli.evaluation.options",
    "Labels": "bimors_cli.labels",
    "AssessOptions": "bimors_cli.options.accuracy",
    "ChangeOptions": "bimors_cli.options.change",
    "ClassifyOptions": "bimors_cli.options.classify",
    "CaptionOptions": "bimors_cli.options.inference",
    "TilesOptions": "bimors_cli.options.layer",
    "MergeOptions": "bimors_cli.options.merge",
    "RestoreOptions": "bimors_cli.options.restore",
    "SampleOptions": "bimors_cli.options.sample",
    "InfoOptions": "bimors_cli.options.scene",
    "SearchOptions": "bimors_cli.options.search",
    "SuggestOptions": "bimors_cli.options.suggest",
    "TryOptions": "bimors_cli.options.try_model",
    "PreviewOptions": "bimors_cli.options.view",
    "ReportOptions": "bimors_cli.options.view",
    "FinetuneOptions": "bimors_cli.training.options",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


StrPath = str | PathLike[str]
StrPaths = StrPath | Sequence[StrPath]


@keeps_warnings
def classify(
    scenes: StrPaths,
    labels: StrPath | Sequence[str] | Labels,
    output: StrPath | None = None,
    options: ClassifyOptions | None = None,
) -> Summary:
    """Label every tile of one or more scenes, and write a layer that opens coloured in QGIS.

    Parameters
    ----------
    scenes : path or sequence of paths
        Rasters that GDAL can open.
    labels : path, sequence of str, or Labels
        A labels file, or the class names themselves.
    output : path, optional
        As ``-o``.
    options : ClassifyOptions, optional
        The other options of the command.

    Returns
    -------
    Summary
        Counts by label and reason, seconds by stage.

    Raises
    ------
    bimors_cli.errors.BimorsError
        As the command.
    """
    from bimors_cli.options.classify import ClassifyOptions
    from bimors_cli.pipeline.run import run

    chosen = options or ClassifyOptions()
    return run(replace(chosen, scenes=_paths(scenes), labels=_labels(labels), output=_path(output)))


def caption(scenes: StrPaths, output: StrPath, options: CaptionOptions | None = None) -> RunSummary:
    """Caption every tile of one or more scenes, and write a layer with the captions; parameters as `classify`."""
    from bimors_cli.options.inference import CaptionOptions
    from bimors_cli.pipeline.caption import caption as run

    return run(replace(options or CaptionOptions(), scenes=_paths(scenes), output=str(output)))


def tiles(scenes: StrPaths, output: StrPath, options: TilesOptions | None = None) -> LayerPlan:
    """Write the tiles of one or more scenes as polygons; the length of what is returned is the number of tiles."""
    from bimors_cli.options.layer import TilesOptions
    from bimors_cli.pipeline.grid import write_grid

    return write_grid(replace(options or TilesOptions(), scenes=_paths(scenes), output=str(output)))


def merge(output: StrPath, journals: StrPaths, options: MergeOptions | None = None) -> Summary:
    """Write the layer of a run that was done in shards (``ClassifyOptions(shard="3/16")``), and delete their journals.

    Parameters
    ----------
    output : path
        The layer's file.
    journals : path or sequence of paths
        Those of all shards.
    options : MergeOptions, optional
        The other options of the command.

    Returns
    -------
    Summary
        As `classify`.

    Raises
    ------
    bimors_cli.errors.BimorsError
        As the command.
    """
    from bimors_cli.options.merge import MergeOptions
    from bimors_cli.pipeline.merge import merge as run

    return run(replace(options or MergeOptions(), output=str(output), journals=_paths(journals)))


def finetune(
    sources: StrPaths, output: StrPath | None = None, options: FinetuneOptions | None = None
) -> FinetuneSummary | ViewsSummary:
    """Train an adapter from a folder of classes, vector features on scenes, a corrected layer, or a judged search.

    Parameters
    ----------
    sources : path or sequence of paths
        One folder, split file or layer; with ``polygons``, scenes.
    output : path, optional
        As ``-o``.
    options : FinetuneOptions, optional
        The other options of the command.

    Returns
    -------
    FinetuneSummary
        Counts and scores.

    Raises
    ------
    bimors_cli.errors.BimorsError
        As the command.
    """
    from bimors_cli.training.finetune import finetune as run
    from bimors_cli.training.options import FinetuneOptions

    chosen = options or FinetuneOptions()
    paths = _paths(sources)
    return run(replace(chosen, sources=paths, output=_path(output)))


def evaluate(
    sources: StrPaths, output: StrPath | None = None, options: EvaluateOptions | None = None
) -> EvaluationResult:
    """Compare heads on data sets of labelled images.

    Parameters
    ----------
    sources : path or sequence of paths
        Folders of classes and split files.
    output : path, optional
        As ``-o``.
    options : EvaluateOptions, optional
        The other options of the command.

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

    return run(replace(options or EvaluateOptions(), sources=_paths(sources), output=_path(output)))


compare = evaluate  # its name in 0.1


def assess(layer_file: StrPath, reference: StrPath, field: str, options: AssessOptions | None = None) -> Assessment:
    """Assess the accuracy of a classified layer against reference samples, as ``bimors evaluate --reference``.

    Parameters
    ----------
    layer_file : path
        A GeoPackage that `classify` wrote.
    reference : path
        Polygons or points, in any CRS.
    field : str
        Their field that holds the class name.
    options : AssessOptions, optional
        The other options of the command.

    Raises
    ------
    bimors_cli.errors.BimorsError
        As the command.
    """
    from bimors_cli.evaluation.accuracy.assess import assess as run
    from bimors_cli.options.accuracy import AssessOptions

    chosen = options or AssessOptions()
    return run(replace(chosen, layer_file=str(layer_file), reference=str(reference), field=field))


def sample(layer_file: StrPath, output: StrPath | None = None, options: SampleOptions | None = None) -> SampleSummary:
    """Draw a probability sample of the tiles of a layer, and write it as a GeoPackage that opens in QGIS with a form.

    Parameters
    ----------
    layer_file : path
        A GeoPackage that `classify` wrote.
    output : path, optional
        As ``-o``.
    options : SampleOptions, optional
        The other options of the command.

    Returns
    -------
    SampleSummary
        The file, the design with the strata and their sizes, and the standard error to expect.

    Raises
    ------
    bimors_cli.errors.BimorsError
        As the command.
    """
    from bimors_cli.evaluation.areas.sample import sample as run
    from bimors_cli.options.sample import SampleOptions

    chosen = options or SampleOptions()
    return run(replace(chosen, file=Path(layer_file), output=None if output is None else Path(output)))


def assess_sample(
    sample: StrPath, layer_file: StrPath | None = None, options: AssessOptions | None = None
) -> SampleAssessment:
    """Estimate accuracy and areas from a sample that ``bimors sample`` drew, as ``bimors evaluate sample.gpkg``.

    Parameters
    ----------
    sample : path
        The sample, with references.
    layer_file : path, optional
        A newer map of the same tiles. Default: the map that the sample was drawn from, as it was then.
    options : AssessOptions, optional
        ``layer`` names the layer of the newer map, if its file has several; ``answers`` are files of references.

    Returns
    -------
    SampleAssessment
        Estimates with standard errors and 95 % intervals; areas in hectares on the ground.

    Raises
    ------
    bimors_cli.errors.BimorsError
        As the command.
    """
    from bimors_cli.evaluation.areas.assess_sample import assess_sample as run
    from bimors_cli.options.accuracy import AssessOptions

    chosen = options or AssessOptions()
    answers = tuple(map(Path, chosen.answers))
    return run(Path(sample), None if layer_file is None else Path(layer_file), chosen.layer, answers)


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


def suggest(
    layer_file: StrPath, output: StrPath | None = None, options: SuggestOptions | None = None
) -> SuggestSummary:
    """Suggest which tiles of a layer written with ``keep_features`` to label next, and write a layer to correct.

    Raises
    ------
    bimors_cli.errors.BimorsError
        As the command.
    """
    from bimors_cli.options.suggest import SuggestOptions
    from bimors_cli.results.suggest import suggest as run

    target = None if output is None else Path(output)
    return run(replace(options or SuggestOptions(), file=Path(layer_file), output=target))


def info(scene: StrPath, options: InfoOptions | None = None) -> SceneReport:
    """Describe a scene: position, bands with statistics, masks, tiles, and what a model makes of it.

    Parameters
    ----------
    scene : path
        A raster that GDAL can open.
    options : InfoOptions, optional
        The other options of the command.

    Returns
    -------
    SceneReport
        Its ``to_dict`` returns the object of ``bimors info --json``.

    Raises
    ------
    bimors_cli.errors.BimorsError
        As the command.
    """
    from bimors_cli.options.scene import InfoOptions
    from bimors_cli.pipeline.info import info as run

    return run(replace(options or InfoOptions(), scene=str(scene)))


def try_model(model: StrPath, options: TryOptions | None = None) -> Tried:
    """Fetch a bundle unless it is installed, verify it, and run it on an example, as ``bimors models try``.

    Parameters
    ----------
    model : str or path
        A bundle of the catalog, a CLIP of open_clip or of the hub, or the folder of a bundle.
    options : TryOptions, optional
        The other options of the command.

    Returns
    -------
    Tried
        Its steps, with their times, and the answers; ``passed`` is False if a step failed.

    Raises
    ------
    bimors_cli.errors.InputError
        There is no such bundle or device.
    """
    from bimors_cli.options.try_model import TryOptions
    from bimors_cli.pipeline.bundles.try_bundle import try_bundle

    return try_bundle(replace(options or TryOptions(), model=str(model)))


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


def _path(path: StrPath | None) -> str | None:
    return None if path is None else str(path)


def _paths(paths: StrPaths) -> tuple[str, ...]:
    return (str(paths),) if isinstance(paths, str | PathLike) else tuple(map(str, paths))


def _labels(labels: StrPath | Sequence[str] | Labels) -> Labels:
    from bimors_cli.labels import Labels
    from bimors_cli.options.parse import named_labels

    if isinstance(labels, Labels):
        return labels
    return named_labels(str(labels)) if isinstance(labels, str | PathLike) else Labels.of(labels)
