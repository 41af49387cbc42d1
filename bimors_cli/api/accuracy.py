"""How right a map is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bimors_cli.api.arguments import StrPath, StrPaths, as_path, as_paths

if TYPE_CHECKING:
    from bimors_cli.evaluation.accuracy.assess import Assessment
    from bimors_cli.evaluation.areas.assessment import SampleAssessment
    from bimors_cli.evaluation.areas.sample import SampleSummary
    from bimors_cli.evaluation.evaluate import EvaluationResult
    from bimors_cli.evaluation.options import EvaluateOptions
    from bimors_cli.options.accuracy import AssessOptions
    from bimors_cli.options.sample import SampleOptions


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

    return run(replace(options or EvaluateOptions(), sources=as_paths(sources), output=as_path(output)))


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
