"""Recommended bundles: the order of the published figures, and what fits into memory."""

from __future__ import annotations

import pytest

from bimors_cli.bundle.catalog import entries
from bimors_cli.bundle.recommend import PUBLISHED, recommend


def names(gsd: float | None, bands: int = 3, memory: float | None = None) -> list[str]:
    return [one.command.removeprefix("bimors models fetch ") for one in recommend(gsd, bands, memory)]


def test_every_name_with_a_figure_is_in_the_catalog() -> None:
    assert set(PUBLISHED) <= {entry.name for entry in entries()}


def test_coarse_pixels_ask_for_bands_first_and_for_another_order() -> None:
    assert "--model bands" in names(10.0)[0] and names(10.0)[1] == "georsclip-h14"
    assert names(10.0)[-1] == "remoteclip-b32"
    assert names(0.5)[0] == "remoteclip-l14" and "--model bands" not in "".join(names(0.5))
    assert "--model bands" in names(0.5, bands=4)[0]
    assert names(None)[0] == names(0.5)[0]


@pytest.mark.parametrize("memory", [1e9, 2.5e9, 8e9, 20e9, 70e9])
def test_only_what_fits_is_named(memory: float) -> None:
    found = recommend(10.0, 4, memory)
    assert all(one.memory is not None and one.memory <= memory for one in found)


def test_a_smaller_captioner_or_none_makes_it_fit() -> None:
    assert "georsclip-b32 --captioner none" in names(10.0, memory=2.5e9)
    assert "georsclip-b32 --captioner blip-base" in names(10.0, memory=5e9)
    assert "georsclip-b32" in names(10.0, memory=40e9)
    assert names(0.5, memory=1e9) == []


def test_reasons_name_figure_and_source() -> None:
    assert "68.3 % on EuroSAT" in recommend(10.0, 3, None)[1].why and "2409.00698" in recommend(10.0, 3, None)[1].why
