"""STAC items as scenes: the pixels are those of the assets, and what cannot be used says so."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.cli.command import refuse_remote
from bimors_cli.errors import InputError, SceneError
from bimors_cli.provenance import lasting_path
from bimors_cli.scene.acquired import acquired
from bimors_cli.scene.bands import choose_bands
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.raster import open_scene
from bimors_cli.scene.read import SceneReader
from bimors_cli.scene.stac_item import read_item
from bimors_cli.scene.stretch import Stretch
from tests.conftest import NORTH_UP, MakeRaster

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 40, 50), dtype=np.uint8)
COLOURS = ("red", "green", "blue")


def asset(href: str, *names: str, roles: tuple[str, ...] = ("data",), **fields: Any) -> dict[str, Any]:
    bands = {"eo:bands": [{"name": f"B{name}", "common_name": name} for name in names]} if names else {}
    return {"href": href, "type": COG, "roles": list(roles), **bands, **fields}


def write_item(path: Path, assets: dict[str, Any], **fields: Any) -> str:
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "S2A/2024 06",
        "geometry": None,
        "properties": {"datetime": "2024-06-01T10:00:00Z"},
        "links": [],
        "assets": assets,
        **fields,
    }
    path.write_text(json.dumps(item))
    return str(path)


@pytest.fixture
def item(make_raster: MakeRaster, tmp_path: Path) -> str:
    """An item of a colour image, its three bands, one of another pixel size, and a thumbnail."""
    make_raster(PIXELS, name="visual.tif", photometric="RGB")
    for name, band in zip(COLOURS, PIXELS, strict=True):
        make_raster(band[None], name=f"{name} band.tif")
    make_raster(PIXELS[:1, ::2, ::2], name="swir.tif", transform=NORTH_UP @ Affine.scale(2))
    return write_item(
        tmp_path / "item.json",
        {
            "visual": asset("./visual.tif", roles=("visual",)),
            "B04": asset("red%20band.tif", "red", **{"raster:bands": [{"nodata": 7, "scale": 1e-4, "offset": -0.1}]}),
            "B03": asset(str(tmp_path / "green band.tif"), "green"),
            "B02": asset((tmp_path / "blue band.tif").as_uri(), "blue"),
            "B11": asset("swir.tif", "swir16"),
            "thumbnail": {"href": "t.jpg", "type": "image/jpeg", "roles": ["thumbnail"]},
        },
    )


def refusal(path: str, *names: str) -> tuple[str, str]:
    with pytest.raises(InputError) as caught, open_scene(path, asset=names):
        pass
    message, hint = caught.value.message, caught.value.hint or ""
    assert hint and "\n" not in message + hint
    return message, hint


@pytest.mark.parametrize("names", [("visual",), COLOURS, ("B04", "green", "B02")])
def test_the_pixels_are_those_of_the_assets(item: str, names: tuple[str, ...]) -> None:
    with open_scene(item, asset=names) as scene:
        np.testing.assert_array_equal(scene.dataset.read(), PIXELS)
        info = scene.info
    assert choose_bands(info).indexes == (1, 2, 3) and info.band_names == COLOURS
    assert (info.crs.to_epsg(), info.transform) == (32618, NORTH_UP)
    assert info.acquired == "2024-06-01T10:00:00Z"
    assert info.stem == "S2A_2024_06_" + ("visual" if names == ("visual",) else "B04-B03-B02")
    assert info.name == "item.json:" + ("visual" if names == ("visual",) else "B04,B03,B02")


def test_it_is_opened_again_by_its_name_and_by_a_reader_elsewhere(
    item: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path, as a user gives it; the layer records a lasting one, and a worker gets a pickle."""
    monkeypatch.chdir(tmp_path)
    with open_scene("item.json", asset=("red", "green", "blue")) as scene:
        info = scene.info
    lasting = lasting_path(info.path)
    assert lasting == f'STAC:"{item}":B04,B03,B02'
    monkeypatch.chdir("/")
    with open_scene(lasting) as again:
        assert (again.info.stem, again.info.name) == (info.stem, info.name)
        assert (again.info.size_bytes, again.info.mtime_ns) == (info.size_bytes, info.mtime_ns)
        np.testing.assert_array_equal(again.dataset.read(), PIXELS)
    there = pickle.loads(pickle.dumps(info))
    grid = Grid(50, 40, 50, 40, 50, 40)
    with SceneReader(there, grid, choose_bands(there), Stretch("none", (), ())) as reader:
        reader.reopen()
        np.testing.assert_array_equal(reader.dataset.read(), PIXELS)
        assert not reader.is_remote


