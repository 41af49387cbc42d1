"""One linear stretch a scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bimors_cli.errors import InputError, ReadError
from bimors_cli.scene import sample as module
from bimors_cli.scene.bands import choose_bands
from bimors_cli.scene.mask import FILE_NODATA, Nodata
from bimors_cli.scene.raster import open_scene
from bimors_cli.scene.stretch import Stretch, StretchSpec, compute_stretch, parse_stretch
from tests.conftest import MakeRaster


def stretch_of(
    path: str, text: str = "auto", *, bidx: tuple[int, ...] | None = None, nodata: Nodata = FILE_NODATA
) -> Stretch:
    """Compute the stretch of a file."""
    with open_scene(path) as scene:
        return compute_stretch(scene.dataset, choose_bands(scene.info, bidx), parse_stretch(text), nodata)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("auto", StretchSpec("auto")),
        (" None ", StretchSpec("none")),
        ("0,3000", StretchSpec("range", 0, 3000)),
        ("-1.5, 1e4", StretchSpec("range", -1.5, 10_000)),
        ("p2,p98", StretchSpec("percentile", 2, 98)),
        ("P0.5,P99.5", StretchSpec("percentile", 0.5, 99.5)),
    ],
)
def test_parse(text: str, spec: StretchSpec) -> None:
    """The four ways; what is shown parses back."""
    assert parse_stretch(text) == spec
    assert parse_stretch(str(spec)) == spec


@pytest.mark.parametrize("text", ["", "best", "1", "1,2,3", "2,1", "5,5", "p2,98", "2,p98", "p-1,p98", "p2,p101", "0,inf", "nan,1"])  # fmt: skip  # noqa: E501
def test_parse_refuses(text: str) -> None:
    """What says nothing comes back with a hint."""
    with pytest.raises(InputError) as caught:
        parse_stretch(text)
    assert caught.value.hint


DTYPES = st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])


@given(st.data(), DTYPES, st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_apply_is_monotone_and_8_bits(data: st.DataObject, dtype: str, low: float, span: float) -> None:
    """Any value of any dtype, NaN and infinity included, gives 0..255, a larger value never less."""
    values = data.draw(hnp.arrays(dtype, (1, 1, 12)))
    image = Stretch("range", (low,), (low + span,)).apply(values)
    assert image.shape == (3, 1, 12) and image.dtype == np.uint8
    good = ~np.isnan(values[0, 0])
    order = np.argsort(values[0, 0][good], kind="stable")
    assert (np.diff(image[0, 0][good][order].astype(int)) >= 0).all()
    assert (image[0, 0][~good] == 0).all()


def test_apply_values() -> None:
    """Ends, middle and beyond, channel by channel; the input is left alone."""
    data = np.array([[[0, 50, 100, 200]], [[0, 50, 100, 200]], [[7, 7, 6, 8]]], np.float32)
    before = data.copy()
    image = Stretch("range", (0, 100, 7), (100, 200, 7)).apply(data)
    assert image[:, 0].tolist() == [[0, 128, 255, 255], [0, 0, 0, 255], [127, 127, 0, 255]]
    assert (data == before).all()


def test_apply_keeps_small_differences_of_large_integers() -> None:
    """32-bit values are not put through 24-bit floats."""
    data = np.array([[[4_000_000_000, 4_000_000_001, 4_000_000_002]]], np.uint32)
    assert Stretch("range", (4e9,), (4e9 + 2,)).apply(data)[0, 0].tolist() == [0, 128, 255]


def test_apply_none() -> None:
    """8 bits stay; one channel becomes three; means of decimated pictures are rounded."""
    data = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    assert (Stretch("none").apply(data) == data).all()
    assert Stretch("none").apply(data).shape == (3, 2, 3)
    assert Stretch("none").apply(np.full((3, 1, 1), 2.6, np.float32)).ravel().tolist() == [3, 3, 3]


def test_auto(make_raster: MakeRaster) -> None:
    """8-bit pictures are left alone; all else is stretched by percentiles."""
    rgb = np.random.default_rng(1).integers(0, 99, (3, 20, 20))
    assert stretch_of(make_raster(rgb.astype(np.uint8))) == Stretch("none")
    assert stretch_of(make_raster(rgb[:1].astype(np.uint8), palette={0: (1, 2, 3, 255)})) == Stretch("none")
    for dtype in ("uint16", "int16", "uint32", "int32", "float32", "float64"):
        stretch = stretch_of(make_raster(rgb.astype(dtype)))
        assert stretch.kind == "percentile"
        assert stretch.low == pytest.approx(np.percentile(rgb, 2, axis=(1, 2)))
        assert stretch.high == pytest.approx(np.percentile(rgb, 98, axis=(1, 2)))
    grey = stretch_of(make_raster(rgb[:1].astype(np.uint8)))
    assert grey.kind == "percentile" and len(grey.low) == 1


def test_asked_for(make_raster: MakeRaster) -> None:
    """A range needs no reading; percentiles are the user's; none is for 8 bits."""
    data = np.arange(1000, dtype=np.uint16).reshape(1, 20, 50)
    path = make_raster(data)
    assert stretch_of(path, "10,20") == Stretch("range", (10,), (20,))
    assert stretch_of(path, "p10,p90").low == pytest.approx((99.9,))
    assert stretch_of(path, "10,20", bidx=(1, 1, 1)).low == (10, 10, 10)
    with pytest.raises(InputError, match="uint16") as caught:
        stretch_of(path, "none")
    assert "auto" in str(caught.value.hint)
    assert stretch_of(make_raster(data.astype(np.uint8)), "none") == Stretch("none")


