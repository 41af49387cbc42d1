"""`bimors report`: the page in a real browser, from the disk; and what is refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from typer.testing import CliRunner, Result

from bimors_cli.cli.main import app
from bimors_cli.labels import Labels
from tests.browser import Browser, browser, chromium
from tests.layers import MakeLayer

__all__ = ["browser", "chromium"]

EVIL = ["</script><img src=x onerror=alert(1)>", "{{ 7 * 7 }} & \"quoted\" <b>'x'</b>", "المدينة القديمة"]


def bimors(*args: object) -> Result:
    return CliRunner().invoke(app, [*map(str, args)])


@pytest.fixture
def scene(make_raster: Any) -> str:
    """100 x 80 pixels of 10 m: 20 tiles of 20 pixels; each tile has a shade of red of its own."""
    data = np.full((3, 80, 100), 30, np.uint8)
    data[0] = np.arange(20).reshape(4, 5).repeat(20, 0).repeat(20, 1) * 10 + 30
    return str(make_raster(data))


@pytest.fixture
def page(scene: str, make_layer: MakeLayer) -> Path:
    layer = make_layer(scene, tile_size="20")
    result = bimors("report", layer)
    assert result.exit_code == 0 and result.stdout == f"{layer.with_suffix('.html')}\n", result.stderr
    return layer.with_suffix(".html")


@pytest.mark.browser
def test_the_page_shows_tiles_and_follows_slider_and_classes(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.text("h1") == "scene.tif" and "20 tiles, 18 with a label" in browser.text("header")
    assert browser.text("#shown") == "18 of 18 labelled tiles shown"
    assert browser.text("#classes tbody tr:first-child").split() == ["forest", "6", "33.3", "%", "24.00"]
    assert browser.text("#total-hectares") == "72.00"
    assert "low_confidence 2 8.00" in " ".join(browser.text("#reasons").split())

    browser.slide(50)  # tiles 10 to 18: 9 of them
    assert browser.text("#threshold-value") == "50 %"
    assert browser.text("#shown") == "9 of 18 labelled tiles shown" and browser.text("#total-hectares") == "36.00"
    assert browser.script("return [0, 9, 10, 18, 19].map((i) => symbology.isShown(i))") == [
        False,
        True,
        True,
        True,
        True,
    ]
    assert browser.script("return document.querySelectorAll('#histogram .bar.in').length") == 10

    browser.click('#classes tr[data-class="1"] button')  # river: 1, 4, 7, 10, 13, 16
    assert browser.text("#shown") == "3 of 18 labelled tiles shown"
    assert browser.script("return symbology.isShown(19)") is False  # a filter of classes hides what has none
    browser.click("#all")
    assert browser.text("#shown") == "9 of 18 labelled tiles shown"
    browser.slide(0)
    assert browser.text("#shown") == "18 of 18 labelled tiles shown"
    assert browser.complaints() == [] and browser.requests() == [page.resolve().as_uri()]


@pytest.mark.browser
def test_a_click_on_a_tile_tells_what_is_known_of_it(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.click_tile(13)
    assert browser.text("#tile-label") == "river" and browser.text("#tile-caption") == "“tile number 13”"
    facts = browser.script(
        "const d = {}; let n = ''; for (const e of document.getElementById('tile-facts').children)"
        " e.tagName === 'DT' ? (n = e.innerText) : (d[n] = e.innerText); return d"
    )
    assert facts == {
        "Confidence": "65.0\u00a0%",
        "Runner-up": "harbour, 35.0\u00a0%",
        "Area": "4.00\u00a0ha",
        "Tile": "scene/2/3",
    }
    red, green, blue, alpha = browser.pixel("#crop", 0.5, 0.5)
    assert abs(red - 160) < 8 and abs(green - 30) < 8 and abs(blue - 30) < 8 and alpha == 255
    browser.click_tile(19)
    assert browser.text("#tile-label") == "no label" and "low_confidence" in browser.text("#tile-facts")

    from selenium.webdriver.common.keys import Keys

    browser.keys("#map", Keys.ARROW_UP)
    assert "scene/2/4" in browser.text("#tile-facts")
    browser.keys("#map", Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert "scene/2/2" in browser.text("#tile-facts")
    browser.keys("#map", "+", "+", Keys.SHIFT + Keys.ARROW_LEFT + Keys.NULL, "0")
    browser.keys("#map", Keys.ESCAPE)
    assert browser.script("return document.getElementById('one-tile').hidden") is True
    browser.click_tile(12)
    browser.slide(90)  # a tile that is hidden is let go
    assert browser.script("return document.getElementById('one-tile').hidden") is True
    assert browser.complaints() == []


@pytest.mark.browser
def test_the_map_has_the_colours_of_the_style(browser: Browser, scene: str, make_layer: MakeLayer) -> None:
    labels = Labels.of(["forest", "river"])
    layer = make_layer(
        scene, labels=labels, tile_size="20", answer=lambda i: {"ranking": ((i % 2, 0.9), (1 - i % 2, 0.1))}
    )
    assert bimors("report", layer).exit_code == 0
    browser.open(layer.with_suffix(".html"))
    found = {}
    for tile in (0, 1):
        x, y = browser.script(
            "const [x, y, w, h] = map.onScreen(arguments[0]), c = map.canvas;"
            "return [(x + w / 2) / c.width, (y + h / 2) / c.height]",
            tile,
        )
        found[tile] = np.array(browser.pixel("#map", x, y)[:3], float)
    from bimors_cli.output.style import FILL_ALPHA, colours

    for tile, colour in enumerate(colours(labels)):
        ground, fill = np.array([30 + 10 * tile, 30, 30]), np.array(list(bytes.fromhex(colour[1:])))
        assert np.abs(found[tile] - (ground + (fill - ground) * FILL_ALPHA / 255)).max() < 8


@pytest.mark.browser
def test_text_from_files_stays_text(browser: Browser, make_raster: Any, make_layer: MakeLayer) -> None:
    scene = make_raster(np.full((3, 40, 40), 90, np.uint8), name="a<img src=x onerror=alert(1)>&.tif")
    layer = make_layer(
        scene, labels=Labels.of(EVIL), tile_size="20", name="o<b>.gpkg",
        answer=lambda i: {"ranking": ((i % 3, 0.5), ((i + 1) % 3, 0.5)), "caption": f"<!--<script>{EVIL[0]}\u2028"},
    )  # fmt: skip
    result = bimors("report", layer)
    assert result.exit_code == 0, result.stderr
    browser.open(layer.with_suffix(".html"))
    browser.click_tile(0)
    assert browser.text("#tile-label") == EVIL[0] and EVIL[0] in browser.text("#tile-caption")
    assert EVIL[1] in browser.text("#tile-facts") and browser.text("h1") == Path(scene).name
    assert (
        browser.script("return Array.from(document.querySelectorAll('#classes th span'), (e) => e.innerText)") == EVIL
    )
    assert browser.script("return document.querySelectorAll('img, b').length") == 0
    assert browser.complaints() == [] and len(browser.requests()) == 1
    # And if something got in all the same, it would not run, and could not connect.
    browser.script(
        "const s = document.createElement('script'); s.textContent = 'window.bad = 1'; document.body.append(s);"
        "new Image().src = 'http://127.0.0.1:9/x.png'; fetch('http://127.0.0.1:9/').catch(() => {})"
    )
    assert browser.script("return window.bad === undefined")
    assert any("Content Security Policy" in entry["message"] for entry in browser.complaints())


@pytest.mark.browser
def test_a_corrected_tile_stays_and_says_what_it_was(browser: Browser, scene: str, make_layer: MakeLayer) -> None:
    layer = make_layer(scene, tile_size="20")
    with closing(sqlite3.connect(layer)) as database, database:
        # GDAL's triggers call functions that SQLite alone has not.
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute("UPDATE tiles SET label = 'Salt  Marsh' WHERE tile_id = 'scene/0/0'")
        database.execute("UPDATE tiles SET label = 'river', reason = NULL WHERE tile_id = 'scene/1/4'")
    assert bimors("report", layer).exit_code == 0
    browser.open(layer.with_suffix(".html"))
    assert "2 corrected by hand" in browser.text("header")
    browser.slide(96)
    assert browser.text("#shown") == "2 of 19 labelled tiles shown"
    browser.click_tile(0)
    assert browser.text("#tile-label") == "Salt Marsh"
    assert "by hand, predicted: forest" in browser.text("#tile-facts") and "Confidence" not in browser.text(
        "#tile-facts"
    )
    browser.click_tile(9)
    assert browser.text("#tile-label") == "river" and "predicted: no label" in browser.text("#tile-facts")
    assert browser.complaints() == []


@pytest.mark.browser
@pytest.mark.parametrize(
    ("transform", "north", "first"),
    [
        (Affine(10, 0, 500_000, 0, -10, 4_600_000), 0, (0, 0)),
        (Affine(10, 0, 500_000, 0, 10, 4_600_000), 0, (0, 3)),  # south-up: the first tile is the lowest
        (Affine(0, 10, 500_000, 10, 0, 4_600_000), 0, (0, 3)),  # rows run east, columns run north
        (Affine.translation(500_000, 4_600_000) @ Affine.rotation(-30) @ Affine.scale(10, -10), -30, (0, 0)),
    ],
)
def test_north_is_at_the_top(
    browser: Browser, make_raster: Any, make_layer: MakeLayer, transform: Affine, north: float, first: tuple[int, int]
) -> None:
    rows, cols = (4, 5) if transform.b == 0 or transform.a != 0 else (5, 4)
    data = np.zeros((3, rows * 20, cols * 20), np.uint8)
    data[0] = np.arange(20).reshape(rows, cols).repeat(20, 0).repeat(20, 1) * 12
    layer = make_layer(make_raster(data, transform=transform), tile_size="20")
    assert bimors("report", layer).exit_code == 0
    browser.open(layer.with_suffix(".html"))
    assert browser.script("return page.north") == pytest.approx(north, abs=1)
    assert browser.script("return page.metres") == pytest.approx(10, rel=0.01)
    assert browser.script("return page.box[0]")[:2] == [first[0] * 20, first[1] * 20]
    browser.click_tile(7)
    assert abs(browser.pixel("#crop", 0.5, 0.5)[0] - 84) < 8


def test_the_page_says_how_the_layer_was_made_and_is_the_same_again(page: Path) -> None:
    text = page.read_text()
    for told in ("bimors classify", "Bundle SHA-256", "tiny", "Adapter SHA-256", "EPSG:32618", "20 x 20 pixels"):
        assert told in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert bimors("report", page.with_suffix(".gpkg"), "--overwrite").exit_code == 0
    assert page.read_text() == text
    assert sorted(p.name for p in page.parent.iterdir()) == ["out.gpkg", "out.html", "scene.tif"]


def refused(*args: object) -> str:
    result = bimors("report", *args)
    assert result.exit_code == 2 and result.stdout == "" and "Traceback" not in result.stderr, result.stderr
    assert result.stderr.count("\n") <= 2
    return " ".join(result.stderr.split())


def test_what_is_refused(scene: str, page: Path, make_layer: MakeLayer, make_raster: Any, tmp_path: Path) -> None:
    layer = page.with_suffix(".gpkg")
    assert "--overwrite" in refused(layer)
    before = layer.read_bytes()
    assert "HTML page" in refused(layer, "-o", layer, "--overwrite")
    assert layer.read_bytes() == before
    assert "does not exist" in refused(tmp_path / "none.gpkg", "-o", tmp_path / "x.html")
    assert "bimors classify" in refused(scene, "-o", tmp_path / "x.html")
    assert "--layer: tiles" in refused(layer, "--layer", "none", "-o", tmp_path / "x.html")
    other = make_raster(np.zeros((3, 80, 90), np.uint8), name="other.tif")
    assert "90 x 80 pixels" in refused(layer, "--scene", other, "-o", tmp_path / "x.html")
    moved = make_raster(np.zeros((3, 80, 100), np.uint8), name="moved.tif", transform=Affine(10, 0, 0, 0, -10, 0))
    assert "another position" in refused(layer, "--scene", moved, "-o", tmp_path / "x.html")
    crs = make_raster(np.zeros((3, 80, 100), np.uint8), name="crs.tif", crs="EPSG:32617")
    assert "another CRS" in refused(layer, "--scene", crs, "-o", tmp_path / "x.html")
    empty = make_layer(scene, tile_size="20", name="empty.gpkg", answer=lambda i: {"reason": "nodata"})
    assert "holds no tile of scene.tif" in refused(empty)
    Path(scene).rename(tmp_path / "renamed.tif")
    assert "--scene" in refused(layer, "--overwrite")
    assert bimors("report", layer, "--overwrite", "--scene", tmp_path / "renamed.tif").exit_code == 0
    assert not list(tmp_path.glob("*tmp*"))


def test_a_layer_is_chosen_among_several(scene: str, make_layer: MakeLayer, tmp_path: Path) -> None:
    layer = make_layer(scene, tile_size="20")
    make_layer(scene, tile_size="40", append=True, layer="coarse")
    assert "--layer: tiles, coarse" in refused(layer)
    assert bimors("report", layer, "--layer", "coarse").exit_code == 0
    assert "40 x 40 pixels" in layer.with_suffix(".html").read_text()


def test_of_several_scenes_one_is_shown(scene: str, make_raster: Any, make_layer: MakeLayer) -> None:
    other = make_raster(np.full((3, 40, 40), 7, np.uint8), name="b.tif")
    layer = make_layer(scene, other, tile_size="20")
    first = bimors("report", layer)
    assert (
        first.exit_code == 0 and "--scene" in first.stderr and "20 tiles, 18" in layer.with_suffix(".html").read_text()
    )
    second = bimors("report", layer, "--scene", "b.tif", "--overwrite")
    assert second.exit_code == 0 and "4 tiles, 4" in layer.with_suffix(".html").read_text()
    assert "--scene: scene.tif, b.tif" in refused(layer, "--scene", "c.tif", "--overwrite")
