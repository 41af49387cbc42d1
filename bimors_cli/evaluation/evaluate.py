"""A complete evaluation of heads: data sets, protocols, trials, results.

The modules that import torch are imported in the functions, after everything is checked that needs no model.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import CLIP, Bundle, open_bundle, read_bundle
from bimors_cli.bundle.needed_parts import need_part
from bimors_cli.errors import InputError, Interrupted, JournalError, OutputError, OutputExistsError
from bimors_cli.evaluation.datasets import DataSet, open_data_sets
from bimors_cli.evaluation.options import RESULTS_FOLDER, EvaluateOptions
from bimors_cli.evaluation.protocols import tasks_of
from bimors_cli.evaluation.tables import Table, tables
from bimors_cli.evaluation.trial_log import RESULTS, TRIAL_LOG, TrialLog, trial_key
from bimors_cli.evaluation.trials import Outcome, Trial, trials_of, unrefined
from bimors_cli.locks import acquire_lock
from bimors_cli.output.atomic import check_writable
from bimors_cli.pipeline.progress import NullProgress, Progress, StopRequest
from bimors_cli.run_warnings import keeps_warnings, warn, warnings_so_far
from bimors_cli.steps import LIBRARIES, step

if TYPE_CHECKING:
    from bimors_cli.training.train import Training

# In the output folder until all trials are finished.
FEATURES = "evidence"
LOCK = "lock"


class EvaluateProgress(Progress, Protocol):
    """Shows the progress of an evaluation."""

    def trial(self, done: int, total: int, summary: str, /) -> None:
        """Show that ``done`` of ``total`` trials are finished; ``summary`` describes the last one."""


@dataclass(frozen=True)
class EvaluationResult:
    """Tables and counts of an evaluation; ``folder`` is its output folder.

    ``repeated`` of the ``trials`` were in the log of an earlier run. ``seconds`` is the duration of this run,
    ``trial_seconds`` the sum over all trials, also those of earlier runs, without the encoding of images. Training that
    several trials share is counted for each of them. ``warnings`` are those of the run, also of earlier runs.
    """

    folder: Path
    tables: tuple[Table, ...]
    trials: int
    repeated: int
    seconds: float
    trial_seconds: float
    warnings: tuple[str, ...] = ()


@keeps_warnings
def evaluate(
    options: EvaluateOptions, *, progress: EvaluateProgress | None = None, stop: StopRequest | None = None
) -> EvaluationResult:
    """Train heads on data sets, test them, and write the results.

    Parameters
    ----------
    options : EvaluateOptions
        Options of the command.
    progress : EvaluateProgress, optional
        Shows the progress; by default nothing is shown.
    stop : StopRequest, optional
        Requests an early end.

    Raises
    ------
    InputError
        A data set, a protocol or a head is not usable.
    OutputExistsError
        The output folder holds results, and neither ``resume`` nor ``overwrite`` is set.
    Interrupted
        ``stop`` requested an early end; finished trials are saved.
    BimorsError
        The models cannot be loaded, or the output cannot be written.
    """
    options.check_required()
    progress, stop = progress or NullProgress(), stop or NullProgress()
    clock = time.perf_counter()
    bundle = read_bundle(find_bundle(options.model, options.captioner))
    need_part(bundle, CLIP, "bimors evaluate")
    folder = Path(options.output or RESULTS_FOLDER)
    _check_output(folder, options)
    data_sets = {one.name: one for one in open_data_sets(options.sources, options.images, options)}
    classes = {name: one.classes for name, one in data_sets.items()}
    tasks = tuple(task for protocol in options.protocols for task in tasks_of(protocol, classes))
    bundle = open_bundle(bundle.folder, hash_again=options.verify)  # may hash its files, so last
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = acquire_lock(
            folder / LOCK,
            JournalError,
            f"{folder}: another run is writing these results",
            "wait until it ends, or use another -o",
        )
    except OSError as error:
        raise OutputError(f"{folder}: cannot write there: {error.strerror or error}", "choose another -o") from error
    with lock:
        if options.overwrite:
            (folder / TRIAL_LOG).unlink(missing_ok=True)
        trial_log = TrialLog(folder / TRIAL_LOG)
        keys = {trial: trial_key(trial, bundle, data_sets, options) for trial in trials_of(tasks, options)}
        repeated = sum(key in trial_log for key in keys.values())
        for text in (text for key in keys.values() if key in trial_log for text in trial_log.warnings(key)):
            warn(text)
        _run(keys, trial_log, bundle, data_sets, options, folder, progress, stop)
        outcomes = {trial: trial_log[key] for trial, key in keys.items()}
        seconds = time.perf_counter() - clock
        from bimors_cli.evaluation.results import EvaluationReport, write_results

        found = tables(tasks, options, outcomes)
        write_results(folder, EvaluationReport(options, bundle, data_sets, tasks, outcomes, found, seconds))
        shutil.rmtree(folder / FEATURES, ignore_errors=True)
    trial_seconds = sum(outcome.seconds for outcome in outcomes.values())
    return EvaluationResult(folder, found, len(keys), repeated, seconds, trial_seconds, warnings_so_far())


def _run(
    keys: Mapping[Trial, str],
    trial_log: TrialLog,
    bundle: Bundle,
    data_sets: Mapping[str, DataSet],
    options: EvaluateOptions,
    folder: Path,
    progress: EvaluateProgress,
    stop: StopRequest,
) -> None:
    """Run the trials that are not in the log."""
    if all(key in trial_log for key in keys.values()):
        return
    with step(LIBRARIES):
        from bimors_cli.evaluation.feature_store import FeatureStore
        from bimors_cli.evaluation.run_trials import run_trials
        from bimors_cli.pipeline.inference.load import load_models

    captions = any(variant.uses_captions for variant in options.variants)
    models = load_models(bundle, options.device, captions=captions)
    features = folder / FEATURES if options.evidence is None else Path(options.evidence)
    try:
        # Marks the folder as one of bimors before the first trial is finished: encoding the images may take hours.
        (folder / TRIAL_LOG).touch()
        features.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{features}: cannot write: {error.strerror or error}", "choose another folder") from error
    store = FeatureStore(
        models,
        data_sets,
        features,
        shots=options.most_shots,
        views=options.views,
        progress=progress,
    )

    def check_stop(_training: Training | None = None) -> None:
        if stop.signal_number is not None:
            done = sum(key in trial_log for key in keys.values())
            raise Interrupted(
                stop.signal_number,
                f"interrupted after {done} of {len(keys)} trials, which are saved in {folder}",
                "run the same command with --resume to continue",
            )

    groups: dict[Trial, list[Trial]] = {}
    for trial, key in keys.items():
        if key not in trial_log:
            groups.setdefault(unrefined(trial), []).append(trial)
    for trials in groups.values():
        check_stop()
        outcomes = run_trials(trials, models, data_sets, store, options, check_stop)
        for trial, outcome in zip(trials, outcomes, strict=True):
            trial_log.add(keys[trial], trial, outcome)
            progress.trial(sum(key in trial_log for key in keys.values()), len(keys), _summary(trial, outcome))


def _summary(trial: Trial, outcome: Outcome) -> str:
    trained = trial.train_classes
    source = "" if trained is None else f" trained on {trained.data_set}, {trial.shots} shots, seed {trial.seed}"
    accuracies = [
        f"{classes.data_set} {100 * scores['accuracy']['value']:.1f} %"
        for classes, scores in zip(trial.test_classes, outcome.scores, strict=True)
        if scores is not None
    ]
    return f"{trial.variant.name}{source}: {', '.join(accuracies)}"


def _check_output(folder: Path, options: EvaluateOptions) -> None:
    check_writable(folder / TRIAL_LOG)
    if not folder.exists():
        return
    # A run that was killed at its start leaves only its lock.
    if not folder.is_dir() or not ((folder / TRIAL_LOG).exists() or {path.name for path in folder.iterdir()} <= {LOCK}):
        raise InputError(f"{folder} exists and is not a folder of results", "choose another folder with -o")
    if (folder / TRIAL_LOG).exists() and not (options.resume or options.overwrite):
        found = "results" if (folder / RESULTS).exists() else "an unfinished run"
        raise OutputExistsError(
            f"{folder} holds {found}",
            "reuse its finished trials with --resume, start from scratch with --overwrite, or choose another -o",
        )
