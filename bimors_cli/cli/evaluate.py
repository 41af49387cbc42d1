"""`bimors evaluate`: heads compared on data sets, or a classified layer compared with reference samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bimors_cli.cli.command import command
from bimors_cli.cli.console import EvaluationProgress, duration, say, show_table
from bimors_cli.cli.parameters import Json
from bimors_cli.cli.signals import graceful_stop
from bimors_cli.errors import InputError
from bimors_cli.evaluation.options import EvaluateOptions
from bimors_cli.options.accuracy import AssessOptions

# Not .json: a split file has this suffix.
_LAYERS = (".gpkg", ".geojson", ".geojsonl", ".geojsons", ".fgb", ".shp")

EXAMPLE = "Example: bimors evaluate out.gpkg --reference train.gpkg --field class"


@command(EvaluateOptions, AssessOptions)
def evaluate(options: EvaluateOptions, accuracy: AssessOptions, json: Json = False) -> None:
    """Compare heads on data sets of labelled images, or assess the accuracy of a classified layer.

    A sample that bimors sample drew, with its references filled in, gives the accuracy and the area of each class with
    95 % intervals (Stehman 2014); a layer with --sample is a newer map of the same tiles. -o writes tables, a chart and
    a page.

    On data sets every head is trained on a few examples, once per seed, and is then tested on test images, as the
    protocol says. Any head may end in :transductive: then its predictions for all test images of a question are refined
    together. zero-shot uses all templates of the bundle, zero-shot:one-template uses one. The tables show accuracy, and
    as ECE how far the confidence is from it.

    The results are written to a folder, whose path is written to standard output, everything else to standard error. A
    finished trial is never repeated: continue with --resume, also with more heads, shots or seeds.
    """
    if accuracy.answers and (accuracy.reference is not None or not _has_sample(options, accuracy)):
        raise InputError("--answers is for a sample that bimors sample drew", "bimors evaluate sample.gpkg --answers …")
    if accuracy.reference is not None or accuracy.sample is not None:
        _assess(options, accuracy, json)
        return
    if any(name.lower().endswith(_LAYERS) for name in options.sources):
        from bimors_cli.evaluation.areas.sample_file import is_exported_sample, is_sample

        first = Path(options.sources[0])
        # An exported copy is refused there, with the command that restores it.
        if len(options.sources) == 1 and (is_sample(first) or is_exported_sample(first)):
            _by_sample(options, accuracy, first, json)
            return
        raise InputError(
            f"{options.sources[0]}: a layer needs a reference to be assessed",
            "add --reference truth.gpkg --field class, or --sample sample.gpkg; bimors sample draws one",
        )

    from bimors_cli.evaluation.evaluate import evaluate as run

    with graceful_stop() as stop, EvaluationProgress() as progress:
        found = run(options, progress=progress, stop=stop)
    for table in found.tables:
        show_table(table.name, *table.as_text())
    resumed = f", {found.repeated} of them from an earlier run" if found.repeated else ""
    say(f"{found.trials} trials{resumed}, {duration(found.seconds)}")
    if json:
        print((found.folder / "results.json").read_text(encoding="utf-8"), end="")
    else:
        print(found.folder)


def _assess(options: EvaluateOptions, accuracy: AssessOptions, json: bool) -> None:
    """Assess one layer, by places that were chosen by hand or by a sample."""
    name = "--reference" if accuracy.sample is None else "--sample"
    if len(options.sources) > 1:
        raise InputError(
            f"{name} assesses one layer, {len(options.sources)} were given", f"bimors evaluate out.gpkg {name} …"
        )
    if accuracy.sample is not None:
        _by_sample(options, accuracy, Path(accuracy.sample), json, Path(options.sources[0]))
        return
    if accuracy.field is None:
        raise InputError("--reference needs --field", "name the field of the reference that holds the class")
    from bimors_cli.cli.evaluate_map import evaluate_map

    output = None if options.output is None else Path(options.output)
    chosen = replace(accuracy, layer_file=options.sources[0])
    evaluate_map(chosen, output=output, json=json, overwrite=options.overwrite)


def _has_sample(options: EvaluateOptions, accuracy: AssessOptions) -> bool:
    from bimors_cli.evaluation.areas.sample_file import is_sample

    return accuracy.sample is not None or all(is_sample(Path(name)) for name in options.sources)


def _by_sample(
    options: EvaluateOptions, accuracy: AssessOptions, sample: Path, json: bool, layer_file: Path | None = None
) -> None:
    from bimors_cli.cli.evaluate_sample import evaluate_sample

    output = None if options.output is None else Path(options.output)
    chosen = replace(accuracy, sample=str(sample), layer_file="" if layer_file is None else str(layer_file))
    evaluate_sample(chosen, output=output, json=json, overwrite=options.overwrite)
