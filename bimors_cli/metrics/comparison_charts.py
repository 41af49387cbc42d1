"""Charts that compare heads: bars, lines over a number, accuracy over the number of parameters."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bimors_cli.metrics.drawing import COLOURS, write_png


@dataclass(frozen=True)
class Measured:
    """An accuracy, 0..1, and its standard deviation, if known."""

    mean: float
    deviation: float | None = None


# A user's matplotlibrc would change the charts.
@style.context("default")
def bars(path: Path, title: str, heads: Mapping[str, Mapping[str, Measured]]) -> None:
    """Draw accuracies in per cent, one group of bars per column, one bar per head, with standard deviations if known.

    Parameters
    ----------
    path : Path
        The PNG file.
    title : str
        Title of the chart.
    heads : mapping
        Accuracy by head and column; columns of a head may be missing.
    """
    columns = list(dict.fromkeys(column for cells in heads.values() for column in cells))
    width = 0.8 / max(1, len(heads))
    size = max(4.5, 0.34 * len(heads) * len(columns) + 1.5)
    figure = Figure(figsize=(min(size, 14), 3.8), layout="constrained")
    axes = figure.add_subplot()
    lowest = 100.0
    for number, ((head, cells), colour) in enumerate(zip(heads.items(), itertools.cycle(COLOURS), strict=False)):
        known = [(i, cells[column]) for i, column in enumerate(columns) if column in cells]
        where = [i - 0.4 + width * (number + 0.5) for i, _ in known]
        heights = [100 * cell.mean for _, cell in known]
        spread = [100 * (cell.deviation or 0.0) for _, cell in known]
        axes.bar(where, heights, width * 0.92, yerr=spread, color=colour, label=head, error_kw={"linewidth": 0.8})
        lowest = min([lowest, *heights])
    axes.set_xticks(range(len(columns)), columns, parse_math=False)
    # From zero, unless the differences would be too small to see.
    axes.set_ylim(max(0.0, lowest - 15) if lowest > 40 else 0.0, 100)
    axes.set_ylabel("accuracy, %")
    _finish(figure, axes, title)
    write_png(path, figure)


@style.context("default")
def lines(path: Path, title: str, name: str, heads: Mapping[str, Mapping[int, Measured]], level: str = "") -> None:
    """Draw accuracies in per cent over a whole number (shots, context tokens), one line per head.

    Parameters
    ----------
    path, title
        As `bars`.
    name : str
        Label of the x axis.
    heads : mapping
        Accuracy by head and number.
    level : str
        Head that does not depend on the number: drawn as a horizontal line at its first value.
    """
    figure = Figure(figsize=(5.5, 3.8), layout="constrained")
    axes = figure.add_subplot()
    numbers = sorted({number for cells in heads.values() for number in cells})
    position = {number: i for i, number in enumerate(numbers)}  # 1, 2, 4, 8, 16 at even distances
    for (head, cells), colour in zip(heads.items(), itertools.cycle(COLOURS), strict=False):
        if head == level and cells:
            axes.axhline(100 * next(iter(cells.values())).mean, color=colour, linestyle="--", linewidth=1.2, label=head)
            continue
        known = sorted(cells.items())
        axes.errorbar(
            [position[number] for number, _ in known],
            [100 * cell.mean for _, cell in known],
            yerr=[100 * (cell.deviation or 0.0) for _, cell in known],
            color=colour,
            marker="o",
            markersize=3,
            linewidth=1.2,
            elinewidth=0.8,
            label=head,
        )
    axes.set_xticks(range(len(numbers)), ["all" if number == 0 else str(number) for number in numbers])
    axes.set(xlabel=name, ylabel="accuracy, %")
    _finish(figure, axes, title)
    write_png(path, figure)


@style.context("default")
def against_parameters(path: Path, title: str, name: str, heads: Sequence[tuple[str, int, Measured]]) -> None:
    """Draw ``name`` in per cent over the number of learnable parameters, on a logarithmic axis that includes 0."""
    figure = Figure(figsize=(5.5, 3.8), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xscale("symlog", linthresh=100)
    for (head, parameters, cell), colour in zip(heads, itertools.cycle(COLOURS), strict=False):
        axes.errorbar(
            [parameters], [100 * cell.mean], yerr=[100 * (cell.deviation or 0.0)], color=colour, marker="o", label=head,
            linestyle="",
        )  # fmt: skip
    axes.set(xlabel="learnable parameters", ylabel=f"{name}, %")
    axes.set_xlim(left=-20)
    _finish(figure, axes, title)
    write_png(path, figure)


def _finish(figure: Figure, axes: Axes, title: str) -> None:
    figure.suptitle(title, fontsize=10, parse_math=False)
    axes.grid(axis="y", linewidth=0.4, alpha=0.6)
    axes.set_axisbelow(True)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
