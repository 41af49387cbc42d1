"""The folder of an assessment by a sample."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from bimors_cli.cli.main import app
from bimors_cli.errors import InputError, OutputExistsError
from bimors_cli.evaluation.areas.assess_sample import assess_sample
from bimors_cli.evaluation.areas.results_folder import save_folder
from tests.evaluation.areas.samples import drawn_tiles, fill, write

FILES = ["areas.csv", "areas.png", "confusion.csv", "report.html", "sample_check.json"]
# A label that HTML and CSV have to quote, and that matplotlib would take for mathematics.
ODD = '<b>moor</b>, "wet" & $high$'
MAPPED = ("forest",) * 6 + (ODD,) * 5 + (None,) * 4
REFERENCE = ("forest",) * 5 + (ODD,) * 6 + ("forest", "river", "river", None)


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    tiles = drawn_tiles(MAPPED, hectares=np.full(len(MAPPED), 2.5))
    write(tmp_path / "sample.gpkg", tiles)
    return fill(tmp_path / "sample.gpkg", dict(zip(tiles.tile_ids, REFERENCE, strict=True)))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_command_writes_tables_a_chart_and_a_page(sample: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    result = CliRunner().invoke(app, ["evaluate", str(sample), "-o", str(folder)])
    assert (result.exit_code, result.stdout) == (0, f"{folder}\n"), result.stderr
    assert sorted(path.name for path in folder.iterdir()) == FILES
    found = assess_sample(sample)
    content = json.loads((folder / "sample_check.json").read_text(encoding="utf-8"))
    assert content == json.loads(json.dumps(found.as_json()))
    areas = {row["class"]: row for row in rows(folder / "areas.csv")}
    assert set(areas) == {"forest", "river", ODD}
    for label, row in areas.items():
        numbers = {name: None if text == "" else float(text) for name, text in row.items() if name != "class"}
        assert numbers == content["classes"][label]
    pairs = rows(folder / "confusion.csv")
    assert len(pairs) == 12 and sum(int(row["tiles"]) for row in pairs) == found.finished == 14
    assert sum(float(row["proportion"]) for row in pairs) == pytest.approx(1)
    with Image.open(folder / "areas.png") as image:
        assert image.format == "PNG"


def test_the_page_is_one_file_that_escapes_labels(sample: Path, tmp_path: Path) -> None:
    save_folder(tmp_path / "results", assess_sample(sample), overwrite=False)
    page = (tmp_path / "results" / "report.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;moor&lt;/b&gt;" in page and "<b>" not in page and "<script" not in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources and all(source.startswith("data:") for source in sources)
    assert "default-src 'none'" in page and "http" not in page.replace("http-equiv", "")
    assert page.count("<table>") == 3 and "Stehman 2014" in page and "overall accuracy" in page
    assert "1 without a reference" in page and 'class="warning"' in page


def test_the_same_sample_gives_the_same_files(sample: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_folder(tmp_path / name, assess_sample(sample), overwrite=False)
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in FILES)


def test_only_former_results_are_replaced(sample: Path, tmp_path: Path) -> None:
    found = assess_sample(sample)
    save_folder(tmp_path / "results", found, overwrite=False)
    with pytest.raises(OutputExistsError):
        save_folder(tmp_path / "results", found, overwrite=False)
    save_folder(tmp_path / "results", found, overwrite=True)
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="it is not replaced"):
        save_folder(tmp_path / "mine", found, overwrite=True)
    result = CliRunner().invoke(app, ["evaluate", str(sample), "-o", str(tmp_path / "results")])
    assert result.exit_code != 0 and result.stdout == "" and "--overwrite" in result.stderr
