"""`bimors evaluate SAMPLE`: accuracy and areas from a probability sample."""

from __future__ import annotations

from pathlib import Path

from bimors_cli.cli.console import say
from bimors_cli.cli.json_output import print_json
from bimors_cli.errors import InputError
from bimors_cli.options.accuracy import AssessOptions


def evaluate_sample(options: AssessOptions, *, output: Path | None, json: bool, overwrite: bool) -> None:
    """Report what a sample says of a map on standard error, and write the results.

    Parameters
    ----------
    options : AssessOptions
        The sample and its answers; ``layer_file`` is a newer map of the same tiles, or empty.
    output : Path or None
        Folder of the results, which is printed on standard output.
    json : bool
        Whether the figures are printed on standard output instead.
    overwrite : bool
        Whether a folder of earlier results is replaced.

    Raises
    ------
    InputError
        See `bimors_cli.evaluation.areas.assess_sample.assess_sample`; the output exists.
    OutputError
        The output cannot be written.
    """
    from bimors_cli.evaluation.areas.assess_sample import assess_sample
    from bimors_cli.evaluation.areas.report import lines
    from bimors_cli.evaluation.areas.results_folder import FIGURES, save_folder
    from bimors_cli.output.atomic import check_folder

    if output is not None:
        if output.suffix.lower() in (".csv", ".html", ".json", ".png", ".svg"):
            raise InputError(f"-o {output}: the results are a folder", f"use -o {output.with_suffix('')}")
        check_folder(output, marker=FIGURES, overwrite=overwrite)
    layer_file = Path(options.layer_file) if options.layer_file else None
    answers = tuple(map(Path, options.answers))
    found = assess_sample(Path(str(options.sample)), layer_file, options.layer, answers)
    for line in lines(found):
        say(line)
    if output is not None:
        save_folder(output, found, overwrite=overwrite)
    if json:
        print_json(found.as_json())
    elif output is not None:
        print(output)
