"""Pictures of heads side by side."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from bimors_cli.metrics.comparison_charts import Measured, against_parameters, bars, lines

HEADS = {"zero-shot": Measured(0.5), "$coop_{": Measured(0.6, 0.01), "bimors:no-captions": Measured(0.97, 0.02)}


def pixels(path: Path) -> bytes:
    with Image.open(path) as picture:
        assert min(picture.size) > 200
        return picture.convert("RGB").tobytes()


def test_the_same_figures_give_the_same_file_and_others_another(tmp_path: Path) -> None:
    def draw(name: str, more: float) -> bytes:
        heads = {head: {"base": cell, "new": Measured(cell.mean - more)} for head, cell in HEADS.items()}
        bars(tmp_path / name, "base-to-new", heads)
        pixels(tmp_path / name)
        return (tmp_path / name).read_bytes()

    assert draw("a.png", 0.1) == draw("b.png", 0.1) != draw("c.png", 0.2)


def test_a_head_may_lack_a_column_and_there_may_be_none_at_all(tmp_path: Path) -> None:
    bars(
        tmp_path / "a.png",
        "one lacks",
        {"linear": {"base": Measured(0.3)}, "coop": {"base": Measured(0.4), "new": Measured(0.2)}},
    )
    bars(tmp_path / "b.png", "none", {})
    against_parameters(tmp_path / "c.png", "none", "base", [])
    lines(tmp_path / "d.png", "none", "shots", {})
    for name in "abcd":
        pixels(tmp_path / f"{name}.png")


def test_lines_over_shots_with_all_of_them_and_a_level(tmp_path: Path) -> None:
    heads = {
        "zero-shot": {1: Measured(0.5), 16: Measured(0.5)},
        "coop": {1: Measured(0.5), 16: Measured(0.7, 0.1), 0: Measured(0.9)},
    }
    lines(tmp_path / "with.png", "shots", "shots", heads, level="zero-shot")
    lines(tmp_path / "without.png", "shots", "shots", heads)
    assert pixels(tmp_path / "with.png") != pixels(tmp_path / "without.png")


def test_points_beside_their_cost(tmp_path: Path) -> None:
    against_parameters(
        tmp_path / "a.png",
        "cost",
        "harmonic mean",
        [(head, 10**i, cell) for i, (head, cell) in enumerate(HEADS.items())],
    )
    pixels(tmp_path / "a.png")
