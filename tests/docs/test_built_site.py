"""The built site: strict, without a network, and searched from the disk. Needs the extra docs and Debian's Chromium."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.reference.site import assemble
from tests.browser import Browser, browser, chromium

ROOT = Path(__file__).resolve().parents[2]
__all__ = ["browser", "chromium"]  # fixtures
pytestmark = [pytest.mark.slow, pytest.mark.browser]


def build(sources: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Build a site in a process of its own, as make docs does."""
    words = ["-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "-c", str(ROOT / "docs")]
    return subprocess.run(
        [sys.executable, *words, str(sources), str(target)], capture_output=True, text=True, check=False, cwd=ROOT
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("pydata_sphinx_theme", reason="no Sphinx: pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    assemble().write(folder / "sources")
    result = build(folder / "sources", folder / "site")
    assert result.returncode == 0, result.stderr
    return folder / "site"


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|img|link)[^>]+(?:src|href)="(https?:)?//', page.read_text(encoding="utf-8"))
        assert not loaded, page


@pytest.mark.parametrize(
    "words, title",
    [
        ("tile-size", "bimors classify"),
        ("change_probability", "Columns of the layers"),
        ("calibration may look like change", "Warnings"),
    ],
)
def test_search_works_from_the_disk(site: Path, browser: Browser, words: str, title: str) -> None:
    browser.driver.get(f"{(site / 'search.html').as_uri()}?q={words.replace(' ', '+')}")
    browser.wait("document.querySelectorAll('#search-results li a').length > 0")
    assert title in browser.texts("#search-results li a")


def test_a_broken_link_fails_the_build(site: Path, tmp_path: Path) -> None:
    (tmp_path / "index.md").write_text("# A\n\n[gone](#nowhere)\n")
    result = build(tmp_path, tmp_path / "site")
    assert result.returncode != 0 and "nowhere" in result.stderr
