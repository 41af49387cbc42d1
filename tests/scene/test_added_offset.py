"""Values of Sentinel-2 that are shifted since processing baseline 04.00."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import rasterio

from bimors_cli.pipeline.added_offsets import warn_of_added_offset
from bimors_cli.scene.added_offset import added_offset
from bimors_cli.scene.raster import SceneInfo, scene_info
from tests.conftest import MakeRaster

NEW = "S2A_MSIL2A_20230101T101010_N0509_R022_T32TQM_20230101T120000.tif"
OLD = "S2A_MSIL2A_20200101T101010_N0213_R022_T32TQM_20200101T120000.tif"


def info_of(make_raster: MakeRaster, name: str, offset: float = 0, **tags: str) -> SceneInfo:
    path = make_raster(np.ones((3, 4, 4), np.uint16), name=name)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(**tags)
        if offset:
            dataset.offsets = (offset,) * 3
    return scene_info(path)


def test_what_says_it(make_raster: MakeRaster) -> None:
    assert added_offset(info_of(make_raster, NEW)) == (1000, "processing baseline 05.09")
    assert added_offset(info_of(make_raster, OLD)) == (0, "processing baseline 02.13")
    assert added_offset(info_of(make_raster, "a.tif", PRODUCT_URI=NEW.replace(".tif", ".SAFE"))) is not None
    tagged = info_of(make_raster, "S2B_x.tif", BOA_ADD_OFFSET="-1000")
    assert added_offset(tagged) == (1000, "tag BOA_ADD_OFFSET is -1000")
    assert added_offset(info_of(make_raster, "S2B_y.tif", PROCESSING_BASELINE="04.00")) == (
        1000,
        "processing baseline 04.00",
    )
    assert added_offset(info_of(make_raster, "S2B_z.tif")) is None
    assert added_offset(info_of(make_raster, "LC08_N0509.tif")) is None
    assert added_offset(info_of(make_raster, NEW, offset=-1000)) is None  # statistics of bands apply the tag


def test_warning(make_raster: MakeRaster, caplog: pytest.LogCaptureFixture) -> None:
    new, old, other = (info_of(make_raster, name) for name in (NEW, OLD, "a.tif"))
    with caplog.at_level(logging.WARNING, "bimors"):
        warn_of_added_offset([new, other], 1000, "the adapter a")
        warn_of_added_offset([new, old], None, "the adapter a")
        assert caplog.messages == []
        warn_of_added_offset([new, old], 0, "the adapter a")
        warn_of_added_offset([new, old], 1000, "the adapter a")
    assert [message.removeprefix("2 of 2 scenes, such as ") for message in caplog.messages] == [
        f"{NEW}: its bands have values that are 1000 higher than those of the adapter a (processing baseline 05.09); "
        "make them alike: gdal_edit.py -offset -1000 FILE",
        f"{OLD}: its bands have values that are 1000 lower than those of the adapter a (processing baseline 02.13); "
        "make them alike: gdal_edit.py -offset 1000 FILE",
    ]
