"""The page to label tiles as a file: its size, and that text stays text."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bimors_cli.errors import InputError, OutputExistsError, ReadError
from bimors_cli.results import label_page
from bimors_cli.results.label_page import LabelPage, LabelTile, bytes_per_tile, side_of_images, write_label_page
from bimors_cli.results.tile_images import TileImage

EVIL = "</script><!-- <b>&amp; \u2028 {{ 1 }} \" '"


def page_of(count: int, labels: tuple[str, ...] = ("forest", EVIL)) -> LabelPage:
    tiles = tuple(
        LabelTile(f"{EVIL}/{row}/0", EVIL, row, 0, 7.123456789, 46.5, EVIL if row else "", EVIL) for row in range(count)
    )
    return LabelPage(EVIL, "0123", labels, "cannot tell", tiles)


def images(count: int, side: int = 30) -> Iterator[tuple[int, TileImage]]:
    for number in range(count):
        yield number, TileImage((0.25, 0.25, 0.5, 0.5), np.full((side, side, 3), 50 + number, np.uint8))


def written(path: Path, page: LabelPage, shown: Iterator[tuple[int, TileImage]]) -> str:
    write_label_page(path, page, shown, overwrite=True)
    return path.read_text(encoding="utf-8")


def test_nothing_from_outside_is_mark_up_and_only_the_own_script_runs(tmp_path: Path) -> None:
    text = written(tmp_path / "p.html", page_of(2), images(2))
    assert EVIL not in text and "<b>" not in text and "<!--" not in text
    assert text.count("</script>") == text.count("<script") == 4
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None and policy[1].startswith("default-src 'none'; ") and "unsafe" not in policy[1]
    for tag in ("script", "style"):
        (own,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, flags=re.S)
        digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy[1]
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, flags=re.S)
    found = json.loads(data)
    assert found["answers"] == ["forest", EVIL, "cannot tell"]
    assert found["tiles"][1] == [f"{EVIL}/1/0", EVIL, 1, 0, "7.1234568", "46.5000000", EVIL, EVIL]


def test_labels_have_keys_and_those_after_the_last_letter_have_none(tmp_path: Path) -> None:
    text = written(tmp_path / "p.html", page_of(1, tuple(f"class {n}" for n in range(40))), images(1))
    keys = re.findall(r'data-key="(.)"', text)
    assert keys == [*"123456789abcdefghijklmnopqrstuvwxyz", "0"]


@pytest.mark.parametrize("count", [1, 10, 300, 641, 1200, 5000])
def test_an_image_has_few_bytes_whatever_it_shows(count: int) -> None:
    most = bytes_per_tile(count)
    assert label_page.LEAST_BYTES <= most <= label_page.MOST_BYTES
    if count <= 1200:
        assert count * most * 4 / 3 <= label_page.PAGE_BYTES
    side = side_of_images(count)
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    encoded = label_page._small_jpeg(noise, most)
    assert len(encoded) <= most and min(Image.open(io.BytesIO(encoded)).size) > 90


def test_a_page_of_many_tiles_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "bimors"):
        written(tmp_path / "p.html", page_of(1200), images(0))
        assert not caplog.records
        written(tmp_path / "p.html", page_of(1201), images(0))
    assert "1,201 tiles may have 32 MB" in caplog.text and "1,200 at most" in caplog.text


def test_a_failure_leaves_no_page(tmp_path: Path) -> None:
    def failing() -> Iterator[tuple[int, TileImage]]:
        yield from images(1)
        raise ReadError("broken")

    with pytest.raises(ReadError, match="broken"):
        write_label_page(tmp_path / "p.html", page_of(2), failing(), overwrite=False)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="HTML page"):
        write_label_page(tmp_path / "p.txt", page_of(1), images(1), overwrite=False)
    written(tmp_path / "p.html", page_of(1), images(1))
    with pytest.raises(OutputExistsError):
        write_label_page(tmp_path / "p.html", page_of(1), images(1), overwrite=False)
