"""`bimors evaluate LAYER --reference FILE`: a map against polygons or points of known class."""

from __future__ import annotations

from pathlib import Path

from bimors_cli.cli.console import say
from bimors_cli.cli.json_output import print_json
from bimors_cli.options.accuracy import AssessOptions


def evaluate_map(options: AssessOptions, *, output: Path | None, json: bool, overwrite: bool) -> None:
    """Assess a layer, report its accuracy on standard error, and write the results.

    Raises
    ------
    InputError
        The layer, the reference or an option cannot be used; the output exists.
    OutputError
        The output cannot be written.
    """
    from bimors_cli.evaluation.accuracy.assess import SCORES, assess
    from bimors_cli.output.atomic import check_folder, check_writable

    if output is not None:
        check_folder(output, marker=SCORES, overwrite=overwrite)
        check_writable(output)
    assessment = assess(options)

    from bimors_cli.evaluation.accuracy.report import lines, save_results  # draws charts, so after all checks

    for line in lines(assessment):
        say(line)
    if output is not None:
        save_results(output, assessment, overwrite=overwrite)
    if json:
        print_json(assessment.as_json())
    elif output is not None:
        print(output)
