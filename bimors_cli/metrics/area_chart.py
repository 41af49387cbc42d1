"""A chart of areas with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure

from bimors_cli.metrics.drawing import BLUE, ORANGE, write_png

_LABEL_LENGTH = 28


@dataclass(frozen=True)
class AreaBar:
    """A class: its mapped area, its estimated one and the bounds of this; NaN for what is unknown."""

    label: str
    mapped: float
    estimated: float
    low: float
    high: float


# A user's matplotlibrc would change the chart.
@style.context("default")
def area_chart(path: Path, bars: Sequence[AreaBar], unit: str) -> None:
    """Draw the estimated area of each class as a bar with its interval, and the mapped area as a mark."""
    values = np.array([(bar.mapped, bar.estimated, bar.low, bar.high) for bar in bars], np.float64).reshape(-1, 4)
    mapped, estimated, low, high = values.T
    at = np.arange(len(bars))
    figure = Figure(figsize=(6.4, 1.4 + 0.34 * max(1, len(bars))), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(at, np.nan_to_num(estimated), height=0.6, color=BLUE, alpha=0.6, label="estimated, with 95 % interval")
    known = np.isfinite(low) & np.isfinite(high)
    # Rounding could make a length negative.
    lengths = np.maximum(np.stack([estimated - low, high - estimated]), 0)[:, known]
    axes.errorbar(estimated[known], at[known], xerr=lengths, fmt="none", ecolor="black", elinewidth=1.2, capsize=4)
    axes.plot(mapped, at, linestyle="none", marker="D", markersize=5, color=ORANGE, label="mapped")
    # A dollar in a label is a dollar, not mathematics.
    axes.set_yticks(at, [_short(bar.label) for bar in bars], fontsize=9, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel(unit)
    axes.xaxis.set_major_formatter("{x:,.6g}")
    figure.legend(loc="outside upper right", ncols=2, fontsize=8, frameon=False)
    write_png(path, figure)


def _short(label: str) -> str:
    return label if len(label) <= _LABEL_LENGTH else label[: _LABEL_LENGTH - 1].rstrip() + "…"
