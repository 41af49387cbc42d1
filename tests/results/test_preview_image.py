"""The quick look: colours where the tiles are, a legend that counts them, a scale bar and north."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ImageFont

from bimors_cli.labels import Labels
from bimors_cli.output.palette import NO_LABEL
from bimors_cli.output.style import FILL_ALPHA, NO_LABEL_ALPHA, colours
from bimors_cli.results import preview_image as fonts
from bimors_cli.results.preview_image import Font, MapNotes, _legend_entries, draw_preview, font_for

NAMES = Labels.of(["forest", "river", "harbour"])


def square(x: int, y: int, side: int) -> np.ndarray[Any, Any]:
    return np.array([[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]])


def blended(colour: str, alpha: int, ground: int) -> np.ndarray[Any, Any]:
    return ground + (np.array(list(bytes.fromhex(colour[1:])), dtype=float) - ground) * alpha / 255


def test_tiles_are_half_transparent_in_their_colours() -> None:
    background = np.full((800, 900, 3), 100, dtype=np.uint8)
    tiles = [square(0, 0, 100), square(100, 0, 100), square(0, 100, 100)]
    picture = draw_preview(background, tiles, ["forest", None, "unheard of"], NAMES)
    assert picture.mode == "RGB"
    margin = round(1.5 * 16)
    scene = np.asarray(picture)[margin : margin + 800, margin : margin + 900].astype(float)
    assert np.abs(scene[50, 50] - blended(colours(NAMES)[0], FILL_ALPHA, 100)).max() <= 1
    assert np.abs(scene[50, 150] - blended(NO_LABEL, NO_LABEL_ALPHA, 100)).max() <= 1
    assert np.abs(scene[150, 50] - blended(NO_LABEL, NO_LABEL_ALPHA, 100)).max() <= 1
    assert (scene[150, 150] == 100).all()
    # The outline lies on the tile's last pixel, so that neighbours do not cover each other's.
    assert (scene[50, 99] != scene[50, 50]).any()
    assert (scene[50, 100] != scene[50, 150]).any()


def test_overlapping_tiles_do_not_add_up() -> None:
    background = np.full((800, 800, 3), 100, dtype=np.uint8)
    once = draw_preview(background, [square(0, 0, 200)], ["forest"], NAMES).getpixel((124, 124))
    twice = draw_preview(background, [square(0, 0, 200)] * 2, ["forest"] * 2, NAMES).getpixel((124, 124))
    assert once == twice


def test_the_legend_counts_what_occurs_the_most_frequent_first() -> None:
    palette = dict(zip(NAMES.names, colours(NAMES), strict=True))
    entries = _legend_entries([None, "river", "harbour", "harbour", None, None, "other"], palette, 9)
    assert [(entry.text, entry.count) for entry in entries] == [("harbour", 2), ("river", 1), ("no label", 4)]
    assert [entry.colour for entry in entries] == [palette["harbour"], palette["river"], NO_LABEL]


def test_a_long_legend_ends_with_what_is_left_out() -> None:
    names = [f"class {i} with a name of more than thirty-two letters" for i in range(30)]
    entries = _legend_entries([*names, None], dict.fromkeys(names, "#000000"), 12)
    assert len(entries) == 12
    assert [(entry.text, entry.count) for entry in entries[-2:]] == [("+20 more", 20), ("no label", 1)]
    assert entries[0].text == "class 0 with a name of more t..."
    assert len(_legend_entries(names, dict.fromkeys(names, "#000000"), 30)) == 30


@pytest.mark.parametrize("height", [500, 1200])
def test_thirty_classes_have_a_line_each(height: int) -> None:
    labels = Labels.of([f"class {i}" for i in range(30)])
    tiles = [square(20 * i, 0, 20) for i in range(30)]
    picture = draw_preview(np.full((height, 1200, 3), 255, np.uint8), tiles, list(labels.names), labels)
    legend = np.asarray(picture)[:, 1260:].reshape(-1, 3)
    found = {tuple(pixel) for pixel in np.unique(legend, axis=0).tolist()}
    assert {tuple(bytes.fromhex(colour[1:])) for colour in colours(labels)} <= found


def test_scale_bar_and_north_stand_under_the_map() -> None:
    background = np.full((600, 1000, 3), 128, np.uint8)
    plain = draw_preview(background, [], [], NAMES)
    noted = draw_preview(background, [], [], NAMES, notes=MapNotes(2.0, 90.0, "EPSG:32633"))
    assert noted.height > plain.height and noted.width == plain.width
    margin = round(1.5 * 18)
    strip = np.asarray(noted.convert("L"))[margin + 602 :, margin:]
    assert (strip < 60)[:, 249].any() and not (strip < 60)[:, 250:254].any()  # 500 m of 2 m pixels
    # An arrow to the right: all of its dark side lies above or below its middle, and its tip is on the right.
    arrow = np.argwhere(strip[:, -60 - margin : -margin] < 60)
    assert len(arrow) and np.ptp(arrow[:, 1]) > np.ptp(arrow[:, 0])
    assert draw_preview(background, [], [], NAMES, notes=MapNotes()).size == plain.size


def test_odd_sizes(tmp_path: Path) -> None:
    for height, width in ((1, 1), (3, 2000), (2000, 3), (20, 30)):
        background = np.zeros((height, width, 3), dtype=np.uint8)
        tiles = [square(0, 0, 1), np.array([[0.5, 0.5], [2.2, 1.1], [0.1, 2.7]])]
        picture = draw_preview(
            background, tiles, ["forest", None], NAMES, title="A title " * 40, notes=MapNotes(0.1, 12.0, "a CRS " * 40)
        )
        picture.save(tmp_path / "out.png")
        assert min(picture.size) > 60
    assert draw_preview(background, [], [], NAMES).size[0] > 800


def test_mistakes_of_the_caller() -> None:
    background = np.zeros((8, 8, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="uint8"):
        draw_preview(background.astype(np.uint16), [], [], NAMES)
    with pytest.raises(ValueError, match="uint8"):
        draw_preview(background[..., 0], [], [], NAMES)
    with pytest.raises(ValueError, match="1 polygons and 0 labels"):
        draw_preview(background, [square(0, 0, 1)], [], NAMES)


def family(font: Font) -> str | None:
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font.getname()[0]


BUILT_IN = family(ImageFont.load_default(16))


def test_the_built_in_font_is_taken_where_it_is_enough() -> None:
    assert family(font_for(["residential area", "1,234"], 16)) == BUILT_IN


def test_other_scripts_get_a_font_of_the_system_if_there_is_one() -> None:
    font = font_for(["лес", "forêt", "δάσος"], 16)
    if family(font) != BUILT_IN:
        assert fonts._missing(font, list("лесê")) == 0


def test_without_a_system_font_the_built_in_one_must_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_SYSTEM_FONTS", ("no such font.ttf",))
    assert family(font_for(["лес"], 16)) == BUILT_IN
