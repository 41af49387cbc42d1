"""What descriptions of bands say."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bimors_cli.scene.band_text import BandText, only_counted, read_text


@pytest.mark.parametrize(
    "text, word",
    [
        ("Band 4 (Red)", "red"), ("Red (Band 4)", "red"), ("Band 1: Red", "red"), ("red_median", "red"),
        ("2019-05-01 red", "red"), ("1 - Red", "red"), ("Red band", "red"), ("NIR 840 nm", "nir"), ("nir08", "nir"),
        ("rededge071", "rededge1"), ("red edge 2", "rededge2"), ("Red 1", "red"), ("SR_RED", "red"),
        ('{"name": "B04", "common_name": "red"}', "red"), ("reflectance blue", "blue"), ("B8, near infrared", "nir"),
        ("NDVI (red, nir)", None), ("ratio (red/blue)", None), ("red_std", None), ("reduced", None), ("green_i", None),
        ("infrared thermal", None), ("cloud mask (red)", None), ("red minus green", None), ("{", None), ("", None),
    ],
)  # fmt: skip
def test_words(text: str, word: str | None) -> None:
    assert read_text(text).word == word


@pytest.mark.parametrize(
    "text, code, rest",
    [
        ("B04_mean", ("b", "4"), "mean"), ("2019_B4", ("b", "4"), "2019"), ("0_B4", ("b", "4"), "0"),
        ("B4_1", ("b", "4"), "1"), ("SR_B4", ("srb", "4"), ""), ("Band 4", ("band", "4"), ""),
        ("T32TQM_20200101T100000_B8A_20m", ("b", "8a"), "t32tqm_20200101t100000_20m"),
        ("LC08_L2SP_198024_20200101_20200110_02_T1_SR_B4", ("srb", "4"), "lc08_l2sp_198024_20200101_20200110_02_t1"),
        ("sur_refl_b01", ("b", "1"), "sur_refl"), ("B2_B3", None, ""), ("B4/B3", None, ""), ("ST_B10", None, ""),
    ],
)  # fmt: skip
def test_codes(text: str, code: tuple[str, str] | None, rest: str) -> None:
    found = read_text(text)
    assert (found.word, found.code) == (None, code)
    assert code is None or found.rest == rest


@pytest.mark.parametrize(
    "text, nanometres",
    [
        ("Blue-475", 475), ("Red edge-717", 717), ("B4, central wavelength 665 nm", 665), ("0.665 um", 665),
        ("band 1 (0.48 µm)", 480), ("rhos_665", 665), ("Rrs_443", 443), ("2020", None), ("red 2020", None),
        ("2019-05-01", None), ("10.9 microns", 10_900),
    ],
)  # fmt: skip
def test_wavelengths(text: str, nanometres: float | None) -> None:
    found = read_text(text).nanometres
    assert found is None if nanometres is None else found == pytest.approx(nanometres)


@pytest.mark.parametrize(
    "texts, counted",
    [
        (["b1", "b2", "b3"], True), (["Band 1", "Band 2"], True), (["B1", "B2"], False), (["b2", "b3"], False),
        (["b1_mean", "b2_mean"], False), (["Band_01", "Band_02"], True),
    ],
)  # fmt: skip
def test_descriptions_that_only_count(texts: list[str], counted: bool) -> None:
    assert only_counted([read_text(text) for text in texts]) is counted


@given(st.one_of(st.none(), st.text(max_size=400), st.from_regex(r"[a-z0-9 _\-(),:;{}\"/=|]{0,300}", fullmatch=True)))
@example("a_" * 200)
@example("(" * 1000)
@example('{"a":' * 1000)
@example("1 " * 1000)
@example("-123" * 1000)
@example("red " * 1000)
@example("\udc80red")
@example("²³ B² b²")
@example("B²")
def test_any_text_is_read_quickly(text: str | None) -> None:
    start = time.process_time()
    found = read_text(text)
    assert isinstance(found, BandText) and time.process_time() - start < 0.5


@given(st.sampled_from(["red", "B04", "nir", "Blue"]), st.sampled_from("_. "), st.integers(1980, 2035))
def test_a_date_next_to_a_name_changes_only_the_rest(name: str, mark: str, year: int) -> None:
    plain = read_text(name)
    for text in (f"{year}{mark}{name}", f"{name}{mark}{year}"):
        found = read_text(text)
        assert (found.word, found.code, found.rest) == (plain.word, plain.code, str(year))
