"""Charts of scores as PNG files, byte for byte the same for the same numbers. No display is needed."""

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
from bimors_cli.metrics.scores import BINS, Scores, confidence_calibration_error

# Beyond this many classes a count does not fit into its cell.
_COUNTS_FIT: Final = 40
_LABEL_LENGTH: Final = 28


# A user's matplotlibrc would change the charts.
@style.context("default")
def confusion_matrix(path: Path, scores: Scores) -> None:
    """Draw a confusion matrix; the shade of a cell is its fraction of the true class.

    Up to 40 classes, the cells show their counts.
    """
    count = len(scores.labels)
    table = np.array(scores.confusion, dtype=np.int64).reshape(count, count)
    examples = table.sum(axis=1, keepdims=True)
    fraction = np.divide(table, examples, out=np.zeros(table.shape), where=examples > 0)
    counted = count <= _COUNTS_FIT
    side = max(3.0, count * (0.32 if counted else 0.19)) + 1.6  # inches: the cells, and the labels next to them
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(fraction, cmap="Blues", vmin=0, vmax=1)
    names = [_short(label) for label in scores.labels]
    size = 8 if counted else 6.5
    # A dollar in a label is a dollar, not mathematics.
    axes.set_xticks(range(count), names, rotation=90, fontsize=size, parse_math=False)
    axes.set_yticks(range(count), names, fontsize=size, parse_math=False)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    if counted:
        for row, column in np.argwhere(table > 0).tolist():
            colour = "white" if fraction[row, column] > 0.5 else "black"
            number = str(table[row, column])
            axes.text(column, row, number, ha="center", va="center", fontsize=7, color=colour)
    axes.set_title(f"{scores.accuracy.correct} of {scores.accuracy.total} correct", fontsize=10)
    write_png(path, figure)


def reliability_diagram(path: Path, probabilities: torch.Tensor, target: torch.Tensor) -> None:
    """Draw accuracy and number of predictions by confidence, in 15 bins.

    Parameters
    ----------
    path : Path
        The PNG file.
    probabilities, target : torch.Tensor
        float [N, K], 0..1, and int64 [N]; as `scores.score`.
    """
    best, predicted = probabilities.max(dim=1) if len(target) else (probabilities.new_empty(0), target)
    confidence_reliability_diagram(path, best, predicted == target)


@style.context("default")
def confidence_reliability_diagram(path: Path, confidence: torch.Tensor, correct: torch.Tensor) -> None:
    """Draw `reliability_diagram` from the confidence of the predictions alone.

    Parameters
    ----------
    path : Path
        The PNG file.
    confidence, correct : torch.Tensor
        float [N], 0..1, and bool [N]; as `scores.confidence_calibration_error`.
    """
    error = confidence_calibration_error(confidence, correct)
    values, hits = confidence.double().cpu().numpy(), correct.double().cpu().numpy()
    # Bins are open below and closed above, as those of the calibration error.
    index = np.clip(np.ceil(values * BINS) - 1, 0, BINS - 1).astype(np.int64)
    number = np.bincount(index, minlength=BINS)
    accuracy = np.divide(np.bincount(index, hits, BINS), number, out=np.zeros(BINS), where=number > 0)
    middle = (np.arange(BINS) + 0.5) / BINS
    figure = Figure(figsize=(4.4, 5.2), layout="constrained")
    above, beneath = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.bar(middle, accuracy, width=0.95 / BINS, color=BLUE)
    above.plot((0, 1), (0, 1), color=ORANGE, linestyle="--", linewidth=1, label="perfect calibration")
    above.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    above.legend(loc="upper left", fontsize=8)
    known = "no examples" if math.isnan(error) else f"calibration error {100 * error:.1f} points"
    above.set_title(f"{len(values)} examples, {known}" if len(values) else known, fontsize=10)
    beneath.bar(middle, number, width=0.95 / BINS, color=GREY)
    beneath.set(xlabel="confidence", ylabel="examples")
    beneath.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    write_png(path, figure)


@style.context("default")
def training_curves(path: Path, epochs: Sequence[Mapping[str, float]]) -> None:
    """Draw the values logged for each epoch, one panel per quantity.

    Parameters
    ----------
    path : Path
        The PNG file.
    epochs : sequence of mapping
        Rows of ``epoch`` and any other names to numbers, some of which may be missing. Names with the same first word
        ("loss train", "loss validation") share a panel.
    """
    panels: dict[str, list[str]] = {}
    for key in dict.fromkeys(key for row in epochs for key in row if key != "epoch"):
        panels.setdefault(key.split(" ")[0], []).append(key)
    columns = min(3, max(1, len(panels)))
    rows = max(1, math.ceil(len(panels) / columns))
    figure = Figure(figsize=(3.2 * columns, 2.3 * rows), layout="constrained")
    if not panels:
        figure.text(0.5, 0.5, "no epochs", ha="center", va="center")
    for number, (first_word, keys) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(rows, columns, number)
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
    # A single point draws no line, and markers show when rare values were measured.
    marker = "o" if len(known) < 12 else ""
    axes.plot(*zip(*known, strict=True), color=colour, marker=marker, markersize=3, linewidth=1.2, label=name)


def _colours(count: int) -> list[str]:
    return [(BLUE, ORANGE, GREEN, GREY)[i % 4] for i in range(count)]


def _short(label: str) -> str:
    return label if len(label) <= _LABEL_LENGTH else label[: _LABEL_LENGTH - 1].rstrip() + "…"