def test_nodata_of_the_item_is_for_files_without(item: str, make_raster: MakeRaster, tmp_path: Path) -> None:
    with open_scene(item, asset=("red",)) as scene:
        assert (scene.info.nodata, scene.info.mask) == ((7.0,), "nodata")
        np.testing.assert_array_equal(scene.dataset.dataset_mask() > 0, PIXELS[0] != 7)
        assert (scene.info.scales, scene.info.offsets) == ((1.0,), (0.0,))  # they are shown only
        assert scene.info.stac is not None and scene.info.stac.bands[0].scale == 1e-4
    make_raster(PIXELS[:1], name="own.tif", nodata=3)
    make_raster(PIXELS[:1], name="masked.tif", mask=PIXELS[0] > 9)
    for name, value, expected in (("own.tif", 7, 3), ("masked.tif", 7, None), ("visual.tif", -9999, None)):
        path = write_item(tmp_path / "other.json", {"one": asset(name, nodata=value)})
        with open_scene(path) as scene:
            assert scene.info.nodata[0] == expected, name
    with open_scene(write_item(tmp_path / "other.json", {"one": asset("masked.tif", nodata=7)})) as scene:
        np.testing.assert_array_equal(scene.dataset.dataset_mask() > 0, PIXELS[0] > 9)


def test_an_item_edited_is_another_scene(item: str) -> None:
    """What the resume key records of a file changes with the item."""
    with open_scene(item, asset=("red",)) as scene:
        before = scene.info.size_bytes
    text = Path(item).read_text()
    Path(item).write_text(text.replace('"nodata": 7', '"nodata": 17'))
    with open_scene(item, asset=("red",)) as scene:
        assert scene.info.size_bytes != before


def test_the_only_raster_needs_no_name(make_raster: MakeRaster, tmp_path: Path) -> None:
    make_raster(PIXELS)
    assets = {
        "data": asset("scene.tif"),
        "preview": asset("preview.tif", roles=("overview",)),
        "meta": {"href": "m.xml"},
    }
    with open_scene(write_item(tmp_path / "item.json", assets)) as scene:
        assert scene.info.path.endswith(":data")


