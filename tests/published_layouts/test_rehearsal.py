"""Every bundle of the catalog, from the hub to a map without a network, with small files of its published layout."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from typer.testing import CliRunner

from bimors_cli.bundle.catalog import CatalogEntry, entries, entry_of
from bimors_cli.cli.main import app
from bimors_cli.model.pickle_to_safetensors import convert as convert_here
from bimors_cli.pipeline.bundles import to_fetch
from tests.bundle.hub_server import Hub
from tests.published_layouts.published import ZIPS, Published, as_catalog, published, use_hub

TILE = 32
LABELS = "pond\nfarmland\nforest\n"


@pytest.fixture(params=[entry.name for entry in entries()])
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def world(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Published]:
    """A machine with a network, on which nothing is installed. Pickles are converted in this process."""
    monkeypatch.setenv("BIMORS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(to_fetch, "pickle_to_safetensors", convert_here)
    with published(name) as served, as_catalog(served.content):
        use_hub(served.hub, monkeypatch)
        yield served


@pytest.fixture
def scene(make_raster: Any, tmp_path: Path) -> str:
    """Eight tiles, half of them dark and half of them bright, with a polygon of examples on each half."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(1, 90, (3, 2 * TILE, 4 * TILE))
    pixels[:, :, 2 * TILE :] += 150
    path: str = make_raster(pixels.astype(np.uint8))
    left, top, side = 500_000, 4_600_000, 2 * TILE * 10
    boxes = [shapely.box(left + i * side, top - side, left + (i + 1) * side, top) for i in (0, 1)]
    gpd.GeoDataFrame({"class": ["pond", "farmland"]}, geometry=boxes, crs=32618).to_file(tmp_path / "train.gpkg")
    (tmp_path / "labels.txt").write_text(LABELS)
    return path


def bimors(*args: object) -> str:
    result = CliRunner().invoke(app, [*map(str, args)])
    assert result.exit_code == 0, (args, result.stderr, result.exception)
    return result.stdout.strip()


def rows(path: str) -> gpd.GeoDataFrame:
    return gpd.read_file(path, layer="tiles").drop(columns="geometry")


@contextlib.contextmanager
def no_network() -> Iterator[None]:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was tried")

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, name, refuse)
        yield


def test_from_the_hub_to_a_map_without_a_network(name: str, world: Published, scene: str, tmp_path: Path) -> None:
    bimors("models", "fetch", name)
    check_downloads(entry_of(name), world.hub)
    bimors("models", "verify", name)

    on = ("--model", name, "--tile-size", TILE)
    labels = ("-l", "labels.txt", "--probabilities", "--captions", "all", "--head", "zero-shot")
    with no_network():
        bimors("classify", scene, *labels, *on, "-o", "first.gpkg")
        check_answers(rows("first.gpkg"))
        bimors("finetune", scene, "--polygons", "train.gpkg", "--field", "class", *on, "-o", "views", "--head", "auto")
        bimors(
            "finetune", scene, "--polygons", "train.gpkg", "--field", "class", *on,
            "-o", "learned", "--head", "bimors", "--epochs", 1,
        )  # fmt: skip
        for adapter in ("views", "learned"):
            bimors("classify", scene, "-l", "labels.txt", "--adapter", adapter, *on, "-o", f"{adapter}.gpkg")
            assert rows(f"{adapter}.gpkg")["label"].notna().all()

        bimors("models", "pack", name, "-o", "packed.zip")
        bimors("models", "remove", name)
        bimors("models", "unpack", "packed.zip")
        bimors("models", "verify", name)
        bimors("classify", scene, *labels, *on, "--offline", "-o", "again.gpkg", "--no-caption-cache")
        assert rows("again.gpkg").equals(rows("first.gpkg"))


def check_downloads(entry: CatalogEntry, hub: Hub) -> None:
    """Every file of the catalog was downloaded once, with the optional ones that are there, and nothing else."""
    wanted = []
    for source in entry.parts.values():
        if source.repository is None:
            wanted += [f"{ZIPS}{file.path}" for file in source.files]
            continue
        there = [path for path in source.optional if path in hub.repositories[source.repository]]
        for path in [*(file.path for file in source.files), *there]:
            wanted.append(f"/{source.repository}/resolve/{source.revision}/{path}")
    assert sorted(path for path, _ in hub.downloads()) == sorted(wanted)


def check_answers(found: gpd.GeoDataFrame) -> None:
    names = [f"p_{name}" for name in LABELS.split()]
    assert len(found) == 8 and np.allclose(found[names].sum(axis=1), 1, atol=1e-4)
    assert found["caption"].notna().all()
    assert found[names].drop_duplicates().shape[0] == 8  # tiles differ, and so do their answers