def test_only_valid_pixels_count(make_raster: MakeRaster) -> None:
    """Neither nodata, nor NaN, nor what the mask hides, nor the user's nodata moves the ends."""
    rng = np.random.default_rng(2)
    data = rng.uniform(100, 200, (1, 60, 60)).astype(np.float32)
    hidden = rng.random((60, 60)) < 0.5
    expected = np.percentile(data[0][~hidden], (2, 98))

    def ends(path: str, nodata: Nodata = FILE_NODATA) -> list[float]:
        stretch = stretch_of(path, nodata=nodata)
        return [stretch.low[0], stretch.high[0]]

    bad = np.where(hidden, np.float32(-9999), data)
    assert ends(make_raster(bad, nodata=-9999)) == pytest.approx(expected)
    assert ends(make_raster(bad), Nodata("value", -9999)) == pytest.approx(expected)
    assert ends(make_raster(bad, mask=~hidden)) == pytest.approx(expected)
    assert ends(make_raster(np.where(hidden, np.nan, data))) == pytest.approx(expected)
    assert ends(make_raster(np.where(hidden, -np.inf, data))) == pytest.approx(expected)
    assert ends(make_raster(bad, nodata=-9999), Nodata("none"))[0] == -9999


def test_empty_and_constant(make_raster: MakeRaster) -> None:
    """Nothing to divide by is not divided by."""
    assert stretch_of(make_raster(np.full((1, 9, 9), 5, np.uint16), nodata=5)) == Stretch("percentile", (0,), (1,))
    constant = stretch_of(make_raster(np.full((1, 9, 9), 5, np.uint16)))
    assert (constant.low, constant.high) == ((5,), (5,))
    assert (constant.apply(np.full((1, 2, 2), 5, np.uint16)) == 127).all()


def test_rare_values_of_a_flat_scene(make_raster: MakeRaster) -> None:
    """Where both percentiles coincide the whole range is shown: 1 % ones in zeros are not lost."""
    data = np.zeros((1, 100, 100), np.uint8)
    data[0, 3, :50] = 1
    stretch = stretch_of(make_raster(data))
    assert (stretch.low, stretch.high) == ((0,), (1,))


def test_a_nearly_empty_scene(make_raster: MakeRaster) -> None:
    """Valid pixels that a coarse sample misses are found by the finer one."""
    data = np.zeros((1, 4096, 4096), np.uint16)
    data[0, 1001:1003, 2001:2003] = [[100, 110], [120, 130]]
    path = make_raster(data, nodata=0, tiled=True, compress="deflate", sparse_ok=True)
    stretch = stretch_of(path)
    assert 100 <= stretch.low[0] < stretch.high[0] <= 130


@pytest.mark.parametrize("overviews", [None, [2, 4]])
def test_a_large_scene(make_raster: MakeRaster, monkeypatch: pytest.MonkeyPatch, overviews: list[int] | None) -> None:
    """Without overviews patches are read, with them the whole is decimated: about the same ends."""
    monkeypatch.setattr(module, "DECIMATE_UP_TO", 1_000_000)
    monkeypatch.setattr(module, "SIDES", (512, 1024))
    ramp = np.add.outer(np.arange(1500), np.arange(1300)).astype(np.uint16)[None]
    path = make_raster(ramp, overviews=overviews)
    with open_scene(path) as scene:
        windows = list(module.sample_windows(scene.dataset, 512))
    read = sum(h * w for _, (h, w) in windows)
    assert read <= 512 * 512
    patched = overviews is None
    assert (windows[0][0].width, windows[0][0].height) == ((64, 64) if patched else (1300, 187))
    centres = [(w.row_off + w.height / 2, w.col_off + w.width / 2) for w, _ in windows]
    assert np.mean(centres, axis=0) == pytest.approx((750, 650), abs=1)
    stretch = stretch_of(path)
    assert [*stretch.low, *stretch.high] == pytest.approx(np.percentile(ramp, (2, 98)), abs=60)


@pytest.mark.shared
def test_damaged_blocks(scenes: Path) -> None:
    """A damaged part costs its strip only."""
    with open_scene(str(scenes / "corrupt.tif")) as scene:
        spec = parse_stretch("p2,p98")
        assert compute_stretch(scene.dataset, choose_bands(scene.info), spec).kind == "percentile"


def test_nothing_can_be_read(make_raster: MakeRaster) -> None:
    """A file whose pixels are cut off is an error, since no stretch can be told."""
    path = make_raster(np.ones((1, 64, 64), np.uint16))
    with open_scene(path) as scene:
        start = int(scene.dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
    Path(path).write_bytes(Path(path).read_bytes()[:start])
    with pytest.raises(ReadError, match="cannot read") as caught:
        stretch_of(path)
    assert "gdalinfo" in str(caught.value.hint)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "kind"),
    [("naip_2014.tif", "none"), ("palette_large.tif", "none"), ("landsat_uint16_border.tif", "percentile")],
)
def test_real_scenes(scenes: Path, name: str, kind: str) -> None:
    """Real files."""
    assert stretch_of(str(scenes / name)).kind == kind
