"""Every option either decides rows, and then is part of the resume key, or is declared to change none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import shapely

from bimors_cli.bundle.manifest import ADAPTER, Bundle
from bimors_cli.labels import Labels
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.options.inference import CaptionOptions
from bimors_cli.options.layer import TilesOptions
from bimors_cli.options.option import NO_EFFECT, RESOLVED, Options, RowKey, option_fields
from bimors_cli.options.priors import read_areas
from bimors_cli.pipeline.make_plan import make_plan
from tests.bundles import make_bundle, write_adapter
from tests.conftest import MakeRaster
from tests.pipeline.image_adapters import write_image_adapter

LABELS: Final = Labels.of(["forest", "river", "port"])
CLASSES: Final = (ClassifyOptions, CaptionOptions, TilesOptions)

# Of each option that decides rows another value than its default, as a function of a folder with files.
OTHER: Final[dict[str, Callable[[Path], Any]]] = {
    "scenes": lambda folder: (str(folder / "other.tif"),),
    "labels": lambda folder: Labels.of(["forest", "river"]),
    "format": lambda folder: "FlatGeobuf",
    "layer": lambda folder: "second",
    "aoi": lambda folder: str(folder / "aoi.geojson"),
    "aoi_rule": lambda folder: "any",
    "dst_crs": lambda folder: "EPSG:4326",
    "tile_size": lambda folder: "16",
    "overlap": lambda folder: "25%",
    "assume_crs": lambda folder: "EPSG:32633",
    "asset": lambda folder: ("second",),
    "bidx": lambda folder: (3, 2, 1),
    "stretch": lambda folder: "0,100",
    "nodata": lambda folder: "7",
    "ignore_mask": lambda folder: True,
    "min_valid": lambda folder: 0.25,
    "model": lambda folder: str(folder / "other-bundle"),
    "captioner": lambda folder: "blip-base",
    "keep_empty": lambda folder: True,
    "min_confidence": lambda folder: 0.5,
    "top_k": lambda folder: 3,
    "probabilities": lambda folder: True,
    "keep_features": lambda folder: True,
    "novelty": lambda folder: True,
    "unlike_examples": lambda folder: 0.1,
    "coverage": lambda folder: 0.8,
    "adapter": lambda folder: str(folder / "other-adapter"),
    "head": lambda folder: "zero-shot",
    "templates": lambda folder: ("a {} from space.",),
    "captions": lambda folder: "none",
    "doubtful_below": lambda folder: 0.25,
    "priors": lambda folder: read_areas(str(folder / "priors.csv")),
    "refine": lambda folder: "transductive",
    "vote": lambda folder: True,
}
# What another option needs beside it to be legal, or to have an effect.
NEEDS: Final[dict[str, dict[str, Any]]] = {
    "templates": {"head": "zero-shot"},
    "captioner": {"model": "bimors-b16"},  # both are installed in the folder of the test
    "vote": {"overlap": "50%"},
    "doubtful_below": {"head": "zero-shot", "captions": "doubtful"},
    "novelty": {"adapter": "views-adapter"},
    "unlike_examples": {"adapter": "views-adapter"},
    "coverage": {"adapter": "views-adapter"},
    "aoi_rule": {"aoi": "aoi.geojson"},
    "assume_crs": {"scenes": ("no_crs.tif",), "assume_crs": "EPSG:32618"},
    "asset": {"scenes": ("item.json",), "asset": ("first",)},
}


def decides_rows(cls: type[Options]) -> list[str]:
    return [f.name for f in option_fields(cls) if isinstance(f.option.rows, RowKey) or f.option.rows == RESOLVED]


@pytest.mark.parametrize("cls", CLASSES)
def test_every_option_says_whether_it_decides_rows(cls: type[Options]) -> None:
    silent = [f.name for f in option_fields(cls) if f.option.rows is None]
    assert silent == [], "declare rows=RowKey(...), RESOLVED or NO_EFFECT"
    assert all(isinstance(f.option.rows, RowKey) or f.option.rows in (RESOLVED, NO_EFFECT) for f in option_fields(cls))


@pytest.mark.parametrize("cls", CLASSES)
def test_every_field_is_an_option(cls: type[Options]) -> None:
    from dataclasses import fields

    assert {f.name for f in fields(cls)} == {f.name for f in option_fields(cls)}


def test_names_in_the_key_are_different() -> None:
    names = [f.option.rows.name for f in option_fields(ClassifyOptions) if isinstance(f.option.rows, RowKey)]
    assert len(names) == len(set(names))


def test_the_list_of_other_values_is_whole() -> None:
    assert set(OTHER) == set(decides_rows(ClassifyOptions))


@pytest.fixture(scope="module")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("other") / "other-bundle", seed=1).folder


@pytest.fixture(scope="module")
def adapters(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters")
    write_adapter(folder / "other-adapter", tiny_bundle, spread=0.1)
    write_image_adapter(folder / "views-adapter", tiny_bundle, LABELS.names)
    return folder


@pytest.fixture
def folder(make_raster: MakeRaster, tiny_bundle: Bundle, other_bundle: Path, adapters: Path, tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(1, 256, (3, 96, 96), dtype=np.uint8)
    for name in ("scene.tif", "other.tif"):
        make_raster(pixels, name=name)
    make_raster(pixels, name="no_crs.tif", crs=None)
    assets = {name: {"href": "scene.tif", "type": "image/tiff"} for name in ("first", "second")}
    item = {"type": "Feature", "stac_version": "1.1.0", "id": "item", "assets": assets}
    (tmp_path / "item.json").write_text(json.dumps(item))
    (tmp_path / "other-bundle").symlink_to(other_bundle)
    bundles = tmp_path / "home" / "bundles"
    bundles.mkdir(parents=True)
    (bundles / "bimors-b16").symlink_to(tiny_bundle.folder)
    (bundles / "bimors-b16+blip-base").symlink_to(other_bundle)
    (tmp_path / "priors.csv").write_text("name,area\nforest,70\nriver,10\nport,20\n")
    shutil.copytree(adapters, tmp_path, dirs_exist_ok=True)
    area = shapely.geometry.mapping(shapely.box(500_000, 4_599_500, 500_500, 4_600_000))
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32618"}}
    content = {
        "type": "FeatureCollection",
        "crs": crs,
        "features": [{"type": "Feature", "properties": {}, "geometry": area}],
    }
    (tmp_path / "aoi.geojson").write_text(json.dumps(content))
    assert tiny_bundle.part(ADAPTER).is_dir()
    return tmp_path


def key(options: ClassifyOptions) -> dict[str, Any]:
    return make_plan(options).run_key()


@pytest.mark.parametrize("name", OTHER)
def test_another_value_is_another_key(
    name: str, folder: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is resumed with another value would mix rows: it must be refused, so the keys must differ."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BIMORS_HOME", str(folder / "home"))
    start = ClassifyOptions(scenes=("scene.tif",), labels=LABELS, tile_size="32", model=str(tiny_bundle.folder))
    before = replace(start, **NEEDS.get(name, {}))
    assert key(before) == key(before)
    assert key(replace(before, **{name: OTHER[name](folder)})) != key(before)


@pytest.mark.parametrize(
    "other",
    [
        {"output": "elsewhere.gpkg"},
        {"overwrite": True},
        {"batch_size": 3},
        {"caption_cache": False},
        {"device": "cpu"},
        {"raster": "labels.tif", "raster_res": "scene"},
        {"shard": "1/2"},
        {"resume": True},
        {"allow_drivers": ("ERS",)},
    ],
    ids=lambda other: "+".join(other),
)
def test_what_changes_no_rows_changes_no_key(other: dict[str, Any], folder: Path, tiny_bundle: Bundle) -> None:
    fields = {f.name: f.option.rows for f in option_fields(ClassifyOptions)}
    assert all(fields[name] == NO_EFFECT for name in other)
    options = ClassifyOptions(
        scenes=(str(folder / "scene.tif"),), labels=LABELS, tile_size="32", model=str(tiny_bundle.folder)
    )
    assert key(replace(options, **other)) == key(options)
