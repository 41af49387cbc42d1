"""`bimors evaluate LAYER --reference FILE`: a map against polygons or points of known class."""

from __future__ import annotations

import json as json_text
from pathlib import Path

from bimors_cli.cli.console import say


def evaluate_map(
    layer_file: str,
    *,
    reference: str,
    field: str,
    layer: str | None,
    reference_layer: str | None,
    min_overlap: float,
    output: Path | None,
    json: bool,
    overwrite: bool,
) -> None:
    """Check a layer, say what came of it on standard error, write what was asked for.

    Raises
    ------
    InputError
        The layer, the reference or an option cannot be used; the output is there already.
    OutputError
        The output cannot be written.
    """
    from bimors_cli.evaluation.accuracy.assess import MapCheckOptions, assess
    from bimors_cli.evaluation.accuracy.report import SCORES, lines, save_results
    from bimors_cli.output.atomic import check_folder

    if output is not None:
        check_folder(output, marker=SCORES, overwrite=overwrite)
    assessment = assess(MapCheckOptions(layer_file, reference, field, layer, reference_layer, min_overlap))
    for line in lines(assessment):
        say(line)
    if output is not None:
        save_results(output, assessment, overwrite=overwrite)
    if json:
        print(json_text.dumps(assessment.as_json(), indent=1, ensure_ascii=False, allow_nan=False))
    elif output is not None:
        print(output)
