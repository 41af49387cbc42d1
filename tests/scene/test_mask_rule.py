"""Which mask decides where a file has several, and what an ignored alpha band is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from bimors_cli.scene.bands import Bands, choose_bands, data_indexes
from bimors_cli.scene.mask import mask_rule, parse_nodata
from bimors_cli.scene.raster import open_scene
from bimors_cli.scene.stretch import compute_stretch, parse_stretch
from tests.conftest import MakeRaster
from tests.scene.masking import in_words, sources_and_fraction
from tests.scene.reading import rgb

RGBA = ["red", "green", "blue", "alpha"]
OPAQUE = np.repeat([[0], [255], [255], [255]], 4, axis=1).astype(np.uint8)


def decided(path: str, nodata: str | None = None, *, masks: bool = True) -> tuple[list[str], float]:
    """Return what decides, and the fraction of valid pixels."""
    found, fraction = sources_and_fraction(path, nodata, masks=masks)
    return in_words(found), fraction


def test_alpha_and_nodata_both_apply(make_raster: MakeRaster) -> None:
    data = np.concatenate([rgb(4, 4), OPAQUE[None]])
    data[:3, 1] = 0
    path = make_raster(data, colorinterp=RGBA, nodata=0)
    alpha, tag = "band 4 (alpha)", "nodata value 0 of the file"
    assert decided(path) == ([alpha, tag], 0.5)
    assert decided(path, "none") == ([alpha, f"{tag}: --nodata none"], 0.75)
    assert decided(path, masks=False) == ([tag, f"{alpha}: --ignore-mask"], 0.75)
    assert decided(path, "none", masks=False) == ([f"{alpha}: --ignore-mask", f"{tag}: --nodata none"], 1)


@pytest.mark.parametrize("internal", [True, False])
def test_a_mask_band_takes_precedence_over_a_tag(make_raster: MakeRaster, internal: bool) -> None:
    data = rgb(4, 4)
    data[:, 1] = 7
    path = make_raster(data, nodata=7)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(OPAQUE > 0)
    name = "internal mask" if internal else f"mask file {Path(path).name}.msk"
    tag = "nodata value 7 of the file"
    with rasterio.open(path) as dataset:
        assert np.mean(dataset.read_masks(1) > 0) == 0.75  # GDAL's own choice
    assert decided(path) == ([name, f"{tag}: the {name} takes precedence"], 0.75)
    given = [name, "nodata value 7 of --nodata", f"{tag}: --nodata takes precedence"]
    assert decided(path, "7") == (given, 0.5)
    assert decided(path, "none") == ([name, f"{tag}: --nodata none"], 0.75)
    assert decided(path, masks=False) == ([tag, f"{name}: --ignore-mask"], 0.75)


def test_nodata_values(make_raster: MakeRaster) -> None:
    data = rgb(4, 4)
    data[:, 0] = 0
    path = make_raster(data)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(NODATA_VALUES="0 0 0")
    assert decided(path) == decided(path, masks=False) == (["tag NODATA_VALUES (0 0 0)"], 0.75)
    assert decided(path, "none") == (["tag NODATA_VALUES (0 0 0): --nodata none"], 1)


def test_tags_of_some_bands(make_raster: MakeRaster, tmp_path: Path) -> None:
    path = str(tmp_path / "bands.vrt")
    with rasterio.open(make_raster(rgb(4, 4))) as dataset:
        rasterio.shutil.copy(dataset, path, driver="VRT")
    text = Path(path).read_text()
    Path(path).write_text(text.replace('band="2">', 'band="2"><NoDataValue>3</NoDataValue>'))
    with rasterio.open(path) as dataset:
        assert mask_rule(dataset, Bands((1, 2, 3)), parse_nodata(None)).values == (None, 3, None)
    reason = "band 1 has none, and a pixel is nodata in all bands or in none"
    assert decided(path) == ([f"nodata value 3 of the file: {reason}"], 1)


def test_floats_and_palettes(make_raster: MakeRaster) -> None:
    data = np.ones((1, 4, 4), np.float32)
    data[0, 0] = np.nan
    nan = "NaN and infinite values"
    assert decided(make_raster(data)) == ([nan], 0.75)
    assert decided(make_raster(data, nodata=-9999)) == (["nodata value -9999 of the file", nan], 0.75)
    index = np.ones((1, 4, 4), np.uint8)
    index[0, 0] = 2
    palette = {1: (9, 9, 9, 255), 2: (0, 0, 0, 0)}
    assert decided(make_raster(index, palette=palette, nodata=2)) == (
        ["nodata value 2 of the file", "transparent colours of the palette"],
        0.75,
    )


def test_an_ignored_alpha_band_is_data(make_raster: MakeRaster) -> None:
    path = make_raster(rgb(4, 4)[[0, 1, 2, 0]], colorinterp=RGBA)
    with open_scene(path) as scene:
        assert data_indexes(scene.info) == (1, 2, 3)
    with open_scene(path, ignore_alpha=True) as scene:
        assert data_indexes(scene.info) == (1, 2, 3, 4) and choose_bands(scene.info) == Bands((1, 2, 3))


def test_nodata_of_one_band_does_not_stretch_it(make_raster: MakeRaster) -> None:
    data = np.random.default_rng(0).integers(100, 200, (3, 32, 32)).astype(np.float32)
    data[1, :8] = -9999
    with open_scene(make_raster(data, nodata=-9999)) as scene:
        stretch = compute_stretch(scene.dataset, Bands((1, 2, 3)), parse_stretch("auto"))
    assert min(stretch.low) >= 100
