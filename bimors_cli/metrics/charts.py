"""Scores as pictures: PNG files that are the same for the same numbers. No display is needed, nor looked for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bimors_cli.metrics.drawing import BLUE, GREEN, GREY, ORANGE, write_png
from bimors_cli.metrics.scores import BINS, Scores, answer_calibration_error

# Beyond this many classes a count does not fit into its cell.
_COUNTS_FIT: Final = 40
_LABEL_LENGTH: Final = 28


# A user's matplotlibrc would change the pictures.
@style.context("default")
def confusion_matrix(path: Path, scores: Scores) -> None:
    """Draw truth against answers; a cell's shade is its share of the true class.

    Counts are written into the cells for up to 40 classes.
    """
    count = len(scores.labels)
    table = np.array(scores.confusion, dtype=np.int64).reshape(count, count)
    examples = table.sum(axis=1, keepdims=True)
    share = np.divide(table, examples, out=np.zeros(table.shape), where=examples > 0)
    counted = count <= _COUNTS_FIT
    side = max(3.0, count * (0.32 if counted else 0.19)) + 1.6  # inches: the cells, and the labels beside them
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    names = [_short(label) for label in scores.labels]
    size = 8 if counted else 6.5
    # A dollar in a label is a dollar, not mathematics.
    axes.set_xticks(range(count), names, rotation=90, fontsize=size, parse_math=False)
    axes.set_yticks(range(count), names, fontsize=size, parse_math=False)
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    if counted:
        for row, column in np.argwhere(table > 0).tolist():
            colour = "white" if share[row, column] > 0.5 else "black"
            number = str(table[row, column])
            axes.text(column, row, number, ha="center", va="center", fontsize=7, color=colour)
    axes.set_title(f"{scores.accuracy.right} of {scores.accuracy.of} right", fontsize=10)
    write_png(path, figure)


def reliability_diagram(path: Path, probabilities: torch.Tensor, target: torch.Tensor) -> None:
    """Draw how often answers of like confidence are right, in 15 bins, and how many there are of each.

    Parameters
    ----------
    path : Path
        The PNG file.
    probabilities, target : torch.Tensor
        float [N, K], 0..1, and int64 [N]; see `scores.score`.
    """
    best, answer = probabilities.max(dim=1) if len(target) else (probabilities.new_empty(0), target)
    reliability_of_answers(path, best, answer == target)


@style.context("default")
def reliability_of_answers(path: Path, confidence: torch.Tensor, right: torch.Tensor) -> None:
    """Draw the same of answers whose other probabilities are not known.

    Parameters
    ----------
    path : Path
        The PNG file.
    confidence, right : torch.Tensor
        float [N], 0..1, and bool [N]; see `scores.answer_calibration_error`.
    """
    error = answer_calibration_error(confidence, right)
    sure, good = confidence.double().cpu().numpy(), right.double().cpu().numpy()
    # Bins are open below and closed above, as those of the calibration error.
    place = np.clip(np.ceil(sure * BINS) - 1, 0, BINS - 1).astype(np.int64)
    number = np.bincount(place, minlength=BINS)
    share = np.divide(np.bincount(place, good, BINS), number, out=np.zeros(BINS), where=number > 0)
    middle = (np.arange(BINS) + 0.5) / BINS
    figure = Figure(figsize=(4.4, 5.2), layout="constrained")
    above, beneath = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.bar(middle, share, width=0.95 / BINS, color=BLUE)
    above.plot((0, 1), (0, 1), color=ORANGE, linestyle="--", linewidth=1, label="as confident as right")
    above.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is right")
    above.legend(loc="upper left", fontsize=8)
    known = "no examples" if math.isnan(error) else f"calibration error {100 * error:.1f} points"
    above.set_title(f"{len(sure)} examples, {known}" if len(sure) else known, fontsize=10)
    beneath.bar(middle, number, width=0.95 / BINS, color=GREY)
    beneath.set(xlabel="confidence", ylabel="examples")
    beneath.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    write_png(path, figure)


@style.context("default")
def training_curves(path: Path, epochs: Sequence[Mapping[str, float]]) -> None:
    """Draw what was logged of each epoch, a small panel a figure.

    Parameters
    ----------
    path : Path
        The PNG file.
    epochs : sequence of mapping
        ``epoch``, which every row has, and any other names to numbers; a row may lack some. Names with the same first
        word ("loss train", "loss validation") share a panel.
    """
    panels: dict[str, list[str]] = {}
    for key in dict.fromkeys(key for row in epochs for key in row if key != "epoch"):
        panels.setdefault(key.split(" ")[0], []).append(key)
    columns = min(3, max(1, len(panels)))
    rows = max(1, math.ceil(len(panels) / columns))
    figure = Figure(figsize=(3.2 * columns, 2.3 * rows), layout="constrained")
    if not panels:
        figure.text(0.5, 0.5, "no epochs", ha="center", va="center")
    for place, (first_word, keys) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(rows, columns, place)
        for key, colour in zip(keys, _colours(len(keys)), strict=True):
            known = [(row["epoch"], row[key]) for row in epochs if key in row]
            _curve(axes, known, colour, key.partition(" ")[2] or key)
        axes.set_title(keys[0] if len(keys) == 1 else first_word, fontsize=9, parse_math=False)
        if len(keys) > 1:
            axes.legend(fontsize=7)
        axes.tick_params(labelsize=7)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_xlabel("epoch", fontsize=8)
    write_png(path, figure)


def _curve(axes: Axes, known: Sequence[tuple[float, float]], colour: str, name: str) -> None:
    # A point alone draws no line, and what is measured now and then should show when.
    marker = "o" if len(known) < 12 else ""
    axes.plot(*zip(*known, strict=True), color=colour, marker=marker, markersize=3, linewidth=1.2, label=name)


def _colours(count: int) -> list[str]:
    return [(BLUE, ORANGE, GREEN, GREY)[i % 4] for i in range(count)]


def _short(label: str) -> str:
    return label if len(label) <= _LABEL_LENGTH else label[: _LABEL_LENGTH - 1].rstrip() + "…"
