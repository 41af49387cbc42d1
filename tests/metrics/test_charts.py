"""Charts: they open, are small, the same each time, and say what the numbers say."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from bimors_cli.metrics.charts import (
    confidence_reliability_diagram,
    confusion_matrix,
    reliability_diagram,
    training_curves,
)
from bimors_cli.metrics.scores import Scores, score

LIMIT = 150_000
NONE = torch.empty(0, dtype=torch.int64)


def pixels(path: Path) -> NDArray[np.uint8]:
    assert path.stat().st_size < LIMIT
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert not {"Software", "Creation Time", "date:create"} & set(image.info)
        return np.asarray(image.convert("RGB"))


def guesses(classes: int, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(classes)
    target = torch.randint(classes, (rows,), generator=generator)
    logits = torch.randn(rows, classes, generator=generator) + 3 * torch.eye(classes)[target]
    return torch.softmax(logits, dim=1), target


def scored(classes: int, rows: int, name: str = "class number {}") -> Scores:
    return score(*guesses(classes, rows), [name.format(i) for i in range(classes)])


@pytest.mark.parametrize("classes", [1, 2, 30, 60])
def test_a_confusion_matrix_of_any_size(tmp_path: Path, classes: int) -> None:
    path = tmp_path / "matrix.png"
    confusion_matrix(path, scored(classes, 900))
    height, width, _ = pixels(path).shape
    assert 300 <= height <= 1600 and 300 <= width <= 1600


def test_the_diagonal_is_dark_where_answers_are_right(tmp_path: Path) -> None:
    target = torch.arange(2).repeat(50)
    for name, answers in (("right", target), ("wrong", 1 - target)):
        confusion_matrix(tmp_path / f"{name}.png", score(torch.eye(2)[answers], target, ["a", "b"]))
    right, wrong = (pixels(tmp_path / f"{name}.png") for name in ("right", "wrong"))
    dark = right[..., 0] < 60
    assert dark.sum() > 5000
    assert (wrong[dark][:, 0] > 200).mean() > 0.9  # the same cells are empty there


@pytest.mark.parametrize("name", ["$x_{} and$", "long " * 12 + "{}", "<b>{}</b> \\frac"])
def test_labels_are_taken_literally(tmp_path: Path, name: str) -> None:
    labels = [name.replace("{}", str(i)) for i in range(3)]
    confusion_matrix(tmp_path / "matrix.png", score(*guesses(3, 9), labels))
    pixels(tmp_path / "matrix.png")


def test_nothing_to_show(tmp_path: Path) -> None:
    confusion_matrix(tmp_path / "matrix.png", score(torch.empty(0, 3), NONE, "abc"))
    reliability_diagram(tmp_path / "reliability.png", torch.empty(0, 3), NONE)
    training_curves(tmp_path / "curves.png", [])
    for name in ("matrix", "reliability", "curves"):
        pixels(tmp_path / f"{name}.png")


def test_reliability_shows_the_bins(tmp_path: Path) -> None:
    """Fifty answers of confidence 0.7, all right: a full bar there, and none elsewhere."""
    path = tmp_path / "reliability.png"
    reliability_diagram(path, torch.tensor([[0.7, 0.3]]).repeat(50, 1), torch.zeros(50, dtype=torch.int64))
    image = pixels(path).astype(int)
    blue = (abs(image - (0, 114, 178)).sum(axis=2) < 30).nonzero()
    grey = (abs(image - 153).sum(axis=2) < 12).nonzero()
    assert 10 < np.ptp(blue[1]) < 40  # one bar of fifteen is wide
    assert np.ptp(blue[0]) > 200
    assert abs(np.median(blue[1]) - np.median(grey[1])) < 3  # its count is beneath it


def test_reliability_of_answers_alone_is_the_same_picture(tmp_path: Path) -> None:
    probabilities, target = guesses(5, 200)
    reliability_diagram(tmp_path / "one.png", probabilities, target)
    confidence, answer = probabilities.max(dim=1)
    confidence_reliability_diagram(tmp_path / "other.png", confidence, answer == target)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()


def test_reliability_of_one_class(tmp_path: Path) -> None:
    reliability_diagram(tmp_path / "one.png", torch.ones(3, 1), torch.zeros(3, dtype=torch.int64))
    pixels(tmp_path / "one.png")


def test_curves_share_a_panel_by_their_first_word(tmp_path: Path) -> None:
    rows = [{"epoch": i, "loss train": 3 / i, "loss validation": 4 / i, "speech": 1.0 * i} for i in range(1, 20)]
    apart = [{key.replace("loss ", ""): value for key, value in row.items()} for row in rows]
    training_curves(tmp_path / "two.png", rows)
    training_curves(tmp_path / "three.png", apart)
    two, three = pixels(tmp_path / "two.png"), pixels(tmp_path / "three.png")
    assert two.shape[1] * 3 == three.shape[1] * 2
    orange = abs(two.astype(int) - (213, 94, 0)).sum(axis=2) < 30
    assert orange.sum() > 50  # the second curve of the shared panel


def test_curves_with_gaps_and_one_epoch(tmp_path: Path) -> None:
    training_curves(tmp_path / "gaps.png", [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0, "right": 60.0}])
    blue = abs(pixels(tmp_path / "gaps.png").astype(int) - (0, 114, 178)).sum(axis=2) < 30
    half = blue.shape[1] // 2
    assert blue[:, :half].any() and blue[:, half:].any()  # a point alone is seen


@pytest.mark.parametrize(
    "draw",
    [
        lambda path: confusion_matrix(path, scored(5, 60)),
        lambda path: reliability_diagram(path, *guesses(5, 60)),
        lambda path: training_curves(path, [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}]),
    ],
)
def test_the_same_numbers_give_the_same_file(tmp_path: Path, draw: Callable[[Path], None]) -> None:
    draw(tmp_path / "first.png")
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "savefig.dpi": 30}):  # a user's own taste
        draw(tmp_path / "second.png")
        assert matplotlib.rcParams["font.size"] == 20  # is left as it was
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()


def test_no_window_system_is_asked_for(tmp_path: Path) -> None:
    """A backend that is not there is what a machine without a display often has in its environment."""
    code = "import sys, pathlib, bimors_cli.metrics.charts as c; c.training_curves(pathlib.Path(sys.argv[1]), [])"
    env = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "curves.png")], env=env | {"MPLBACKEND": "qtagg"}, check=True
    )
    pixels(tmp_path / "curves.png")
