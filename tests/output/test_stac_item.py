"""The STAC item of a layer: valid, and its classes, colours and footprint are those of the layer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pystac
import pytest
import shapely
from affine import Affine
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.stac_object import STACObjectType
from pystac.validation import JsonSchemaSTACValidator
from rasterio.crs import CRS

from bimors_cli.errors import OutputExistsError
from bimors_cli.labels import Labels
from bimors_cli.output.palette import colours
from bimors_cli.output.stac_item import StacLayer, StacRaster, bbox, classes, stac_item, write_stac_item

LABELS = Labels.of(["bare land", "bare/land", "no_label", "湖", "川", "class_4"])


def layer(folder: Path, **fields: Any) -> StacLayer:
    spec = StacLayer(
        path=folder / "out map.gpkg",
        format="GPKG",
        layer="tiles",
        crs=CRS.from_epsg(32618),
        footprint=shapely.box(-75, 41, -74, 42),
        labels=LABELS,
        acquired=("2024-06-01T10:00:00Z",),
        created="2026-01-01T00:00:00Z",
        lineage="Tiles of scene.tif.",
        raster=StacRaster(folder / "sub" / "labels.tif", CRS.from_epsg(32618), Affine(5, 0, 1, 0, -5, 2), (3, 4)),
    )
    return replace(spec, **fields)


def checked(item: dict[str, Any]) -> pystac.Item:
    """Return an item that the core schema and pystac's own extensions accept."""
    plain = json.loads(json.dumps(item))
    JsonSchemaSTACValidator().validate_core(plain, STACObjectType.ITEM, "1.1.0")
    return pystac.Item.from_dict(plain)


def test_it_is_valid_and_says_what_the_layer_holds(tmp_path: Path) -> None:
    item = checked(stac_item(layer(tmp_path, sources=(str(tmp_path.parent / "item.json"), "https://host/i.json"))))
    assert [link.href for link in item.links] == ["../item.json", "https://host/i.json"]
    assert {key: asset.href for key, asset in item.assets.items()} == {
        "layer": "./out%20map.gpkg",
        "labels": "./sub/labels.tif",
    }
    found = ClassificationExtension.ext(item.assets["layer"]).classes or []
    assert [(one.value, one.title) for one in found] == list(enumerate(LABELS.names, 1))
    assert [f"#{one.color_hint}".lower() for one in found] == [colour.lower() for colour in colours(LABELS)]
    assert ProjectionExtension.ext(item.assets["labels"]).code == "EPSG:32618"
    bands = item.assets["labels"].to_dict()["bands"]
    assert bands[0]["classification:classes"][0] | {} == {
        "value": 0, "name": "no_label", "title": "no label", "color_hint": bands[0]["classification:classes"][0]
        ["color_hint"], "nodata": True,
    }  # fmt: skip
    assert bands[1]["raster:scale"] == 1e-4
    assert item.assets["labels"].media_type == pystac.MediaType.COG


def test_names_of_classes_are_unique_and_plain() -> None:
    names = [one["name"] for one in classes(LABELS, no_label=True)]
    assert names == ["no_label", "bare_land", "bare_land_2", "no_label_3", "class_4", "class_5", "class_4_6"]


@pytest.mark.parametrize(
    ("acquired", "expected"),
    [
        ((), {"datetime": "2026-01-01T00:00:00Z"}),
        (("2024-06-01T10:00:00Z",), {"datetime": "2024-06-01T10:00:00Z"}),
        (("2023-06-01T10:00:00Z", "2024-06-01T10:00:00Z"),
         {"datetime": None, "start_datetime": "2023-06-01T10:00:00Z", "end_datetime": "2024-06-01T10:00:00Z"}),
    ],
)  # fmt: skip
def test_times(tmp_path: Path, acquired: tuple[str, ...], expected: dict[str, Any]) -> None:
    item = stac_item(layer(tmp_path, acquired=acquired, raster=None))
    checked(item)
    assert {key: item["properties"].get(key) for key in expected} == expected
    assert ("description" in item["properties"]) == (not acquired)
    assert not any("raster" in extension for extension in item["stac_extensions"])


def test_a_crs_without_a_code_is_written_as_wkt2(tmp_path: Path) -> None:
    crs = CRS.from_proj4("+proj=laea +lat_0=12 +lon_0=34 +datum=WGS84")
    asset = stac_item(layer(tmp_path, crs=crs))["assets"]["layer"]
    assert asset["proj:code"] is None and asset["proj:wkt2"].startswith("PROJCRS")


def test_bbox_across_the_antimeridian() -> None:
    """West is larger than east; boxes on one side are plain ones."""
    across = shapely.MultiPolygon([shapely.box(178, -20, 180, -19), shapely.box(-180, -20, -179, -18)])
    assert bbox(across) == [178, -20, -179, -18]
    assert bbox(shapely.MultiPolygon([shapely.box(1, 2, 3, 4), shapely.box(5, 2, 6, 5)])) == [1, 2, 6, 5]
    assert bbox(shapely.box(-180, -90, 180, 90)) == [-180, -90, 180, 90]


def test_it_replaces_only_when_asked(tmp_path: Path) -> None:
    spec = layer(tmp_path)
    path = write_stac_item(spec, overwrite=False)
    assert path.name == "out map.stac.json" and json.loads(path.read_text(encoding="utf-8"))["id"] == "out map"
    with pytest.raises(OutputExistsError):
        write_stac_item(spec, overwrite=False)
    write_stac_item(spec, overwrite=True)
