"""A colour for each label."""

from __future__ import annotations

import re

import numpy as np
import pytest

from bimors_cli.labels import Label, Labels
from bimors_cli.output.palette import NO_LABEL, PALETTE, _oklab, colours

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
VISION = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


def named(count: int, own: dict[int, str] | None = None) -> Labels:
    return Labels(tuple(Label(f"class {i}", (own or {}).get(i)) for i in range(count)))


def seen_by(colour: str, vision: str) -> str:
    srgb = np.array(list(bytes.fromhex(colour[1:]))) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(VISION[vision]) @ linear, 0, 1)
    back = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
    return "#" + bytes(np.round(back * 255).astype(np.uint8).tolist()).hex()


def lightness(colour: str, vision: str | None) -> float:
    """That of OKLab, 0..1, to an eye; None is the usual one."""
    return float(_oklab([colour if vision is None else seen_by(colour, vision)])[0, 0])


def least_distance(names: list[str]) -> float:
    points = _oklab(names)
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return float(distances[~np.eye(len(names), dtype=bool)].min())


@pytest.mark.parametrize("count", [2, 10, 11, 100, 1000])
def test_all_colours_differ(count: int) -> None:
    found = colours(named(count))
    assert len(set(found)) == len(found) == count
    assert all(re.fullmatch(r"#[0-9a-f]{6}", colour) for colour in found)
    assert NO_LABEL not in found


def test_many_colours_stay_apart() -> None:
    assert least_distance(list(colours(named(50)))) > 0.07
    assert least_distance(list(colours(named(100)))) > 0.05
    assert least_distance(list(colours(named(1000)))) > 0.01


@pytest.mark.parametrize("vision", VISION)
def test_the_colour_blind_tell_the_first_ten_apart(vision: str) -> None:
    assert colours(named(10)) == PALETTE
    assert least_distance([seen_by(colour, vision) for colour in PALETTE]) > 0.07


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize(("count", "apart"), [(16, 0.066), (20, 0.065), (50, 0.038), (100, 0.026)])
def test_the_colour_blind_tell_more_apart_as_far_as_can_be(vision: str, count: int, apart: float) -> None:
    assert least_distance([seen_by(colour, vision) for colour in colours(named(count))]) > apart


def test_the_users_colours_win_and_nobody_else_gets_them() -> None:
    own = {0: PALETTE[1], 3: "#123456", 40: "#e69f01"}  # the last one is all but the palette's first
    found = colours(named(60, own))
    assert {index: found[index] for index in own} == own
    assert len(set(found)) == 60
    assert PALETTE[0] not in found
    assert found[1] == PALETTE[2]


def test_the_user_may_give_one_colour_twice() -> None:
    assert colours(named(3, {0: "#123456", 2: "#123456"})) == ("#123456", PALETTE[0], "#123456")


def test_a_label_keeps_its_colour_when_others_follow() -> None:
    assert colours(named(200))[:37] == colours(named(37))


def test_colours_come_again_when_there_are_no_more() -> None:
    found = colours(named(6000))
    assert len(found) == 6000
    assert len(set(found)) > 4000
