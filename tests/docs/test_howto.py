"""The how-to pages are held to the program: their commands run, and their figures are those that they give."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window
from shapely import box
from typer.testing import CliRunner

from bimors_cli.cli.main import app
from docs.make_gallery import GALLERY, MADE, TWO_DATES, follow_page, start
from docs.make_images import ROOT, START, steps
from docs.reference.commands import program, walk

DOCS = ROOT / "docs"
SENTINEL2, AERIAL, OFFLINE = (DOCS / "howto" / name for name in ("sentinel2.md", "aerial.md", "offline.md"))
STARTED = DOCS / "start.md"
RUN = [STARTED, SENTINEL2, AERIAL, TWO_DATES, OFFLINE, GALLERY]
PAGES = sorted(
    path for path in DOCS.rglob("*.md") if path.name not in ("licences.md", "cluster.md", "compatibility.md")
)


@pytest.fixture(scope="module", autouse=True)
def caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the captions of this file: most pages classify the example scene."""
    return tmp_path_factory.getbasetemp() / "captions-of-the-pages"


@pytest.fixture
def folder(tmp_path: Path, caches: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the commands of a page run."""
    monkeypatch.setenv("BIMORS_CACHE", str(caches))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(words: list[str]) -> None:
    """Run a command of a page."""
    if words[0] != "bimors":
        if shutil.which(words[0]) is None:
            pytest.skip(f"no {words[0]}: apt-get install gdal-bin")
        subprocess.run(words, check=True, capture_output=True)
        return
    result = CliRunner().invoke(app, words[1:])
    assert result.exit_code == 0, (words, result.stderr)
    PRINTED.append(result.stderr)


PRINTED: list[str] = []


@pytest.fixture(autouse=True)
def printed() -> None:
    PRINTED.clear()


def copy_examples(folder: Path) -> None:
    for name in START:
        shutil.copy(ROOT / "examples" / name, folder)


def cut(name: str, first: int, width: int) -> None:
    """Cut columns of pixels out of the example scene, of its upper part only: the test should take seconds."""
    window = Window(first, 0, width, 240)
    with rasterio.open(ROOT / "examples" / "scene.tif") as scene:
        profile = {**scene.profile, "driver": "GTiff", "width": width, "height": 240}
        profile["transform"] = scene.window_transform(window)
        with rasterio.open(name, "w", **profile) as part:
            part.write(scene.read(window=window))
            part.colorinterp = scene.colorinterp


def write_sentinel2(side: int = 160) -> None:
    """Write bands of 10 and 20 m with fields of three classes, and polygons in half of the fields each."""
    rng, names = np.random.default_rng(1), ("stubble", "wheat", "water")
    values = {
        "B02": (900, 500, 400), "B03": (1000, 800, 500), "B04": (1400, 500, 300), "B08": (2200, 4200, 300),
        "B11": (3000, 1800, 100), "B12": (2500, 900, 80),
    }  # fmt: skip
    places = (np.arange(side)[:, None] // 40 + np.arange(side)[None, :] // 40) % 3
    for band, means in values.items():
        step = 2 if band in ("B11", "B12") else 1
        pixels = (np.array(means)[places] + rng.normal(0, 60, places.shape))[::step, ::step].clip(1)
        profile = {"width": side // step, "height": side // step, "count": 1, "dtype": "uint16", "crs": "EPSG:32633"}
        transform = from_origin(500_000, 5_000_000, 10 * step, 10 * step)
        lossless = {"QUALITY": 100, "REVERSIBLE": "YES"}
        with rasterio.open(
            f"{band}.jp2", "w", driver="JP2OpenJPEG", nodata=0, transform=transform, **profile, **lossless
        ) as file:
            file.write(pixels.astype("uint16"), 1)
    fields = [
        (
            names[(row + col) % 3],
            box(500_020 + 400 * col, 4_999_620 - 400 * row, 500_380 + 400 * col, 4_999_980 - 400 * row),
        )
        for row in range(4)
        for col in range(4)
    ]
    frame = gpd.GeoDataFrame(
        {"class": [name for name, _ in fields]}, geometry=[shape for _, shape in fields], crs=32633
    )
    frame[::2].to_file("fields.gpkg", engine="pyogrio")
    frame[1::2].to_file("check.gpkg", engine="pyogrio")
    Path("labels.txt").write_text("\n".join(names) + "\n")


def figures(pattern: str, page: Path) -> list[float]:
    """The numbers in the one sentence of a page that has this form."""
    (found,) = re.findall(pattern, " ".join(page.read_text(encoding="utf-8").split()))
    return [float(number) for number in ([found] if isinstance(found, str) else found)]


@pytest.mark.slow
def test_start(folder: Path) -> None:
    copy_examples(folder)
    follow_page(STARTED, run)
    assert (folder / "out.png").is_file()


@pytest.mark.slow
def test_sentinel2(folder: Path) -> None:
    write_sentinel2()
    follow_page(SENTINEL2, run)
    assert "Sentinel-2" not in PRINTED[0]  # no warning: the bands are known by the names of the files
    tiles = pyogrio.read_dataframe(folder / "crops.gpkg")
    assert set(tiles["label"]) == {"stubble", "wheat", "water"}
    (right,) = re.findall(r"^ +accuracy +(\d+)\.\d %", PRINTED[-1], flags=re.MULTILINE)
    assert int(right) >= 80


@pytest.mark.slow
def test_aerial(folder: Path) -> None:
    copy_examples(folder)
    cut("west.tif", 0, 300)
    cut("east.tif", 300, 300)
    follow_page(AERIAL, run)
    assert (folder / "suggestions.gpkg").is_file() and (folder / "mosaic.png").is_file()


@pytest.mark.slow
def test_two_dates(folder: Path) -> None:
    start(folder)
    follow_page(TWO_DATES, run)
    said = figures(r"(\d+) of the (\d+) tiles is called `change`, (\d+) are `no change`, and (\d+) remain", TWO_DATES)
    counts = pyogrio.read_dataframe(folder / "change.gpkg", layer="change")["stratum"].value_counts()
    found = [counts.get("change", 0), counts.sum(), counts["no change"], counts["doubtful"]]
    assert found == pytest.approx(said, abs=8)  # other machines round differently
    assert any("brightness" in text and "differs from" in text for text in PRINTED)


@pytest.mark.slow
def test_offline(folder: Path) -> None:
    copy_examples(folder)
    follow_page(OFFLINE, run)
    assert (folder / "report.html").is_file()


@pytest.mark.slow
def test_gallery(folder: Path) -> None:
    start(folder)
    follow_page(GALLERY, run)
    said = figures(r"([\d.]+) % of the 170 places are right \(95 % interval ([\d.]+) to ([\d.]+)\)", GALLERY)
    texts = re.findall(r"accuracy +([\d.]+) % \(([\d.]+) to ([\d.]+)\)", "".join(PRINTED))
    assert [float(number) for number in texts[0]] == pytest.approx(said, abs=3)
    one, several = figures(r"(\d+) % of the tiles have one label, (\d+) % several", GALLERY)
    (sets,) = re.findall(r"one label ([\d.]+) %, several ([\d.]+) %", "".join(PRINTED))
    assert [float(number) for number in sets] == pytest.approx([one, several], abs=5)


def test_the_images_of_the_pages_are_made_by_their_commands() -> None:
    for image, (page, source) in MADE.items():
        assert (DOCS / "images" / image).is_file()
        assert any(source in str(command) for command in steps(page.read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_the_commands_of_a_page_are_understood(page: Path) -> None:
    commands = {each.name: each.command for each in walk(program())}
    for line in filter(None, steps(page.read_text(encoding="utf-8"))):
        words = shlex.split(line)
        if words[0] == "bimors":
            name = max((name for name in commands if words[1:][: len(name.split())] == name.split()), key=len)
            commands[name].make_context(name, words[1 + len(name.split()) :])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_options_that_a_page_names_exist(page: Path) -> None:
    known = {
        flag for each in walk(program()) for one in each.command.params for flag in (*one.opts, *one.secondary_opts)
    }
    # Options of other programs, in lines that call these.
    text = re.sub(
        r"^.*(?:pip|gdal\w*|projsync|sha256sum|qgis_process|uv) .*$", "", page.read_text(), flags=re.MULTILINE
    )
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    assert named <= {"--help", *known}, named - known
