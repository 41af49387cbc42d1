"""What the stages' logs tell: where each run ended, its curves, and what all of it cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bimors_cli.metrics.charts import training_curves

# An assumption, not a measurement: what a machine draws on average for a share of two virtual processors.
MACHINE_WATTS = 30.0

# What a last line may hold, and what the card calls it.
ENDED = {
    "epoch": "epochs",
    "steps": "steps",
    "minutes": "minutes",
    "rsicd": "RSICD held out, zero-shot %",
    "rsscn7": "RSSCN7 validation, zero-shot %",
    "named": "captions that name the class, held out %",
    "held_out_words_right": "held-out words right %",
}
# Not of a model: no curve.
_APART = ("epoch", "steps", "minutes", "limit")


def paths(work: Path) -> list[Path]:
    """Logs of runs that made the bundle; trials and stages without epochs are none."""
    found = sorted((work / "logs").glob("*.jsonl"))
    return [path for path in found if not path.stem.startswith("try-") and epochs(path)]


def epochs(path: Path) -> list[dict[str, float]]:
    """Numbers of each epoch, in order. A run that was cut logs an epoch again: what came last counts."""
    kept: dict[int, dict[str, float]] = {}
    for line in _lines(path):
        if "epoch" in line:
            place = int(line["epoch"])
            kept = {number: row for number, row in kept.items() if number < place}
            kept[place] = {k: v for k, v in line.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
    return [kept[number] for number in sorted(kept)]


def ended(path: Path) -> dict[str, Any]:
    """Where a run ended: its epochs, its minutes, and what its last measurement on held-out images said."""
    together = {key: value for line in _lines(path) for key, value in line.items()}
    return {"run": path.stem} | {name: together[key] for key, name in ENDED.items() if key in together}


def by_the_clock(path: Path) -> bool:
    """Whether a limit in minutes ended the run; then it cannot be repeated bit for bit."""
    return any(line.get("limit") for line in _lines(path))


def cost(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Minutes of the runs that tell them, and what the machine drew in these, by assumption."""
    minutes = sum(run.get("minutes", 0.0) for run in runs)
    energy = minutes / 60 * MACHINE_WATTS
    return {"minutes": round(minutes, 1), "assumed watts": MACHINE_WATTS, "watt hours": round(energy, 1)}


def draw(folder: Path, work: Path) -> list[str]:
    """Write ``training-RUN.png`` of each run; their names."""
    names = []
    for path in paths(work):
        rows = [{k: v for k, v in row.items() if k == "epoch" or k not in _APART} for row in epochs(path)]
        names.append(f"training-{path.stem}.png")
        training_curves(folder / names[-1], rows)
    return names


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
