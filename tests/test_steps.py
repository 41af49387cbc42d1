"""Commands that take seconds on a large layer or bundle show their steps."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import torch

import bimors_cli
from bimors_cli.bundle.archive import pack_bundle, unpack_bundle
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.options.restore import RestoreOptions
from bimors_cli.options.search import SearchOptions
from bimors_cli.pipeline.inference.load import load_models
from bimors_cli.steps import _Steps
from tests.conftest import MakeRaster
from tests.layers import MakeLayer, make_layer
from tests.results.test_suggest import with_features

__all__ = ["make_layer"]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps that were shown, in the order in which they began."""
    shown: list[str] = []

    @contextmanager
    def note(text: str) -> Iterator[None]:
        shown.append(text)
        yield

    monkeypatch.setattr(_Steps, "show", staticmethod(note))
    return shown


@pytest.fixture
def scene(make_raster: MakeRaster) -> str:
    return make_raster(np.random.default_rng(0).integers(1, 255, (3, 80, 80), dtype=np.uint8))


@pytest.fixture
def layer(scene: str, make_layer: MakeLayer) -> Path:
    return make_layer(scene, tile_size="8", probabilities=False)


def test_tiles(scene: str, tmp_path: Path, steps: list[str]) -> None:
    bimors_cli.tiles(scene, tmp_path / "t.gpkg")
    assert steps == ["opening the scenes", "writing t.gpkg"]


def test_sample(layer: Path, tmp_path: Path, steps: list[str]) -> None:
    bimors_cli.sample(layer, tmp_path / "s.gpkg")
    assert steps == ["reading out.gpkg", "drawing the tiles", "writing s.gpkg"]


def test_suggest_and_search(layer: Path, tmp_path: Path, steps: list[str]) -> None:
    with_features(layer)
    bimors_cli.suggest(layer, tmp_path / "s.gpkg")
    assert steps == ["reading out.gpkg", "finding the tiles of the examples", "choosing the tiles to label"]
    steps.clear()
    first = str(pyogrio.read_dataframe(layer, layer="tiles", max_features=1)["tile_id"][0])
    bimors_cli.search(layer, None, SearchOptions(like=(first,)))
    assert steps == ["reading the features of out.gpkg", "comparing the tiles of out.gpkg"]


def test_restore(layer: Path, tmp_path: Path, steps: list[str]) -> None:
    copy = tmp_path / "copy.geojson"
    pyogrio.write_dataframe(pyogrio.read_dataframe(layer, layer="tiles").to_crs(4326), copy)
    bimors_cli.restore(copy, layer, tmp_path / "r.gpkg", RestoreOptions())
    assert steps == [
        "reading out.gpkg",
        "finding the tiles of the copy",
        "comparing the copy with out.gpkg",
        "writing r.gpkg",
    ]


def test_preview(layer: Path, scene: str, steps: list[str]) -> None:
    path = bimors_cli.preview(layer)
    assert steps == ["reading out.gpkg", f"reading {Path(scene).name}", f"drawing {path.name}", f"writing {path.name}"]


def test_assess(layer: Path, tmp_path: Path, steps: list[str]) -> None:
    frame = pyogrio.read_dataframe(layer, layer="tiles", columns=["label"])
    pyogrio.write_dataframe(frame.dropna(), tmp_path / "reference.gpkg")
    bimors_cli.assess(layer, tmp_path / "reference.gpkg", "label")
    assert steps[:3] == ["reading out.gpkg", "reading the reference", "finding the tiles of the reference"]


def test_pack_and_unpack(tiny_bundle: Bundle, tmp_path: Path, steps: list[str]) -> None:
    verify = [f"verifying the files of {tiny_bundle.name}", f"checking the weights of {tiny_bundle.name}"]
    packed = tmp_path / "b.zip"
    pack_bundle(tiny_bundle.folder, packed)
    assert steps == [*verify, f"packing {tiny_bundle.name}"] and zipfile.is_zipfile(packed)
    steps.clear()
    unpack_bundle(packed, tmp_path / "b")
    assert steps == ["unpacking b.zip", *verify]


def test_change(scene: str, make_layer: MakeLayer, tmp_path: Path, steps: list[str]) -> None:
    def answer(index: int) -> dict[str, object]:
        shares = np.random.default_rng(index).dirichlet(np.ones(3)).round(4).tolist()
        ranking = tuple(sorted(enumerate(shares), key=lambda one: -one[1]))
        return {"ranking": ranking[:1], "probabilities": tuple(shares)}

    before, after = (
        make_layer(scene, name=f"{name}.gpkg", answer=answer, tile_size="8", probabilities=True)
        for name in ("before", "after")
    )
    steps.clear()
    bimors_cli.change(before, after, tmp_path / "c.gpkg")
    assert steps == [
        "reading before.gpkg",
        "reading after.gpkg",
        "comparing before.gpkg and after.gpkg",
        "computing the probabilities of change",
        "writing c.gpkg",
    ]


def test_the_captioner_loads_at_the_first_image_that_needs_it(tiny_bundle: Bundle, steps: list[str]) -> None:
    models = load_models(tiny_bundle, "cpu")
    assert "loading the captioner" not in steps
    steps.clear()
    for _ in range(2):
        models.caption(torch.zeros((1, 3, 32, 32), dtype=torch.uint8))
    assert steps == ["loading the captioner"]
