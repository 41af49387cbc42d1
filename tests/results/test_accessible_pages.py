"""The HTML pages for everyone: axe-core finds nothing in them, light and dark, and the report prints on one page.

axe-core is not part of this repository. The checks with it use ``axe.min.js`` in the folder of BIMORS_AXE, or that of
``npm install --no-save axe-core`` here; `.ci/run` installs it.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bimors_cli.cli.main import app
from bimors_cli.labels import Labels
from tests.browser import Browser, browser, chromium
from tests.evaluation.areas.samples import drawn_tiles, fill, write
from tests.layers import MakeLayer

__all__ = ["browser", "chromium"]

ROOT = Path(__file__).parents[2]
MAPPED = ("forest",) * 6 + ("moor",) * 5 + (None,) * 4
REFERENCE = ("forest",) * 5 + ("moor",) * 6 + ("forest", "river", "river", None)
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

pytestmark = pytest.mark.browser


@pytest.fixture(scope="session")
def axe() -> str:
    folder = os.environ.get("BIMORS_AXE")
    path = (ROOT / "node_modules" / "axe-core" if folder is None else Path(folder)) / "axe.min.js"
    if not path.is_file():
        pytest.skip("no axe-core: npm install --no-save axe-core, or set BIMORS_AXE to the folder of axe.min.js")
    return path.read_text(encoding="utf-8")


@pytest.fixture
def layer(make_raster: Any, make_layer: MakeLayer) -> Path:
    """20 tiles of six classes and without a label, and a warning."""
    data = np.full((3, 80, 100), 30, np.uint8)
    data[0] = np.arange(20).reshape(4, 5).repeat(20, 0).repeat(20, 1) * 10 + 30
    labels = Labels.of(["forest", "river", "harbour", "bare land", "المدينة القديمة", "meadow"])
    return make_layer(str(make_raster(data)), tile_size="20", labels=labels)


def written(*args: object) -> Path:
    result = CliRunner().invoke(app, [*map(str, args)])
    assert result.exit_code == 0, result.stderr
    return Path(result.stdout.strip())


def light(browser: Browser) -> None:
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


def dark(browser: Browser) -> None:
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})


def found_by(axe: str, browser: Browser) -> list[str]:
    """What axe-core finds in the page: rule, element, and why."""
    browser.driver.execute_script(axe)
    result = browser.driver.execute_async_script(
        "const done = arguments[1];"
        "axe.run(document, { runOnly: arguments[0] }).then(done, (error) => done({ error: String(error) }))",
        RULES,
    )
    assert "error" not in result and len(result["passes"]) > 10, result
    return [
        f"{rule['id']}: {node['html'][:200]}: {node['failureSummary']}"
        for rule in result["violations"]
        for node in rule["nodes"]
    ]


def report(layer: Path, _: Path) -> Path:
    return written("report", layer)


def label_page(layer: Path, _: Path) -> Path:
    written("sample", layer, "--per-class", 20)
    return written("report", layer.with_name("out_sample.gpkg"))


def areas(_: Path, folder: Path) -> Path:
    tiles = drawn_tiles(MAPPED, hectares=np.full(len(MAPPED), 2.5))
    write(folder / "sample.gpkg", tiles)
    filled = fill(folder / "sample.gpkg", dict(zip(tiles.tile_ids, REFERENCE, strict=True)))
    return written("evaluate", filled, "-o", folder / "results") / "report.html"


def use_report(browser: Browser) -> None:
    browser.click_tile(13)
    browser.click('#classes tr[data-class="1"] button')
    browser.slide(20)


def use_label_page(browser: Browser) -> None:
    browser.click("#answers button:nth-of-type(2)")


@pytest.mark.parametrize("scheme", [light, dark])
@pytest.mark.parametrize(("make", "use"), [(report, use_report), (label_page, use_label_page), (areas, None)])
def test_axe_finds_nothing(
    axe: str, browser: Browser, layer: Path, tmp_path: Path, scheme: Callable[[Browser], None],
    make: Callable[[Path, Path], Path], use: Callable[[Browser], None] | None,
) -> None:  # fmt: skip
    page = make(layer, tmp_path)
    scheme(browser)
    try:
        browser.open(page)
        assert found_by(axe, browser) == []
        if use is not None:
            use(browser)
            assert found_by(axe, browser) == []
    finally:
        light(browser)


@pytest.mark.parametrize("make", [report, label_page, areas])
def test_a_dark_screen_has_a_dark_page_and_paper_stays_white(
    browser: Browser, layer: Path, tmp_path: Path, make: Callable[[Path, Path], Path]
) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
    browser.open(make(layer, tmp_path))
    assert min(browser.script(ground)) > 230
    try:
        dark(browser)
        assert max(browser.script(ground)) < 40
        features = [{"name": "prefers-color-scheme", "value": "dark"}]
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": features})
        assert (
            browser.script("return getComputedStyle(document.documentElement).getPropertyValue('--paper')") == "#ffffff"
        )
    finally:
        light(browser)


@pytest.mark.parametrize("size", [(8.27, 11.69), (8.5, 11.0)])
@pytest.mark.parametrize("selected", [False, True])
def test_the_report_prints_on_one_page(
    browser: Browser, layer: Path, size: tuple[float, float], selected: bool
) -> None:
    browser.open(written("report", layer))
    if selected:
        browser.click_tile(13)
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    shown = "return [...document.querySelectorAll('#histogram rect, #map')].every((e) => e.checkVisibility())"
    assert browser.script(shown)
    light(browser)
    width, height = size
    printed = browser.driver.execute_cdp_cmd(
        "Page.printToPDF", {"paperWidth": width, "paperHeight": height, "preferCSSPageSize": True}
    )
    pdf = base64.b64decode(printed["data"])
    assert pdf.startswith(b"%PDF") and len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1


def test_everything_on_the_report_is_reached_by_keyboard(browser: Browser, layer: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open(written("report", layer))
    reached = []
    for _ in range(30):
        browser.type(Keys.TAB)
        reached.append(browser.script("return document.activeElement.id || document.activeElement.innerText"))
        # Where the focus is can be seen.
        outline = browser.script("return getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none" or browser.script("return document.activeElement === document.body")
    wanted = {"threshold", "map", "zoom-in", "zoom-out", "fit", "opacity", "forest", "river"}
    assert wanted <= set(reached)
