"""The page as a file: what it carries, what it lets in, and what is left when it cannot be written."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bimors_cli.errors import InputError, OutputError, OutputExistsError, ReadError
from bimors_cli.results.overview import Piece
from bimors_cli.results.report_page import Report, ReportClass, ReportTile, hectare_decimals, write_report

EVIL = "</script><!-- <b>&amp; \u2028 {{ 1 }}"


def tile(place: int, label: int | None = 0, area: float = 4096.0) -> ReportTile:
    box = (place * 64.0, 0.0, place * 64.0 + 64, 64.0)
    runners = ((EVIL, 0.2), ("river", None))
    reason = "nodata" if label is None else None
    return ReportTile(
        f"{EVIL}/{place}/0", box, area, label, None if label is None else 0.8, reason, runners, EVIL, None
    )


REPORT = Report(
    title=EVIL,
    size=(128.0, 64.0),
    metres_per_pixel=1.0,
    north=None,
    classes=(ReportClass(EVIL, "#ff0000"), ReportClass("river", "#0000ff")),
    tiles=(tile(0), tile(1, None)),
    missing=1234,
    facts=((EVIL, EVIL),),
    notes=(EVIL,),
)


def pieces() -> Iterator[Piece]:
    yield Piece((0, 0, 64, 64), np.full((64, 64, 3), (200, 0, 0), np.uint8))
    yield Piece((64, 0, 128, 64), np.full((64, 64, 3), (0, 0, 200), np.uint8))


def written(tmp_path: Path, report: Report = REPORT) -> str:
    path = tmp_path / "report.html"
    write_report(path, report, pieces(), overwrite=True)
    return path.read_text(encoding="utf-8")


def embedded(text: str, name: str) -> str:
    (found,) = re.findall(rf'<script type="[a-z/]+" id="{name}">(.*?)</script>', text, flags=re.S)
    return str(found)


def test_nothing_from_outside_is_mark_up(tmp_path: Path) -> None:
    text = written(tmp_path)
    assert EVIL not in text and "<b>" not in text and "<!--" not in text
    assert text.count("</script>") == text.count("<script") == 6
    data = json.loads(embedded(text, "data"))
    assert data["classes"][0][0] == EVIL and data["id"][1] == f"{EVIL}/1/0"
    assert data["texts"][data["caption"][0]] == EVIL and data["runners"][0][0] == [data["caption"][0], 0.2]
    assert data["label"] == [0, -1] and data["confidence"] == [0.8, None] and data["area"] == [0.4096, 0.4096]


def test_the_policy_lets_in_this_script_and_style_only(tmp_path: Path) -> None:
    text = written(tmp_path)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None and "unsafe" not in policy[1] and "default-src &#39;none&#39;" not in policy[1]
    assert policy[1].startswith("default-src 'none'; ") and "img-src data:;" in policy[1]
    for tag in ("script", "style"):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, flags=re.S)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy[1]
    assert text.index("Content-Security-Policy") < text.index("<style>")


def test_the_picture_is_in_it(tmp_path: Path) -> None:
    text = written(tmp_path)
    assert json.loads(embedded(text, "boxes")) == [[0, 0, 64, 64], [64, 0, 128, 64]]
    overview = np.asarray(Image.open(io.BytesIO(base64.b64decode(embedded(text, "overview")))))
    assert overview.shape == (64, 128, 3)
    assert abs(int(overview[32, 32, 0]) - 200) < 5 and abs(int(overview[32, 96, 2]) - 200) < 5


def test_tables(tmp_path: Path) -> None:
    text = written(tmp_path)
    assert "0.4096" in text and "1,234" in text and "nodata" in text
    without = written(tmp_path, replace(REPORT, tiles=(tile(0, area=float("nan")),), missing=0))
    assert "Hectares" not in without and "Tiles without a label" not in without
    assert json.loads(embedded(without, "data"))["area"] == [None]


@pytest.mark.parametrize(("area", "decimals"), [(4096, 4), (20_000, 2), (2_000_000, 1), (20_000_000, 0)])
def test_a_column_of_hectares_has_the_decimals_that_it_needs(area: float, decimals: int) -> None:
    assert hectare_decimals(replace(REPORT, tiles=(tile(0, area=area), tile(1, area=float("nan"))))) == decimals


def test_what_is_refused_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(OutputExistsError):
        write_report(path, REPORT, pieces(), overwrite=False)
    with pytest.raises(InputError, match="HTML page"):
        write_report(tmp_path / "report.gpkg", REPORT, pieces(), overwrite=True)

    def failing() -> Iterator[Piece]:
        yield from pieces()
        raise ReadError("gone")

    with pytest.raises(ReadError):
        write_report(path, REPORT, failing(), overwrite=True)
    assert path.read_text() == "mine" and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")  # not on Windows
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OutputError, match="File too large"):
            write_report(tmp_path / "report.html", REPORT, pieces(), overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_many_tiles_of_one_text_take_little(tmp_path: Path) -> None:
    many = replace(REPORT, tiles=tuple(tile(place % 2) for place in range(20_000)))
    assert len(written(tmp_path, many)) < 5_000_000
