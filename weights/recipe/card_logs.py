"""Figures from the logs of the stages: the end of each run, its curves, and the training cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bimors_cli.metrics.charts import training_curves

# An assumption, not a measurement: average power of two shared virtual processors.
MACHINE_WATTS = 30.0

# Names in the card for keys of the last line of a log.
ENDED = {
    "epoch": "epochs",
    "steps": "steps",
    "minutes": "minutes",
    "rsicd": "RSICD held out, zero-shot %",
    "rsscn7": "RSSCN7 validation, zero-shot %",
    "named": "captions that name the class, held out %",
    "held_out_words_right": "held-out words right %",
}
# Keys without a curve.
_APART = ("epoch", "steps", "minutes", "limit")


def paths(work: Path) -> list[Path]:
    """Logs of the runs of the bundle, without trial runs and stages without epochs."""
    found = sorted((work / "logs").glob("*.jsonl"))
    return [path for path in found if not path.stem.startswith("try-") and epochs(path)]


def epochs(path: Path) -> list[dict[str, float]]:
    """Figures of each epoch, in order. A resumed run may log an epoch again: the last entry is used."""
    by_epoch: dict[int, dict[str, float]] = {}
    for line in _lines(path):
        if "epoch" in line:
            epoch = int(line["epoch"])
            by_epoch = {number: row for number, row in by_epoch.items() if number < epoch}
            by_epoch[epoch] = {k: v for k, v in line.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
    return [by_epoch[number] for number in sorted(by_epoch)]


def ended(path: Path) -> dict[str, Any]:
    """The end of a run: epochs, minutes, and the last measurement on held-out images."""
    last = {key: value for line in _lines(path) for key, value in line.items()}
    return {"run": path.stem} | {name: last[key] for key, name in ENDED.items() if key in last}


def by_the_clock(path: Path) -> bool:
    """Whether a limit in minutes ended the run; then it is not reproducible bit by bit."""
    return any(line.get("limit") for line in _lines(path))


def cost(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Total minutes of the runs, and the energy at the assumed power."""
    minutes = sum(run.get("minutes", 0.0) for run in runs)
    energy = minutes / 60 * MACHINE_WATTS
    return {"minutes": round(minutes, 1), "assumed watts": MACHINE_WATTS, "watt hours": round(energy, 1)}


def draw(folder: Path, work: Path) -> list[str]:
    """Write ``training-RUN.png`` for each run; returns the file names."""
    names = []
    for path in paths(work):
        rows = [{k: v for k, v in row.items() if k == "epoch" or k not in _APART} for row in epochs(path)]
        names.append(f"training-{path.stem}.png")
        training_curves(folder / names[-1], rows)
    return names


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
