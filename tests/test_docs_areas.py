"""The page on areas is held to the program: its commands run, and its figures are those that they give."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pyogrio
import pytest
import typer
from typer.testing import CliRunner

from bimors_cli.cli.main import app
from bimors_cli.evaluation.areas.assess_sample import assess_sample
from docs.make_images import AREAS, REFERENCE, START, steps

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the reader copies."""
    for name in (*START, REFERENCE):
        shutil.copy(EXAMPLES / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def figures(pattern: str, text: str) -> list[int]:
    """The numbers in the one sentence of a page that has this form."""
    (found,) = re.findall(pattern, text)
    return list(map(int, found))


def right(layer: str, reference: dict[str, str]) -> float:
    """The fraction of the tiles of a map that are right, of those with a clear class, in percent."""
    tiles = pyogrio.read_dataframe(layer, layer="tiles", columns=["tile_id", "label"], read_geometry=False)
    pairs = [(label, reference[tile]) for tile, label in zip(tiles["tile_id"], tiles["label"], strict=True)]
    clear = [label == truth for label, truth in pairs if truth != "cannot tell"]
    return 100 * sum(clear) / len(clear)


def test_the_commands_of_the_page_run_and_give_its_figures(folder: Path) -> None:
    if shutil.which("ogr2ogr") is None:
        pytest.skip("no ogr2ogr: apt-get install gdal-bin")
    text = AREAS.read_text(encoding="utf-8")
    for step in steps(text):
        assert step is not None
        words = shlex.split(step)
        if words[0] != "bimors":
            subprocess.run(words, check=True, capture_output=True)
            continue
        result = CliRunner().invoke(app, words[1:])
        assert result.exit_code == 0, (step, result.stderr)

    flat = " ".join(text.split())
    with (folder / REFERENCE).open() as file:
        reference = {row["tile_id"]: row["label"] for row in csv.DictReader(file)}
    # Other machines round differently, and then other tiles are drawn.
    first, second = figures(r"(\d+) % of the first map are right, and (\d+) %", flat)
    assert right("out.gpkg", reference) == pytest.approx(first, abs=4)
    assert right("better.gpkg", reference) == pytest.approx(second, abs=4)
    found = assess_sample(folder / "sample.gpkg").as_json()
    accuracy, low, high = figures(r"accuracy is (\d+) %\. The 95 % interval, about (\d+) to (\d+)", flat)
    assert low < accuracy < high
    assert 100 * found["overall"]["accuracy"] == pytest.approx(accuracy, abs=8)
    mapped, area, low, high = figures(
        r"(\d+) ha of meadow\. The sample estimates (\d+) ha, with an interval of (\d+) to (\d+) ha", flat
    )
    meadow = found["classes"]["meadow"]
    assert meadow["mapped_ha"] == pytest.approx(mapped, rel=0.25)
    assert meadow["area_ha"] == pytest.approx(area, abs=(high - low) / 2)
    assert (folder / "areas" / "report.html").is_file()


def test_options_that_the_page_names_exist() -> None:
    group: Any = typer.main.get_command(app)
    known = {"--help"}.union(
        *({flag for parameter in command.params for flag in parameter.opts} for command in group.commands.values())
    )
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", AREAS.read_text())) <= known


def test_links_of_the_page_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", AREAS.read_text()):
        assert (AREAS.parent / target).exists(), target


def test_the_reference_has_every_tile_of_the_scene() -> None:
    labels = {line.split("\t")[0] for line in (EXAMPLES / "labels.txt").read_text().splitlines() if line[:1] != "#"}
    with (EXAMPLES / REFERENCE).open() as file:
        rows = list(csv.DictReader(file))
    assert {row["tile_id"] for row in rows} == {f"scene/{row}/{col}" for row in range(19) for col in range(24)}
    assert len(rows) == 19 * 24 and {row["label"] for row in rows} <= labels | {"cannot tell"}
