"""The ledger of an evaluation: a line a finished trial, on disk before the next one begins."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import JournalError, OutputError
from bimors_cli.evaluation.datasets import DataSet
from bimors_cli.evaluation.options import EvaluateOptions
from bimors_cli.evaluation.trials import Outcome, Trial


def trial_key(trial: Trial, bundle: Bundle, data_sets: Mapping[str, DataSet], options: EvaluateOptions) -> str:
    """Hash all that decides a trial's outcome: a finished trial is one with the same key."""
    of = {name: one.sha256 for name, one in data_sets.items()}
    told = {
        "bundle": bundle.sha256,
        "head": _head(trial, bundle),
        "learned": None if trial.learned is None else [of[trial.learned.data_set], list(trial.learned.places)],
        "asked": [[of[asked.data_set], list(asked.places)] for asked in trial.asked],
        "shots": trial.shots,
        "seed": trial.seed,
        # A head that learns nothing does not depend on how the others learn.
        "recipe": None if trial.learned is None else [options.epochs, options.batch_size, options.official_quirks],
        # How many crops there are, and of which draw the few shots are the first, follows from all trials together.
        "draw": None if trial.learned is None else [options.most_shots, options.views],
        "scene": [options.bidx, options.stretch, options.nodata],
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _head(trial: Trial, bundle: Bundle) -> dict[str, Any]:
    """What decides how a contestant learns and answers.

    What ledgers of earlier versions do not have is left out where it is as it was then.
    """
    told = {**asdict(trial.contestant), "name": None}
    for later in ("one_template", "transductive"):
        if not told[later]:
            del told[later]
    reads_all = trial.contestant.choice is None and not trial.contestant.one_template
    if reads_all and bundle.templates != (bundle.one_template,):
        told["templates"] = list(bundle.templates)
    return told


class TrialLog:
    """Finished trials by key, in an append-only file of JSON lines.

    A line that a crash cut short is left out; the trial runs again.

    Raises
    ------
    JournalError
        The file holds something else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[str, Outcome] = {}
        self._size = 0
        if not path.exists():
            return
        lines = path.read_bytes().splitlines(keepends=True)
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                entry = json.loads(line)
                outcome = Outcome(**{**entry["outcome"], "answers": tuple(entry["outcome"]["answers"])})
                self._found[str(entry["key"])] = outcome
            except (ValueError, KeyError, TypeError) as error:
                if number == len(lines):
                    break
                raise JournalError(f"{path}, line {number}: damaged", "start anew with --overwrite") from error
            self._size += len(line)

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def __getitem__(self, key: str) -> Outcome:
        return self._found[key]

    def add(self, key: str, trial: Trial, outcome: Outcome) -> None:
        """Write a finished trial down for good.

        Raises
        ------
        OutputError
            The file cannot be written.
        """
        entry: dict[str, Any] = {"key": key, "head": trial.contestant.name, "outcome": asdict(outcome)}
        try:
            with self._path.open("ab") as file:
                file.truncate(self._size)  # drops what a crash cut short
                self._size += file.write(json.dumps(entry).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(f"{self._path}: {error.strerror or error}", "is the disk full?") from error
        self._found[key] = outcome