def test_refusals(item: str, tmp_path: Path, make_raster: MakeRaster) -> None:
    message, hint = refusal(item, "nir")
    assert "nir" in message and "B04 (data)" in hint and "thumbnail (thumbnail)" in hint
    message, hint = refusal(item)
    assert "5 raster assets" in message and "--asset" in hint and "visual (visual)" in hint
    message, hint = refusal(item, "red", "swir16")
    assert "50 x 40" in message and "25 x 20" in message and "gdalbuildvrt -separate" in hint and "swir.tif" in hint
    message, hint = refusal(item, "thumbnail")
    assert "not found" in message and str(tmp_path / "t.jpg") in hint
    assert "leave out --asset" in refusal(make_raster(PIXELS), "red")[1]
    two = {"a": asset("visual.tif", "red"), "b": asset("visual.tif", "red"), "c": asset("ftp://host/x.tif")}
    path = write_item(tmp_path / "two.json", two)
    assert "a, b" in refusal(path, "red")[1]
    assert "ftp://host/x.tif" in refusal(path, "c")[0]
    make_raster(PIXELS[:1], name="masked.tif", mask=PIXELS[0] > 9)
    path = write_item(tmp_path / "two.json", {"a": asset("red band.tif"), "b": asset("masked.tif")})
    assert "mask" in refusal(path, "a", "b")[0]
    shifted = make_raster(PIXELS[:1], name="shifted.tif", transform=NORTH_UP @ Affine.translation(0.5, 0))
    path = write_item(tmp_path / "two.json", {"a": asset("red band.tif"), "b": asset(shifted)})
    assert "different grids" in refusal(path, "a", "b")[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"type": "Collection", "stac_version": "1.0.0"}, "Collection"),
        ({"stac_version": "0.9.0", "extent": {}}, "Collection"),
        ({"type": "Catalog", "stac_version": "1.1.0"}, "Catalog"),
        ({"type": "FeatureCollection", "features": [{"stac_version": "1.0.0"}]}, "ItemCollection"),
        ({"type": "FeatureCollection", "features": []}, "GeoJSON layer"),
        ({"type": "Feature", "properties": {}}, "neither a STAC item nor a raster"),
        ({"type": "Feature", "stac_version": "1.0.0", "id": "x"}, "without assets"),
        ([1], "neither"),
        (None, "neither"),
        ("{", "not valid JSON"),
    ],
)
def test_what_is_no_item(content: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("{" if content == "{" else json.dumps(content))
    assert said in refusal(str(path))[0]


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ("type", "stac_version", "id", "assets", "properties", "href", "bands", "eo:bands", "raster:bands",
                 "nodata", "roles", "features", "datetime")
            ),
            inner | st.sampled_from(("Feature", "FeatureCollection", "1.0.0", "nan")),
            max_size=6,
        ),
        max_leaves=12,
    )
)  # fmt: skip
def test_any_json_is_an_item_or_refused(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    item = {"type": "Feature", "stac_version": "1.0.0", "id": "x", "assets": {"a": content, "b": {"href": "x"}}}
    for whole in (content, item, {**item, "properties": content}, {**item, "assets": content}):
        path.write_text(json.dumps(whole))
        try:
            assert read_item(str(path)).id
        except SceneError as error:
            assert error.hint


def test_bands_of_stac_1_1(tmp_path: Path) -> None:
    bands = [{"name": "B1", "eo:common_name": "red", "nodata": "nan"}, {"name": "B2", "raster:scale": 2}]
    found = read_item(write_item(tmp_path / "i.json", {"a": {"href": "x.tif", "nodata": 5, "bands": bands}})).assets[
        "a"
    ]
    assert [band.common_name for band in found.bands] == ["red", None]
    assert np.isnan(found.bands[0].nodata or 0) and (found.bands[1].nodata, found.bands[1].scale) == (5, 2)
    assert found.is_raster


def test_a_local_file_that_an_item_on_a_server_names_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = write_item(
        tmp_path / "i.json", {"a": asset("file:///etc/x.tif"), "b": asset("../b.tif"), "c": asset("/d.tif")}
    )
    content = Path(path).read_bytes()
    monkeypatch.setattr("bimors_cli.scene.stac_item._fetch", lambda url: content)
    item = read_item("https://host/x/y/i.json?sig=secret")
    assert item.source(item.assets["b"]) == "https://host/x/b.tif"
    assert item.source(item.assets["c"]) == "https://host/d.tif"
    with pytest.raises(SceneError, match="cannot be read") as caught:
        item.source(item.assets["a"])
    assert "secret" not in caught.value.message


def test_offline(item: str, tmp_path: Path) -> None:
    """An item whose chosen asset is here is allowed; a server's item or asset is not."""
    refuse_remote((item,), ("red",))
    refuse_remote((f'STAC:"{item}":visual',))
    mixed = write_item(tmp_path / "mixed.json", {"a": asset("https://host/a.tif"), "b": asset("visual.tif")})
    refuse_remote((mixed,), ("b",))
    for path, names in ((mixed, ("a",)), ("https://host/item.json", ()), (f'STAC:"{mixed}":a', ())):
        with pytest.raises(InputError, match="--offline"):
            refuse_remote((path,), names)
    (tmp_path / "split.json").write_text('{"train": []}')
    refuse_remote((str(tmp_path / "split.json"),))  # a file of finetune, no scene


@pytest.mark.parametrize(
    ("tags", "imagery", "time"),
    [
        ({"TIFFTAG_DATETIME": "2019:05:02 10:11:12"}, {}, "2019-05-02T10:11:12Z"),
        ({"TIFFTAG_DATETIME": "2019:05:02 10:11:12"}, {"ACQUISITIONDATETIME": "2018-01-01T00:00:00+02:00"},
         "2017-12-31T22:00:00Z"),
        ({"TIFFTAG_DATETIME": "0000:00:00 00:00:00"}, {}, None),
        ({}, {}, None),
    ],
)  # fmt: skip
def test_acquired(tags: dict[str, str], imagery: dict[str, str], time: str | None) -> None:
    assert acquired(tags, imagery) == time
