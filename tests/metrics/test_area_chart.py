"""The chart of areas and intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bimors_cli.metrics.area_chart import AreaBar, area_chart

NAN = float("nan")


def colours(path: Path) -> set[tuple[int, ...]]:
    with Image.open(path) as image:
        return {tuple(pixel) for pixel in np.asarray(image.convert("RGB")).reshape(-1, 3).tolist()}


def test_what_is_known_is_drawn(tmp_path: Path) -> None:
    whole = [
        AreaBar("forest $x$", 120, 100, 80, 130),
        AreaBar("a label of more than the 28 letters", 3, 5, 0, 9),
    ]
    area_chart(tmp_path / "whole.png", whole, "hectares")
    without = [AreaBar(bar.label, NAN, bar.estimated, NAN, NAN) for bar in whole]
    area_chart(tmp_path / "without.png", without, "hectares")
    sizes = [Image.open(tmp_path / name).size for name in ("whole.png", "without.png")]
    assert sizes[0] == sizes[1]
    assert (tmp_path / "whole.png").read_bytes() != (tmp_path / "without.png").read_bytes()


@pytest.mark.parametrize("count", [0, 1, 40])
def test_any_number_of_classes_and_nothing_known(tmp_path: Path, count: int) -> None:
    area_chart(tmp_path / "a.png", [AreaBar(f"c{i}", NAN, NAN, NAN, NAN) for i in range(count)], "hectares")
    area_chart(tmp_path / "b.png", [AreaBar(f"c{i}", NAN, NAN, NAN, NAN) for i in range(count)], "hectares")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert len(colours(tmp_path / "a.png")) > 1
