"""The folder of a run that is not finished: what `--resume` goes on from."""

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

from bimors_cli.errors import JournalError, OutputError, OutputExistsError
from bimors_cli.locks import acquire_lock
from bimors_cli.training.tensor_file import write_tensors
from bimors_cli.training.train import EpochFigures, Training

PLAN, CHECKPOINT, LOCK = "plan.json", "checkpoint.safetensors", "lock"


class TrainingCheckpoint:
    """Holds evidence and the last whole epoch of a run beside its output, ``<output>.training/``, until it is finished.

    Parameters
    ----------
    output : Path
        The adapter's folder.
    plan : mapping
        All that decides the result, as JSON values; only a run with the same plan can be taken up again.
    resume, overwrite : bool
        Go on with a run that was cut off; throw one away. With neither, there must be none.

    Raises
    ------
    OutputExistsError
        A run was cut off, and neither ``resume`` nor ``overwrite`` is set.
    JournalError
        Another process works there; the run that was cut off had another plan.
    OutputError
        The folder cannot be made.
    """

    def __init__(self, output: Path, plan: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
        self.folder = output.with_name(f"{output.name}.training")
        self._plan = json.loads(json.dumps(plan))
        found = self.was_begun(output)
        if found and not (resume or overwrite):
            raise OutputExistsError(
                f"{self.folder}: a run of this output was not finished",
                "go on with --resume, or start anew with --overwrite",
            )
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
            for name in (PLAN, CHECKPOINT):
                (self.folder / name).unlink(missing_ok=True)
            found = False
        if found:
            self._check_plan()
        else:
            try:
                self._write(PLAN, json.dumps(self._plan, indent=1, ensure_ascii=False))
            except OSError as error:
                self._lock.release()
                raise OutputError(f"{self.folder}: {error.strerror or error}", "is the disk full?") from error

    @staticmethod
    def was_begun(output: Path) -> bool:
        """Tell whether a run of this output was not finished."""
        return (output.with_name(f"{output.name}.training") / PLAN).exists()

    def _check_plan(self) -> None:
        try:
            before = json.loads((self.folder / PLAN).read_text(encoding="utf-8"))
        except ValueError as error:
            self._lock.release()
            raise JournalError(f"{self.folder / PLAN} is damaged: {error}", "start anew with --overwrite") from error
        other = sorted(key for key in {*before, *self._plan} if before.get(key) != self._plan.get(key))
        if other:
            self._lock.release()
            raise JournalError(
                f"{self.folder}: the run there differs in {', '.join(other)}",
                "give the options that it began with, or start anew with --overwrite",
            )

    def save(self, training: Training) -> None:
        """Keep a run as it stands between two epochs. Written whole or not at all. Raises OutputError."""
        momentum = {
            f"momentum.{i}": state["momentum_buffer"]
            for i, state in training.optimiser.state_dict()["state"].items()
            if state.get("momentum_buffer") is not None
        }
        tensors = {f"learner.{key}": value for key, value in training.learner.state_dict().items()}
        tensors |= {f"best.{key}": value for key, value in training.best.items()} | momentum
        told = {"epochs": [asdict(epoch) for epoch in training.epochs], "best_epoch": training.best_epoch}
        write_tensors(self.folder / CHECKPOINT, tensors, {"state": json.dumps(told)})

    def restore(self, training: Training) -> None:
        """Take up what `save` kept, if anything.

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
                kept = {key: file.get_tensor(key) for key in list(file.keys())}
                told = json.loads((file.metadata() or {})["state"])
            training.learner.load_state_dict(_part(kept, "learner."))
            training.epochs = [EpochFigures(**epoch) for epoch in told["epochs"]]
        except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise JournalError(
                f"{path} is damaged: {str(error).splitlines()[0]}", "start anew with --overwrite"
            ) from error
        training.best = {key: value.to(training.best[key].device) for key, value in _part(kept, "best.").items()}
        training.best_epoch = told["best_epoch"]
        state = training.optimiser.state_dict()
        state["state"] = {int(key): {"momentum_buffer": value} for key, value in _part(kept, "momentum.").items()}
        training.optimiser.load_state_dict(state)

    def finish(self) -> None:
        """Throw the folder away: the adapter is in its place."""
        (self.folder / PLAN).unlink(missing_ok=True)  # first: without it there is nothing to go on with
        self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    def release(self) -> None:
        """Leave the folder for `--resume`."""
        self._lock.release()

    def _write(self, name: str, text: str) -> None:
        part = self.folder / f".{name}.part"
        part.write_text(text + "\n", encoding="utf-8")
        os.replace(part, self.folder / name)


def _part(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
