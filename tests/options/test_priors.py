"""The table of expected areas."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.errors import InputError
from bimors_cli.labels import Labels
from bimors_cli.options.priors import parse_priors

LABELS = Labels.of(["forest | woodland", "bare land", "river"])


def parse(folder: Path, text: str, labels: Labels = LABELS) -> tuple[float, ...]:
    (folder / "priors.csv").write_text(text, encoding="utf-8")
    return parse_priors(folder / "priors.csv", labels)


@pytest.mark.parametrize(
    "text",
    [
        "forest,6\nbare land,1\nriver,3\n",
        "name,area\nriver,30\nforest,60\nbare land,10\n",
        "class\tha\nRiver\t0.3\nWoodland\t0.6\nBARE_LAND\t.1\n",
        "Klasse;Fläche\nriver;1,5\nforest;3\nbare land;0,5\n",
        "# hectares\nriver,3e5\nforest,6e5\nbare land,1e5\n",
    ],
)
def test_any_unit_and_any_separator(tmp_path: Path, text: str) -> None:
    assert parse(tmp_path, text) == pytest.approx((0.6, 0.1, 0.3), abs=1e-15)


@given(st.lists(st.floats(1e-100, 1e300, allow_subnormal=False), min_size=3, max_size=3))
def test_they_sum_to_one(tmp_path_factory: pytest.TempPathFactory, areas: list[float]) -> None:
    text = "".join(f"{name},{area!r}\n" for name, area in zip(LABELS.names, areas, strict=True))
    try:
        priors = parse(tmp_path_factory.mktemp("priors"), text)
    except InputError as error:
        assert "too small" in error.message and max(areas) / min(areas) > 1e300
    else:
        assert sum(priors) == pytest.approx(1, abs=1e-12) and min(priors) > 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("forest,6\nriver,3\n", "no area for 'bare land'"),
        ("forest,6\nlake,3\n", "line 2: 'lake' is not a label"),
        ("forest,6\nwoodland,3\n", "line 2: a second area for the label 'forest'"),
        ("forest,much\nbare land,1\nriver,2\n", "line 1: the area is 'much'"),
        ("forest,6\nbare land,0\nriver,2\n", "line 2: the area is '0'"),
        ("forest,6\nbare land,-1\nriver,2\n", "line 2: the area is '-1'"),
        ("forest,6\nbare land,nan\nriver,2\n", "line 2: the area is 'nan'"),
        ("forest,6\nbare land,inf\nriver,2\n", "line 2: the area is 'inf'"),
        ("forest,6\nbare land\nriver,2\n", "line 2: 1 columns instead of 2"),
        ("", "holds no rows"),
    ],
)
def test_an_error_names_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(tmp_path, text)
    assert said in caught.value.message and caught.value.message.startswith(str(tmp_path / "priors.csv"))
    assert "\n" not in caught.value.message
