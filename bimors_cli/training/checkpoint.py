"""The checkpoint folder of an unfinished run, which `--resume` continues from."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from bimors_cli.errors import JournalError, OutputError
from bimors_cli.locks import acquire_lock
from bimors_cli.run_warnings import warn, warnings_so_far
from bimors_cli.training.tensor_file import write_tensors
from bimors_cli.training.train import EpochFigures, Training
from bimors_cli.training.unfinished import PLAN, check_unfinished, is_unfinished, training_folder

CHECKPOINT, WARNINGS, LOCK = "checkpoint.safetensors", "warnings.json", "lock"


class TrainingCheckpoint:
    """Encoder outputs and last complete epoch of an unfinished run, in ``<output>.training/`` next to its output.

    Parameters
    ----------
    output : Path
        The adapter's folder.
    plan : mapping
        Everything that the result depends on, as JSON values; only a run with the same plan can be resumed.
    resume, overwrite : bool
        Continue an unfinished run; discard it. With neither, an unfinished run is an error.

    Raises
    ------
    OutputExistsError
        There is an unfinished run, and neither ``resume`` nor ``overwrite`` is set.
    JournalError
        Another process uses the folder; the unfinished run has another plan.
    OutputError
        The folder cannot be created.
    """

    def __init__(self, output: Path, plan: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
        self.folder = training_folder(output)
        self._plan = json.loads(json.dumps(plan))
        check_unfinished(output, resume=resume, overwrite=overwrite)
        found = is_unfinished(output)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = acquire_lock(
                self.folder / LOCK,
                JournalError,
                f"{self.folder}: another run is writing this output",
                "wait until it ends, or use another -o",
                keep_file=True,
            )
        except OSError as error:
            raise OutputError(
                f"{self.folder}: cannot write there: {error.strerror or error}", "choose another -o"
            ) from error
        if found and overwrite:
            for name in (PLAN, CHECKPOINT, WARNINGS):
                (self.folder / name).unlink(missing_ok=True)
            found = False
        if found:
            self._check_plan()
            self._warn_again()
        else:
            try:
                self._write(PLAN, json.dumps(self._plan, indent=1, ensure_ascii=False))
            except OSError as error:
                self._lock.release()
                raise OutputError(f"{self.folder}: {error.strerror or error}", "is the disk full?") from error

    def _check_plan(self) -> None:
        try:
            before = json.loads((self.folder / PLAN).read_text(encoding="utf-8"))
        except ValueError as error:
            self._lock.release()
            raise JournalError(
                f"{self.folder / PLAN} is damaged: {error}", "start from scratch with --overwrite"
            ) from error
        other = sorted(key for key in {*before, *self._plan} if before.get(key) != self._plan.get(key))
        if other:
            self._lock.release()
            raise JournalError(
                f"{self.folder}: the unfinished run differs in {', '.join(other)}",
                "resume with its options, or start from scratch with --overwrite",
            )

    def _warn_again(self) -> None:
        """Warn of what the unfinished run has warned of."""
        path = self.folder / WARNINGS
        try:
            texts = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        except ValueError as error:
            self._lock.release()
            raise JournalError(f"{path} is damaged: {error}", "start from scratch with --overwrite") from error
        for text in texts:
            warn(str(text))

    def save_warnings(self) -> None:
        """Save what the run has warned of until now, for the run that continues it. Raises OutputError."""
        if warnings_so_far():
            try:
                self._write(WARNINGS, json.dumps(warnings_so_far(), indent=1, ensure_ascii=False))
            except OSError as error:
                raise OutputError(f"{self.folder}: {error.strerror or error}", "is the disk full?") from error

    def save(self, training: Training) -> None:
        """Save the state of a run between two epochs atomically. Raises OutputError."""
        momentum = {
            f"momentum.{i}": values["momentum_buffer"]
            for i, values in training.optimiser.state_dict()["state"].items()
            if values.get("momentum_buffer") is not None
        }
        tensors = {f"learner.{key}": value for key, value in training.learner.state_dict().items()}
        tensors |= {f"best.{key}": value for key, value in training.best.items()} | momentum
        state = {"epochs": [asdict(epoch) for epoch in training.epochs], "best_epoch": training.best_epoch}
        write_tensors(self.folder / CHECKPOINT, tensors, {"state": json.dumps(state)})

    def restore(self, training: Training) -> None:
        """Restore the saved state, if there is one.

        Raises
        ------
        JournalError
            The file is damaged.
        """
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {key: file.get_tensor(key) for key in list(file.keys())}
                state = json.loads((file.metadata() or {})["state"])
            training.learner.load_state_dict(_with_prefix(tensors, "learner."))
            training.epochs = [EpochFigures(**epoch) for epoch in state["epochs"]]
        except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise JournalError(
                f"{path} is damaged: {str(error).splitlines()[0]}", "start from scratch with --overwrite"
            ) from error
        best = _with_prefix(tensors, "best.")
        training.best = {key: value.to(training.best[key].device) for key, value in best.items()}
        training.best_epoch = state["best_epoch"]
        momentum = _with_prefix(tensors, "momentum.")
        optimiser = training.optimiser.state_dict()
        optimiser["state"] = {int(key): {"momentum_buffer": value} for key, value in momentum.items()}
        training.optimiser.load_state_dict(optimiser)

    def finish(self) -> None:
        """Delete the folder after the adapter was written."""
        (self.folder / PLAN).unlink(missing_ok=True)  # first: without it no run can be resumed
        self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    def release(self) -> None:
        """Release the lock and keep the folder for `--resume`."""
        self._lock.release()

    def _write(self, name: str, text: str) -> None:
        part = self.folder / f".{name}.part"
        part.write_text(text + "\n", encoding="utf-8")
        os.replace(part, self.folder / name)


def _with_prefix(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
