"""`bimors report SAMPLE`: tiles labelled in a real browser, and the answers evaluated."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from bimors_cli import ReportOptions, report
from bimors_cli.cli.main import app
from bimors_cli.evaluation.areas.answers import COLUMNS
from bimors_cli.evaluation.areas.sample_file import read_sample
from bimors_cli.labels import Labels
from tests.browser import Browser, browser, chromium
from tests.layers import MakeLayer, make_layer

__all__ = ["browser", "chromium", "make_layer"]

EVIL = ("</script><b>", "{{ 7 * 7 }} & \"quoted\"; <i>'x'</i>, y", "المدينة القديمة")


def bimors(*args: object) -> Result:
    return CliRunner().invoke(app, [*map(str, args)])


def done(*args: object) -> Result:
    result = bimors(*args)
    assert result.exit_code == 0, result.stderr
    return result


@pytest.fixture
def scene(make_raster: Any) -> str:
    """20 tiles of 20 pixels; each tile has a shade of red of its own."""
    data = np.full((3, 80, 100), 30, np.uint8)
    data[0] = np.arange(20).reshape(4, 5).repeat(20, 0).repeat(20, 1) * 10 + 30
    return str(make_raster(data))


@pytest.fixture
def sample(scene: str, make_layer: MakeLayer) -> Path:
    """All 20 tiles: 6 of each of three classes, 2 without a label."""
    layer = make_layer(scene, tile_size="20")
    done("sample", layer, "--per-class", 20)
    return layer.with_name("out_sample.gpkg")


@pytest.fixture
def page(sample: Path) -> Path:
    result = done("report", sample)
    assert result.stdout == f"{sample.with_suffix('.html')}\n"
    return sample.with_suffix(".html")


def fill(sample: Path, references: dict[str, tuple[str | None, str | None]]) -> None:
    with closing(sqlite3.connect(sample)) as database, database:
        # The triggers of the spatial index call functions of SpatiaLite.
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        for tile_id, values in references.items():
            database.execute("UPDATE sample SET reference = ?, note = ? WHERE tile_id = ?", (*values, tile_id))


def rows_of(data: bytes) -> list[dict[str, str]]:
    assert data.startswith(b"\xef\xbb\xbf")  # Excel needs it
    reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    rows = list(reader)
    assert tuple(reader.fieldnames or ()) == COLUMNS
    return rows


def read_file(browser: Browser, *paths: Path) -> None:
    browser.keys("#file", "\n".join(str(path.resolve()) for path in paths))
    browser.wait("document.getElementById('status').textContent.includes(' read')")


@pytest.mark.browser
def test_a_sample_is_labelled_with_the_keyboard_and_evaluated(
    browser: Browser, sample: Path, page: Path, tmp_path: Path
) -> None:
    from selenium.webdriver.common.keys import Keys

    ids = read_sample(sample).tile_ids
    browser.open(page)
    assert browser.text("#progress-text") == "0 of 20 tiles answered" and browser.text("#tile-name") == "Tile 1 of 20"
    assert browser.text("#place").startswith(ids[0])
    assert browser.texts("#answers span") == ["forest", "river", "harbour", "cannot tell"]

    browser.type("1", "2", "3", "0")
    assert browser.text("#progress-text") == "4 of 20 tiles answered" and browser.text("#tile-name") == "Tile 5 of 20"
    browser.type(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert browser.texts('#answers [aria-pressed="true"] span') == ["harbour"]
    browser.type("1")  # corrected
    assert browser.text("#tile-name") == "Tile 5 of 20"
    browser.type(Keys.BACKSPACE)
    assert browser.text("#tile-name") == "Tile 3 of 20"
    assert browser.texts('#answers [aria-pressed="true"] span') == ["harbour"]
    browser.type(Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    assert browser.text("#tile-name") == "Tile 6 of 20"
    browser.type("1")

    # What is closed is not lost. The note has keys of its own.
    browser.keys("#note", 'a 2nd; "quoted", note', Keys.ENTER, "1")
    browser.open(page)
    assert browser.text("#progress-text") == "5 of 20 tiles answered" and browser.text("#tile-name") == "Tile 5 of 20"
    browser.type("1", "1")
    assert browser.text("#tile-name") == "Tile 8 of 20"
    for number in range(13):
        browser.type(str(1 + number % 3))
    assert browser.text("#progress-text") == "20 of 20 tiles answered"
    assert "All tiles are answered" in browser.text("#status")

    saved = rows_of(browser.download(tmp_path, "answers.csv", "#save"))
    wanted = ["forest", "river", "harbour", "cannot tell", "forest", "forest", "forest"]
    wanted += [["forest", "river", "harbour"][number % 3] for number in range(13)]
    assert [(row["tile_id"], row["reference"]) for row in saved] == list(zip(ids, wanted, strict=True))
    assert [row["note"] for row in saved if row["note"]] == ['a 2nd; "quoted", note\n1'] and saved[6]["note"]
    assert all(row["scene"] == "scene.tif" and f"scene/{row['row']}/{row['col']}" == row["tile_id"] for row in saved)
    # 10 m pixels from 500,000 4,600,000 in zone 18: the centre of a tile is within the scene.
    assert all(-75 < float(row["longitude"]) < -74.98 and 41.5 < float(row["latitude"]) < 41.56 for row in saved)
    assert browser.complaints() == [] and set(browser.requests()) == {page.resolve().as_uri()}

    by_file = json.loads(done("evaluate", sample, "--answers", tmp_path / "answers.csv", "--json").stdout)
    fill(sample, {row["tile_id"]: (row["reference"], None) for row in saved})
    assert json.loads(done("evaluate", sample, "--json").stdout) == by_file
    assert by_file["tiles"] == {"finished": 19, "unfinished": 0, "cannot_tell": 1, "deleted": 0}


@pytest.mark.browser
def test_files_of_two_interpreters_are_read_and_where_they_differ_is_open(
    browser: Browser, sample: Path, page: Path, tmp_path: Path
) -> None:
    ids = read_sample(sample).tile_ids
    one, two, bad = (tmp_path / f"{name}.csv" for name in ("one", "two", "bad"))
    one.write_text("\ufefftile_id;row;reference;note\n" + "".join(f'{i};0,5;river;"a;b"\n' for i in ids[:4]))
    two.write_text(f"reference,tile_id\nRiver,{ids[0]}\nforest,{ids[1]}\n,{ids[2]}\ncannot tell,{ids[4]}\n")
    browser.open(page)
    read_file(browser, one)
    assert browser.text("#status") == "4 answers read from one.csv." and browser.text("#tile-name") == "Tile 5 of 20"
    read_file(browser, two)
    assert "3 answers read from two.csv. 1 tiles have different answers and are open again" in browser.text("#status")
    assert browser.text("#progress-text") == "4 of 20 tiles answered" and browser.text("#tile-name") == "Tile 2 of 20"
    assert browser.script("return document.getElementById('note').value") == "a;b; answers: river / forest"
    browser.click("#undo")
    assert browser.script("return answers.tiles.map((tile) => tile.reference).join()") == "river," * 4 + "," * 15
    browser.click("#undo")
    assert browser.text("#progress-text") == "0 of 20 tiles answered"
    read_file(browser, one, two)
    assert browser.script("return answers.tiles.slice(0, 6).map((tile) => tile.reference)") == [
        "river", "", "river", "river", "cannot tell", "",
    ]  # fmt: skip
    for text, problem in (
        ("tile_id,reference\nnone/0/0,river\n", "bad.csv was not read: line 2: the sample has no tile none/0/0"),
        (f"tile_id,reference\n{ids[7]},lake\n", "line 2: lake is not one of the answers"),
        (f"tile_id,reference\n{ids[7]},river\n{ids[7]},river\n", "is in the file twice"),
        ("tile,reference\n", "it has no column tile_id"),
    ):
        bad.write_text(text)
        read_file(browser, bad)
        assert problem in browser.text("#status")
        assert browser.text("#progress-text") == "4 of 20 tiles answered"
    bad.write_bytes("tile_id,reference\nä,b\n".encode("cp1252"))
    read_file(browser, bad)
    assert "not UTF-8" in browser.text("#status")
    refused = bimors("evaluate", sample, "--answers", one, "--answers", two)
    assert (
        refused.exit_code == 2 and f"different answers for 1 of 2 tiles (agreement 50.0 %): {ids[1]}" in refused.stderr
    )
    assert browser.complaints() == []


@pytest.mark.browser
def test_references_of_the_layer_are_shown_and_everything_can_be_undone(browser: Browser, sample: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    ids = read_sample(sample).tile_ids
    fill(sample, {ids[0]: ("River", "old note"), ids[2]: ("cannot tell", None)})
    done("report", sample)
    browser.open(sample.with_suffix(".html"))
    assert browser.text("#progress-text") == "2 of 20 tiles answered" and browser.text("#tile-name") == "Tile 2 of 20"
    browser.click("#previous")
    assert browser.texts('#answers [aria-pressed="true"] span') == ["river"]
    browser.keys("#note", "er", Keys.ESCAPE)
    browser.type("3")
    assert browser.script("return [answers.tiles[0].reference, answers.tiles[0].note]") == ["harbour", "old noteer"]
    browser.type(Keys.BACKSPACE, Keys.BACKSPACE, Keys.BACKSPACE)
    assert browser.script("return [answers.tiles[0].reference, answers.tiles[0].note]") == ["river", "old note"]
    browser.click("#clear")
    browser.driver.switch_to.alert.accept()
    assert browser.text("#progress-text") == "0 of 20 tiles answered"
    browser.open(sample.with_suffix(".html"))
    assert browser.text("#progress-text") == "0 of 20 tiles answered"
    # The references of the layer and the answers of another sample are apart.
    other = sample.with_name("other.gpkg")
    done("sample", sample.with_name("out.gpkg"), "-n", 5, "--least", 1, "-o", other)
    done("report", other)
    browser.type("1")
    browser.open(other.with_suffix(".html"))
    assert browser.text("#progress-text").startswith("0 of ")
    assert browser.complaints() == []


@pytest.mark.browser
def test_every_control_is_reached_with_the_tab_key_and_has_a_name(browser: Browser, page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open(page)
    reached = []
    for _ in range(16):
        browser.type(Keys.TAB)
        reached.append(
            browser.script(
                "const e = document.activeElement, s = getComputedStyle(e);"
                "return [e.id || e.innerText, s.outlineStyle, parseFloat(s.outlineWidth)]"
            )
        )
    names = [name for name, _, _ in reached]
    assert [name.split("\n")[-1] for name in names[:4]] == ["forest", "river", "harbour", "cannot tell"]
    assert names[4:14] == [
        "note", "previous", "next", "next-open", "undo", "zoom", "advance", "keys", "save", "file",
    ]  # fmt: skip
    assert names[14] == "clear" and all(style != "none" and width >= 2 for _, style, width in reached[:15])
    unnamed = browser.script(
        "return [...document.querySelectorAll('button, input, textarea, progress')].filter((e) =>"
        " !e.innerText.trim() && !(e.labels && e.labels.length)).map((e) => e.id)"
    )
    assert unnamed == []
    # Without single keys, a press answers nothing; a button with the focus still does.
    browser.keys("#keys", Keys.SPACE)
    browser.type("1")
    assert browser.text("#progress-text") == "0 of 20 tiles answered"
    browser.keys("#answers button", Keys.SPACE)
    assert browser.text("#progress-text") == "1 of 20 tiles answered"
    browser.click("#previous")
    mark = "return getComputedStyle(document.querySelector(arguments[0]), '::after').content"
    assert browser.script(mark, '#answers [aria-pressed="true"]') == '"✓"'
    assert browser.script(mark, '#answers [aria-pressed="false"]') == "none"


@pytest.mark.browser
def test_the_image_is_that_of_the_tile(browser: Browser, sample: Path, page: Path) -> None:
    browser.open(page)
    for number in (0, 7, 19):
        browser.script("show(arguments[0])", number)
        browser.wait(
            "document.getElementById('image').getAttribute('href').endsWith(images.get(arguments[0]).textContent)",
            number,
        )
        row, col = map(int, read_sample(sample).tile_ids[number].split("/")[1:])
        red = browser.driver.execute_async_script(
            "const done = arguments[0], i = new Image(), r = document.querySelector('#outline rect').getBBox();"
            "i.onload = () => { const c = document.createElement('canvas'); c.width = i.width; c.height = i.height;"
            "const g = c.getContext('2d'); g.drawImage(i, 0, 0);"
            "done(g.getImageData(r.x + r.width / 2, r.y + r.height / 2, 1, 1).data[0]); };"
            "i.src = document.getElementById('image').getAttribute('href')"
        )
        assert abs(red - (30 + 10 * (5 * row + col))) < 8
    browser.type("+")
    browser.wait(
        "document.getElementById('picture').getAttribute('viewBox').split(' ').every((n) => Math.abs(n - 20) < 0.01)"
    )
    assert browser.complaints() == []


@pytest.mark.browser
def test_two_tabs_have_the_same_answers_and_a_browser_without_storage_is_reported(browser: Browser, page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open(page)
    first = browser.driver.current_window_handle
    browser.driver.switch_to.new_window("tab")
    try:
        browser.open(page)
        browser.type("1")
    finally:
        browser.driver.close()
        browser.driver.switch_to.window(first)
    browser.wait("document.getElementById('progress').value === 1")
    assert "stay in this browser" in browser.text("#kept")
    browser.script("Storage.prototype.setItem = () => { throw new Error('full'); }")
    browser.type(Keys.ARROW_DOWN, "2")
    assert browser.text("#progress-text") == "2 of 20 tiles answered"
    assert "does not keep answers: save them" in browser.text("#kept")
    browser.script("answers.isKept = true")  # no question of the browser when this page is left


@pytest.mark.browser
def test_text_from_files_stays_text(browser: Browser, make_raster: Any, make_layer: MakeLayer, tmp_path: Path) -> None:
    scene = make_raster(np.full((3, 40, 60), 90, np.uint8), name="a<img src=x onerror=alert(1)>&.tif")
    layer = make_layer(scene, labels=Labels.of(EVIL), tile_size="20", name="o<b>.gpkg")
    sample = tmp_path / "<u>s.gpkg"
    done("sample", layer, "--per-class", 9, "-o", sample)
    fill(sample, {read_sample(sample).tile_ids[0]: (EVIL[0], "<!--<script>\u2028</script><b>")})
    done("report", sample)
    browser.open(sample.with_suffix(".html"))
    browser.type("2")
    browser.click("#answers button")
    assert browser.texts("#answers span") == [*EVIL, "cannot tell"] and browser.text("h1") == "<u>s.gpkg"
    assert EVIL[0] in browser.text("#status")
    assert browser.script("return document.querySelectorAll('img, b, u, i').length") == 0
    rows = rows_of(browser.download(tmp_path, "answers.csv", "#save"))
    assert [row["reference"] for row in rows[:3]] == [EVIL[0], EVIL[1], EVIL[0]]
    assert rows[0]["note"] == "<!--<script>\u2028</script><b>"
    assert browser.complaints() == [] and len(browser.requests()) == 1
    browser.script(
        "const s = document.createElement('script'); s.textContent = 'window.bad = 1'; document.body.append(s);"
        "fetch('http://127.0.0.1:9/').catch(() => {})"
    )
    assert browser.script("return window.bad === undefined")
    assert any("Content Security Policy" in entry["message"] for entry in browser.complaints())
    found = json.loads(done("evaluate", sample, "--answers", tmp_path / "answers.csv", "--json").stdout)
    assert found["tiles"]["finished"] == 3


def test_the_page_tells_nothing_of_the_map(make_raster: Any, make_layer: MakeLayer) -> None:
    """Two maps that differ in every label and confidence have one page, but for the identity of their samples."""
    scene = str(make_raster(np.random.default_rng(3).integers(0, 255, (3, 80, 100), dtype=np.uint8)))
    found = []
    for name, shift in (("a", 0), ("b", 1)):

        def answer(index: int, shift: int = shift) -> dict[str, Any]:
            best, second = (index + shift) % 3, (index + 1 + shift) % 3
            return {"ranking": ((best, 0.613 + 0.1 * shift), (second, 0.1))}

        layer = make_layer(scene, tile_size="20", name=f"{name}.gpkg", answer=answer)
        path = layer.with_name("s.gpkg")
        done("sample", layer, "--design", "random", "-n", 20, "-o", path, "--overwrite", "--show-label")
        done("report", path, "--overwrite")
        text = path.with_suffix(".html").read_text()
        assert "613" not in text and "stratum" not in text
        found.append(json.loads(text.split('id="data">')[1].split("</script>")[0]))
        images = text.split('class="image"')[1:]
        found[-1]["images"] = [image.split("</script>")[0] for image in images]
        found[-1]["identity"] = None
    assert found[0] == found[1] and len(found[0]["images"]) == 20


def test_the_tiles_of_several_scenes_are_shown(make_raster: Any, make_layer: MakeLayer, tmp_path: Path) -> None:
    scenes = [make_raster(np.full((3, 40, 40), 60 * n, np.uint8), name=f"{n}.tif") for n in (1, 2)]
    layer = make_layer(*map(str, scenes), tile_size="20")
    done("sample", layer, "--per-class", 9, "-o", tmp_path / "s.gpkg")
    assert done("report", tmp_path / "s.gpkg").stderr == ""
    assert (tmp_path / "s.html").read_text().count('class="image"') == 8
    Path(scenes[1]).rename(tmp_path / "moved.tif")
    lost = bimors("report", tmp_path / "s.gpkg", "--overwrite")
    assert lost.exit_code == 2 and "2.tif does not exist" in lost.stderr
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "moved.tif").rename(tmp_path / "elsewhere" / "2.tif")
    done("report", tmp_path / "s.gpkg", "--overwrite", "--scene", tmp_path / "elsewhere" / "2.tif")
    unknown = bimors("report", tmp_path / "s.gpkg", "--overwrite", "--scene", tmp_path / "3.tif")
    assert unknown.exit_code == 2 and "the scenes are" in unknown.stderr


def test_what_is_refused(sample: Path, scene: str, make_raster: Any, tmp_path: Path) -> None:
    def refused(*args: object) -> str:
        result = bimors("report", sample, *args)
        assert result.exit_code == 2 and result.stdout == "" and "hint:" in result.stderr, result.stderr
        assert not sample.with_suffix(".html").exists() and not list(tmp_path.glob("*.tmp-*"))
        return " ".join(result.stderr.split())

    assert "HTML page" in refused("-o", tmp_path / "x.txt")
    assert "--layer tiles" in refused("--layer", "tiles")
    Path(scene).rename(tmp_path / "moved.tif")
    assert "its scene" in refused() and "--scene" in refused()
    make_raster(np.zeros((3, 80, 90), np.uint8))
    assert "90 x 80 pixels" in refused()
    (tmp_path / "moved.tif").rename(scene)
    (tmp_path / "answers.html").write_text("")
    assert "--overwrite" in refused("-o", tmp_path / "answers.html")
    ids = read_sample(sample).tile_ids
    fill(sample, {ids[0]: ("lake", None)})
    assert "'lake' is not a label of the map" in refused()
    fill(sample, {ids[0]: (None, None)})
    with closing(sqlite3.connect(sample)) as database, database:
        database.execute("UPDATE sample SET row = 77 WHERE tile_id = ?", (ids[3],))
    assert f"the tile {ids[3]} has no place in a scene: scene.tif, row 77" in refused()


def test_the_python_function_writes_it_too(sample: Path, tmp_path: Path) -> None:
    assert report(sample, tmp_path / "p.html", ReportOptions()) == tmp_path / "p.html"
    assert "Class of the tile" in (tmp_path / "p.html").read_text()
