"""`bimors evaluate SAMPLE`: accuracy and areas from a probability sample."""

from __future__ import annotations

import json as json_text
from pathlib import Path

from bimors_cli.cli.console import say


def evaluate_sample(path: Path, answers: tuple[Path, ...] = (), *, json: bool) -> None:
    """Report what a sample says of its map on standard error, and as JSON on standard output if that is asked for.

    ``answers`` are files of references, see `bimors_cli.evaluation.areas.answers.with_answers`.

    Raises
    ------
    InputError
        See `bimors_cli.evaluation.areas.assess_sample.assess_sample`.
    """
    from bimors_cli.evaluation.areas.assess_sample import assess_sample
    from bimors_cli.evaluation.areas.report import lines

    found = assess_sample(path, answers)
    for line in lines(found):
        say(line)
    if json:
        print(json_text.dumps(found.as_json(), indent=1, ensure_ascii=False, allow_nan=False))
