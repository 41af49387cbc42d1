"""The training loop of all stages: epochs, one learning-rate cycle, log, checkpoint, resume."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from recipe.common import Settings, load_checkpoint, one_cycle, save_checkpoint
from recipe.optimiser import MuonAdamW


@dataclass(frozen=True)
class Schedule:
    """Length and learning rate of a run.

    ``limit`` in minutes ends a run by the clock instead of by ``epochs``, with the same learning-rate cycle; such a run
    is not reproducible bit by bit. ``stream`` selects the random numbers of a stage.
    """

    name: str
    epochs: int
    rate: float
    limit: float = 0.0
    stream: int = 0
    warm: float = 0.1
    clip: float = 5.0


def run(
    settings: Settings,
    schedule: Schedule,
    model: nn.Module,
    optimiser: MuonAdamW,
    draw: Callable[[torch.Generator], Sequence[Any]],
    losses_of: Callable[[Any, float, torch.Generator], dict[str, torch.Tensor]],
    measure: Callable[[bool], dict[str, Any]] = lambda last: {},
) -> None:
    """Train a model in place.

    Parameters
    ----------
    settings, schedule, model, optimiser
        Settings, schedule, model and optimiser of the run.
    draw : callable
        Returns the batches of one epoch.
    losses_of : callable
        Returns the losses of a batch, whose sum is minimized; its second argument is the progress of the run, 0..1.
    measure : callable
        Returns values to log after each epoch; its argument tells whether this is the last epoch.
    """
    path = settings.work / "checkpoints" / f"{schedule.name}.safetensors"
    begin, spent = 0, 0.0
    if (found := load_checkpoint(path)) is not None:
        tensors, state = found
        model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
        optimiser.restore(tensors, state["steps"])
        begin, spent = (schedule.epochs if state.get("done") else state["epoch"]), state["minutes"]
    for epoch in range(begin, schedule.epochs):
        generator = settings.generator(schedule.stream, epoch)
        torch.manual_seed(settings.seed + epoch)  # dropout
        batches = draw(generator)
        model.train()
        clock, done, progress = time.monotonic(), 0, 0.0
        sums: dict[str, float] = {}
        for step, batch in enumerate(batches):
            progress = (epoch + step / len(batches)) / schedule.epochs
            if schedule.limit:
                progress = (spent + (time.monotonic() - clock) / 60) / schedule.limit
                if progress >= 1:
                    break
            with settings.autocast():
                losses = losses_of(batch, progress, generator)
            torch.stack(list(losses.values())).sum().backward()
            optimiser.step(schedule.rate * one_cycle(progress, schedule.warm), schedule.clip)
            done += 1
            for key, value in losses.items():
                sums[key] = sums.get(key, 0.0) + float(value.detach())
        spent += (time.monotonic() - clock) / 60
        last = progress >= 1 or epoch + 1 == schedule.epochs
        values = {key: round(value / max(done, 1), 4) for key, value in sums.items()}
        scores = measure(last)
        steps = optimiser.step_count
        clocked = {"limit": schedule.limit} if schedule.limit else {}
        settings.log(
            schedule.name, epoch=epoch + 1, steps=steps, minutes=round(spent, 2), **clocked, **values, **scores
        )
        tensors = {f"model.{k}": v for k, v in model.state_dict().items()} | optimiser.state()
        save_checkpoint(path, tensors, epoch=epoch + 1, steps=steps, minutes=spent, done=last, scores=scores)
        if last:
            break
