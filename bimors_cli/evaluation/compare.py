"""A comparison of heads from end to end: data sets, protocols, trials, results."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import Bundle, open_bundle
from bimors_cli.errors import InputError, Interrupted, JournalError, OutputError, OutputExistsError
from bimors_cli.evaluation.datasets import DataSet, open_data_sets
from bimors_cli.evaluation.feature_store import FeatureStore
from bimors_cli.evaluation.options import EvaluateOptions
from bimors_cli.evaluation.protocols import questions
from bimors_cli.evaluation.results import LEDGER, RESULTS, Findings, write_results
from bimors_cli.evaluation.tables import Table, tables
from bimors_cli.evaluation.trial_log import TrialLog, trial_key
from bimors_cli.evaluation.trials import Outcome, Trial, learning, run_trials, trials_of
from bimors_cli.model.evidence import FrozenModels
from bimors_cli.pipeline.inference.load import load_models
from bimors_cli.pipeline.progress import NullProgress as SilentStop
from bimors_cli.pipeline.progress import StopRequest
from bimors_cli.training.extract_features import PictureProgress, SilentPictures
from bimors_cli.training.train import Training

# In the folder of the results, until all trials are finished.
EVIDENCE = "evidence"
LOCK = "lock"


class CompareProgress(PictureProgress, Protocol):
    """Who shows how far a comparison is."""

    def trial(self, done: int, total: int, told: str) -> None:
        """Show that ``done`` of ``total`` trials are finished, the last of which is ``told``."""


@dataclass(frozen=True)
class Comparison:
    """What a comparison came to; ``folder`` holds it on disk.

    Of its ``trials``, ``repeated`` had been finished before. ``seconds`` is the time of this run, ``learning`` that of
    all its trials, whenever they ran, without the time that looking at the pictures took; what two of them shared
    counts for both.
    """

    folder: Path
    tables: tuple[Table, ...]
    trials: int
    repeated: int
    seconds: float
    learning: float


class Silent(SilentPictures):
    """Shows nothing."""

    def trial(self, done: int, total: int, told: str) -> None:
        """Show nothing."""


def compare(
    options: EvaluateOptions, *, progress: CompareProgress | None = None, stop: StopRequest | None = None
) -> Comparison:
    """Let heads learn from data sets, ask them, and write the results.

    Parameters
    ----------
    options : CompareOptions
        What the user chose.
    progress, stop : optional
        See there.

    Raises
    ------
    InputError
        A data set, a protocol or a head cannot be used; the output is there already.
    Interrupted
        ``stop`` asked for it; finished trials are kept.
    BimorsError
        Models or output fail.
    """
    progress, stop = progress or Silent(), stop or SilentStop()
    clock = time.perf_counter()
    bundle = open_bundle(find_bundle(options.model))
    data_sets = {one.name: one for one in open_data_sets(options.sources, options.images, options)}
    classes = {name: one.classes for name, one in data_sets.items()}
    asked = tuple(question for protocol in options.protocols for question in questions(protocol, classes))
    folder = Path(options.output)
    _check_output(folder, options)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot write there: {error.strerror or error}", "choose another -o") from error
    with _locked(folder):
        if options.overwrite:
            (folder / LEDGER).unlink(missing_ok=True)
        ledger = TrialLog(folder / LEDGER)
        keys = {trial: trial_key(trial, bundle, data_sets, options) for trial in trials_of(asked, options)}
        repeated = sum(key in ledger for key in keys.values())
        _run(keys, ledger, bundle, data_sets, options, folder, progress, stop)
        outcomes = {trial: ledger[key] for trial, key in keys.items()}
        seconds = time.perf_counter() - clock
        found = tables(asked, options, outcomes)
        write_results(folder, Findings(options, bundle, data_sets, asked, outcomes, found, seconds))
        shutil.rmtree(folder / EVIDENCE, ignore_errors=True)
    learning = sum(outcome.seconds for outcome in outcomes.values())
    return Comparison(folder, found, len(keys), repeated, seconds, learning)


def _run(
    keys: Mapping[Trial, str],
    ledger: TrialLog,
    bundle: Bundle,
    data_sets: Mapping[str, DataSet],
    options: EvaluateOptions,
    folder: Path,
    progress: CompareProgress,
    stop: StopRequest,
) -> None:
    """Run the trials that are not in the ledger."""
    if all(key in ledger for key in keys.values()):
        return
    captions = any(one.listens for one in options.contestants)
    models: FrozenModels = load_models(bundle, options.device, captions=captions)
    evidence = folder / EVIDENCE if options.evidence is None else Path(options.evidence)
    try:
        # Before the first trial is finished too, the folder tells whose it is: looking at pictures may take hours.
        (folder / LEDGER).touch()
        evidence.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{evidence}: cannot write there: {error.strerror or error}") from error
    room = FeatureStore(
        models,
        data_sets,
        evidence,
        shots=options.most_shots,
        views=options.views,
        progress=progress,
    )

    def check_stop(_training: Training | None = None) -> None:
        if stop.signal_number is not None:
            done = sum(key in ledger for key in keys.values())
            raise Interrupted(
                stop.signal_number,
                f"interrupted after {done} of {len(keys)} trials, which are kept in {folder}",
                "run the same command with --resume to go on",
            )

    alike: dict[Trial, list[Trial]] = {}
    for trial, key in keys.items():
        if key not in ledger:
            alike.setdefault(learning(trial), []).append(trial)
    for trials in alike.values():
        check_stop()
        outcomes = run_trials(trials, models, data_sets, room, options, check_stop)
        for trial, outcome in zip(trials, outcomes, strict=True):
            ledger.add(keys[trial], trial, outcome)
            progress.trial(sum(one in ledger for one in keys.values()), len(keys), _told(trial, outcome))


def _told(trial: Trial, outcome: Outcome) -> str:
    learned = "" if trial.learned is None else f" from {trial.learned.data_set}, {trial.shots} shots, seed {trial.seed}"
    right = [
        f"{asked.data_set} {100 * answer['accuracy']['value']:.1f} %"
        for asked, answer in zip(trial.asked, outcome.answers, strict=True)
        if answer is not None
    ]
    return f"{trial.contestant.name}{learned}: {', '.join(right)}"


def _check_output(folder: Path, options: EvaluateOptions) -> None:
    if not folder.exists():
        return
    # A run that was killed when it had just begun leaves its lock alone.
    if not folder.is_dir() or not ((folder / LEDGER).exists() or {path.name for path in folder.iterdir()} <= {LOCK}):
        raise InputError(f"{folder} is there and holds no results", "choose another folder with -o")
    if (folder / LEDGER).exists() and not (options.resume or options.overwrite):
        finished = (folder / RESULTS).exists()
        raise OutputExistsError(
            f"{folder}: {'results are' if finished else 'a run that was not finished is'} there",
            "keep its finished trials with --resume, start anew with --overwrite, or choose another folder with -o",
        )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise JournalError(f"{folder}: another run works on it", "wait for it, or use another -o") from None
    except OSError as error:
        raise OutputError(f"{folder}: cannot write there: {error.strerror or error}", "choose another -o") from error
    try:
        yield
    finally:
        lock.release()
        with contextlib.suppress(OSError):
            (folder / LOCK).unlink()
