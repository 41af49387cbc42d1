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

EXAMPLE = "Example: bimors evaluate out.gpkg --reference train.gpkg --field class"


@command(EvaluateOptions, AssessOptions)
def evaluate(options: EvaluateOptions, accuracy: AssessOptions, json: Json = False) -> None:
    """Compare heads on data sets of labelled images, or assess the accuracy of a classified layer.

    A sample that bimors sample drew, with its references filled in, gives the accuracy and the area of each class with
    95 % intervals (Stehman 2014).

    On data sets every head is trained on a few examples, once per seed, and is then tested on test images, as the
    protocol says. Any head may end in :transductive: then its predictions for all test images of a question are refined
    together. zero-shot uses all templates of the bundle, zero-shot:one-template uses one. The tables show accuracy, and
    as ECE how far the confidence is from it.

    The results are written to a folder, whose path is written to standard output, everything else to standard error. A
    finished trial is never repeated: continue with --resume, also with more heads, shots or seeds.
    """
    if accuracy.answers and (accuracy.reference is not None or not all(map(_is_sample, options.sources))):
        raise InputError("--answers is for a sample that bimors sample drew", "bimors evaluate sample.gpkg --answers …")
    if accuracy.reference is not None:
        if len(options.sources) > 1:
            raise InputError(
                f"--reference assesses one layer, {len(options.sources)} were given",
                "bimors evaluate out.gpkg --reference …",
            )
        if accuracy.field is None:
            raise InputError("--reference needs --field", "name the field of the reference that holds the class")
        from bimors_cli.cli.evaluate_map import evaluate_map

        output = None if options.output is None else Path(options.output)
        chosen = replace(accuracy, layer_file=options.sources[0])
        evaluate_map(chosen, output=output, json=json, overwrite=options.overwrite)
        return
    if any(name.lower().endswith(".gpkg") for name in options.sources):
        if len(options.sources) == 1 and _is_sample(options.sources[0]):
            from bimors_cli.cli.evaluate_sample import evaluate_sample

            if options.output is not None:
                raise InputError("-o has no effect on a sample", "use --json > figures.json")
            evaluate_sample(Path(options.sources[0]), tuple(map(Path, accuracy.answers)), json=json)
            return
        raise InputError(
            f"{options.sources[0]}: a layer needs a reference to be assessed",
            "add --reference truth.gpkg --field class, or draw a sample of it with bimors sample",
        )

    from bimors_cli.bundle.manifest import CLIP
    from bimors_cli.bundle.needed_parts import need_part_of

    need_part_of(options.model, CLIP, "bimors evaluate")  # before torch is imported

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


def _is_sample(name: str) -> bool:
    from bimors_cli.evaluation.areas.sample_file import is_sample

    return is_sample(Path(name))
