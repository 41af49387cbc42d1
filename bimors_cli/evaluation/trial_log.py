"""The trial log of an evaluation: one line for each finished trial, on disk before the next trial starts."""

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
from bimors_cli.run_warnings import warnings_so_far

# In the output folder of an evaluation: the log of its trials, and all its figures.
TRIAL_LOG, RESULTS = "trials.jsonl", "results.json"


def trial_key(trial: Trial, bundle: Bundle, data_sets: Mapping[str, DataSet], options: EvaluateOptions) -> str:
    """Hash everything that the outcome of a trial depends on; a logged trial with the same key is not repeated."""
    hashes = {name: one.sha256 for name, one in data_sets.items()}
    trained = trial.train_classes
    inputs = {
        "bundle": bundle.sha256,
        "head": _head(trial, bundle),
        "learned": None if trained is None else [hashes[trained.data_set], list(trained.indices)],
        "asked": [[hashes[tested.data_set], list(tested.indices)] for tested in trial.test_classes],
        "shots": trial.shots,
        "seed": trial.seed,
        # A head without training does not depend on how the others are trained.
        "recipe": None if trained is None else [options.epochs, options.batch_size, options.official_quirks],
        # All trials together determine the number of crops, and the split whose first examples are the few shots.
        "draw": None if trained is None else [options.most_shots, options.views],
        "scene": [options.bidx, options.stretch, options.nodata],
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _head(trial: Trial, bundle: Bundle) -> dict[str, Any]:
    """The settings that training and predictions of a head variant depend on.

    Settings that logs of earlier versions do not have are omitted where they have their default values.
    """
    settings = {**asdict(trial.variant), "name": None}
    for later in ("one_template", "transductive"):
        if not settings[later]:
            del settings[later]
    all_templates = trial.variant.choice is None and not trial.variant.one_template
    if all_templates and bundle.templates != (bundle.one_template,):
        settings["templates"] = list(bundle.templates)
    return settings


class TrialLog:
    """Finished trials by key, in an append-only file of JSON lines.

    A truncated last line, as left by a crash, is ignored; its trial runs again.

    Raises
    ------
    JournalError
        The file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._outcomes: dict[str, Outcome] = {}
        self._warnings: dict[str, tuple[str, ...]] = {}
        self._size = 0
        if not path.exists():
            return
        lines = path.read_bytes().splitlines(keepends=True)
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                entry = json.loads(line)
                self._outcomes[str(entry["key"])] = Outcome.from_json(entry["outcome"])
                self._warnings[str(entry["key"])] = tuple(map(str, entry.get("warnings", ())))
            except (ValueError, KeyError, TypeError) as error:
                if number == len(lines):
                    break
                raise JournalError(
                    f"{path}, line {number}: invalid entry", "start from scratch with --overwrite"
                ) from error
            self._size += len(line)

    def __contains__(self, key: str) -> bool:
        return key in self._outcomes

    def __getitem__(self, key: str) -> Outcome:
        return self._outcomes[key]

    def warnings(self, key: str) -> tuple[str, ...]:
        """Return what the run had warned of when the trial was finished."""
        return self._warnings[key]

    def add(self, key: str, trial: Trial, outcome: Outcome) -> None:
        """Append a finished trial and flush it to disk.

        Raises
        ------
        OutputError
            The file cannot be written.
        """
        entry: dict[str, Any] = {"key": key, "head": trial.variant.name, "outcome": outcome.as_json()}
        self._warnings[key] = warnings_so_far()
        if self._warnings[key]:
            entry["warnings"] = list(self._warnings[key])
        try:
            with self._path.open("ab") as file:
                file.truncate(self._size)  # removes a truncated last line
                self._size += file.write(json.dumps(entry).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(f"{self._path}: {error.strerror or error}", "is the disk full?") from error
        self._outcomes[key] = outcome
