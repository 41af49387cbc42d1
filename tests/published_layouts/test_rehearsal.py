"""Every bundle of the catalog, from the hub to a map without a network, with small files of its published layout."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from typer.testing import CliRunner

from bimors_cli.bundle.catalog import CatalogEntry, entries, entry_of
from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import CAPTIONER, Bundle, read_bundle
from bimors_cli.cli.main import app
from tests.bundle.hub_server import Hub
from tests.conftest import NORTH_UP
from tests.published_layouts.published import Published, as_catalog, convert_in_this_process, published, use_hub

TILE = 32
LABELS = "pond\nfarmland\nforest\n"
ALL = [entry.name for entry in entries()]
# Pickle, two shards and old names at once: the other bundles go the whole way in the slow tests.
QUICK = "georsclip-b32"


@pytest.fixture
def world(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Published]:
    """A machine with a network, on which nothing is installed. Pickles are converted in this process."""
    monkeypatch.setenv("BIMORS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    convert_in_this_process(monkeypatch)
    with published(name) as served, as_catalog(served.content):
        use_hub(served.hub, monkeypatch)
        yield served


def write_scene(name: str) -> Bundle:
    """Write scene.tif for an installed bundle: eight tiles, half of them dark and half bright; examples and labels."""
    bundle = read_bundle(find_bundle(name))
    shape = 2 * TILE, 4 * TILE
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (3 if bundle.bands is None else len(bundle.bands), *shape))
    score = noise + np.where(np.arange(shape[1]) < 2 * TILE, -1, 1)
    names = [None] * 3 if bundle.bands is None else bundle.bands.names
    if bundle.bands is None:
        pixels = (128 + 80 * score).astype(np.uint8)
    else:
        mean, std = (np.array(values)[:, None, None] for values in (bundle.bands.mean, bundle.bands.std))
        pixels = (mean + std * score).astype(np.float32)
    profile = {"width": shape[1], "height": shape[0], "count": len(pixels), "dtype": pixels.dtype, "crs": 32618}
    with rasterio.open("scene.tif", "w", driver="GTiff", transform=NORTH_UP, **profile) as target:
        target.write(pixels)
        for index, band in enumerate(names, 1):
            if band is not None:
                target.set_band_description(index, band)
    left, top, side = 500_000, 4_600_000, 2 * TILE * 10
    boxes = [shapely.box(left + i * side, top - side, left + (i + 1) * side, top) for i in (0, 1)]
    gpd.GeoDataFrame({"class": ["pond", "farmland"]}, geometry=boxes, crs=32618).to_file("train.gpkg")
    Path("labels.txt").write_text(LABELS)
    return bundle


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


@pytest.mark.parametrize("name", ALL)
def test_from_the_hub_to_a_map(name: str, world: Published) -> None:
    bimors("models", "fetch", name)
    check_downloads(entry_of(name), world.hub)
    bimors("models", "verify", name)
    bundle = write_scene(name)
    with no_network():
        classify(name, "map.gpkg")
    check_answers(rows("map.gpkg"), captions=bundle.has_part(CAPTIONER))


@pytest.mark.parametrize("name", [QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in ALL if n != QUICK)])
def test_examples_adapters_and_another_machine(name: str, world: Published) -> None:
    bimors("models", "fetch", name)
    bundle = write_scene(name)
    on = ("--model", name, "--tile-size", TILE)
    examples = ("scene.tif", "--polygons", "train.gpkg", "--field", "class", *on)
    with no_network():
        for head in heads(bundle):
            bimors("finetune", *examples, "-o", head[0], "--head", *head)
            bimors("classify", "scene.tif", "-l", "labels.txt", "--adapter", head[0], *on, "-o", f"{head[0]}.gpkg")
            assert rows(f"{head[0]}.gpkg")["label"].notna().all()

        classify(name, "here.gpkg")
        bimors("models", "pack", name, "-o", "packed.zip")
        bimors("models", "remove", name)
        bimors("models", "unpack", "packed.zip")
        bimors("models", "verify", name)
        classify(name, "there.gpkg", "--offline", "--no-caption-cache")
        assert rows("there.gpkg").equals(rows("here.gpkg"))


def heads(bundle: Bundle) -> Iterator[tuple[object, ...]]:
    """Yield heads that a bundle can learn, with their options; CLIPs of bands classify only."""
    if bundle.bands is None:
        yield ("auto",)
    if bundle.has_part(CAPTIONER):
        yield "bimors", "--epochs", 1


def classify(name: str, output: str, *options: object) -> None:
    captions = "all" if read_bundle(find_bundle(name)).has_part(CAPTIONER) else "none"
    labels = ("-l", "labels.txt", "--probabilities", "--captions", captions, "--head", "zero-shot")
    bimors("classify", "scene.tif", *labels, "--model", name, "--tile-size", TILE, "-o", output, *options)


def check_downloads(entry: CatalogEntry, hub: Hub) -> None:
    """Every file of the catalog was downloaded once, with the optional ones that are there, and nothing else."""
    wanted = []
    for source in entry.parts.values():
        if source.repository is None:
            path = unquote(urlsplit(str(source.url)).path)
            wanted += [path if path.endswith(f"/{file.path}") else f"{path}/{file.path}" for file in source.files]
            continue
        revision = source.revision or hub.commit
        there = [path for path in source.optional if path in hub.repositories[source.repository]]
        for path in [*(file.path for file in source.files), *there]:
            wanted.append(f"/{source.repository}/resolve/{revision}/{path}")
    assert sorted(path for path, _ in hub.downloads()) == sorted(wanted)


def check_answers(found: gpd.GeoDataFrame, *, captions: bool) -> None:
    names = [f"p_{name}" for name in LABELS.split()]
    assert len(found) == 8 and np.allclose(found[names].sum(axis=1), 1, atol=1e-4)
    assert found[names].drop_duplicates().shape[0] == 8  # tiles differ, and so do their answers
    assert not captions or found["caption"].notna().all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bimors-b16-base", "skyclip-b32"])
def test_try_in_a_process_of_its_own(name: str, tmp_path: Path) -> None:
    """As a user runs it: HF_ENDPOINT is read at the start, and pickles are converted in a further process."""
    program = (
        "import json, sys; from pathlib import Path; from bimors_cli.bundle import catalog;"
        "content = json.loads(Path('catalogue.json').read_text()); catalog._content = lambda: content;"
        "from bimors_cli.cli.main import main; main()"
    )
    unset = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "BIMORS_OFFLINE")
    with published(name) as served:
        (tmp_path / "catalogue.json").write_text(json.dumps(served.content))
        environment = {key: value for key, value in os.environ.items() if key not in unset}
        environment |= {"HF_ENDPOINT": served.hub.url, "BIMORS_HOME": str(tmp_path / "home")}
        result = subprocess.run(
            [sys.executable, "-P", "-c", program, "models", "try", name],
            capture_output=True, text=True, check=False, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    assert result.returncode == 0, (result.stdout, result.stderr)
    assert "**All steps passed.**" in result.stdout and "converting" in result.stderr
    assert "Traceback" not in result.stderr and "Warning" not in result.stderr
