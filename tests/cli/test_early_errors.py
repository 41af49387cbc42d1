"""Mistakes are found before torch is imported: which modules a command has imported when it reports one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely

from tests.conftest import MakeRaster

SERVER = Path(__file__).with_name("command_server.py")
# The import of each takes a second or more; those of pandas and scipy together take as long as bimors --help.
MODELS = {"torch", "torchvision", "torchmetrics", "transformers", "open_clip", "faiss", "sklearn", "matplotlib"}
TABLES = {"pandas", "geopandas", "pyogrio", "pyarrow"}
NUMBERS = {"scipy", "scipy.optimize", "scipy.stats", "scipy.special"}
HEAVY = MODELS | TABLES | NUMBERS
RASTERS = {"numpy", "rasterio", "pyproj", "shapely"}

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@dataclass(frozen=True)
class Answer:
    """How a command ended, and what it imported."""

    code: int
    stderr: str
    modules: frozenset[str]


Ask = Callable[..., Answer]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Start one process; each command is a fork of it."""
    root = str(Path(__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": root, "BIMORS_CACHE": str(tmp_path_factory.mktemp("cache"))}
    with subprocess.Popen(
        [sys.executable, str(SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as server:
        assert server.stdin is not None and server.stdout is not None

        def run(*args: object) -> Answer:
            server.stdin.write(json.dumps([*map(str, args)]) + "\n")
            server.stdin.flush()
            answer = json.loads(server.stdout.readline())
            return Answer(answer["code"], answer["stderr"], frozenset(answer["modules"]))

        yield run
        server.stdin.close()


@pytest.fixture
def files(make_raster: MakeRaster, tmp_path: Path) -> Path:
    """A folder with a scene, labels, and features: on the scene, and elsewhere."""
    make_raster(np.random.default_rng(0).integers(1, 256, (3, 96, 96), dtype=np.uint8))
    (tmp_path / "labels.txt").write_text("forest\nriver\nport\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "adapter.json").write_text("{")
    (tmp_path / "exists.gpkg").touch()
    boxes = [shapely.box(x, 4_599_100, x + 400, 4_599_900) for x in (500_000, 500_500)]
    for name, move in (("train", 0), ("elsewhere", 90_000)):
        moved = [shapely.transform(each, lambda xy, move=move: xy + move) for each in boxes]
        geopandas.GeoDataFrame({"class": ["forest", "river"]}, geometry=moved, crs=32618).to_file(
            tmp_path / f"{name}.gpkg", layer="train"
        )
    return tmp_path


# The command, the words of its error, and what may be imported besides RASTERS: a vector file is read by pyogrio.
CASES: list[tuple[str, str, set[str]]] = [
    ("classify missing.tif -l labels.txt", "missing.tif not found", set()),
    ("classify scene.tif -l missing.txt", "missing.txt: the labels file cannot be read", set()),
    ("classify scene.tif -l labels.txt --model missing", "--model missing: no bundle or folder", set()),
    ("classify scene.tif -l labels.txt --adapter missing -o o.gpkg", "not an adapter", set()),
    ("classify scene.tif -l labels.txt --adapter damaged -o o.gpkg", "adapter.json", set()),
    ("classify scene.tif -l labels.txt -o missing/o.gpkg", "missing not found", set()),
    ("classify scene.tif -l labels.txt -o exists.gpkg", "exists.gpkg exists", set()),
    ("classify scene.tif -l labels.txt -o o.xyz", "unsupported suffix", set()),
    ("classify scene.tif -l labels.txt -o o.gpkg --aoi missing.gpkg", "missing.gpkg not found", set()),
    ("classify scene.tif -l labels.txt -o o.gpkg --aoi elsewhere.gpkg", "intersects", TABLES),
    ("classify scene.tif -l labels.txt -o o.gpkg --dst-crs EPSG:1", "is not a CRS", set()),
    ("classify scene.tif -l labels.txt -o o.gpkg --tile-size 0", "invalid tile size", set()),
    ("classify scene.tif -l labels.txt -o o.gpkg --bidx 9", "band", set()),
    ("caption missing.tif -o o.gpkg", "missing.tif not found", set()),
    ("tiles missing.tif -o o.gpkg", "missing.tif not found", set()),
    ("finetune missing", "missing does not exist", set()),
    ("finetune empty", "empty is empty", set()),
    ("finetune labels.txt", "is not a folder, a split file", set()),
    ("finetune missing.tif --polygons train.gpkg --field class", "missing.tif not found", set()),
    ("finetune scene.tif --polygons missing.gpkg --field class", "missing.gpkg not found", set()),
    ("finetune scene.tif --polygons train.gpkg --field other", "has no field 'other'", TABLES),
    ("finetune scene.tif --polygons elsewhere.gpkg --field class", "elsewhere.gpkg", TABLES),
    ("finetune scene.tif --polygons train.gpkg --field class --model missing", "--model missing", set()),
    ("finetune scene.tif --polygons train.gpkg --field class -o empty", "is not replaced", set()),
    ("finetune empty --head bimors --model bands", "bands", set()),
    ("evaluate missing", "missing does not exist", set()),
    ("evaluate empty", "empty is empty", set()),
    ("evaluate empty --model missing", "--model missing", set()),
    ("evaluate empty -o damaged", "is not a folder of results", set()),
    ("evaluate missing.gpkg", "needs a reference", set()),
    ("evaluate missing.gpkg --reference train.gpkg --field class", "missing.gpkg not found", set()),
    ("search missing.gpkg river", "missing.gpkg does not exist", set()),
    ("change missing.gpkg other.gpkg -o o.gpkg", "missing.gpkg does not exist", set()),
    ("suggest missing.gpkg", "missing.gpkg does not exist", set()),
    ("sample missing.gpkg", "missing.gpkg does not exist", set()),
    ("report missing.gpkg", "missing.gpkg does not exist", set()),
    ("preview missing.gpkg", "missing.gpkg does not exist", set()),
    ("adapters show missing", "not an adapter", set()),
    ("bench --model missing", "--model missing", set()),
    ("models verify missing", "no bundle or folder of that name", set()),
]


@pytest.mark.parametrize(("command", "says", "allowed"), CASES, ids=[command for command, _, _ in CASES])
def test_a_mistake_is_found_before_the_models_are_imported(
    ask: Ask, files: Path, command: str, says: str, allowed: set[str]
) -> None:
    names = {path.name for path in files.iterdir()} | {"missing", "missing/o.gpkg", "o.gpkg", "o.xyz"}
    names |= {f"{name}.{suffix}" for name in ("missing", "other") for suffix in ("gpkg", "tif", "txt")}
    first, *rest = command.split()
    # --model and --head have values that are names, not files.
    given = [
        str(files / word) if word in names and before not in ("--model", "--head", "--field") else word
        for before, word in zip([first, *rest], rest, strict=False)
    ]
    answer = ask(first, *given)
    assert answer.code in (1, 2) and "internal error" not in answer.stderr, answer.stderr
    assert says in answer.stderr
    assert answer.stderr.count("error: ") == 1, answer.stderr
    assert answer.modules & HEAVY <= allowed


@pytest.mark.parametrize(
    ("command", "allowed"),
    [
        (["--version"], set()),
        (["--help"], set()),
        (["classify", "--help"], set()),
        (["models", "list"], {"numpy"}),
        (["info", "scene.tif"], RASTERS),
        (["tiles", "scene.tif", "-o", "tiles.gpkg"], RASTERS | TABLES),
    ],
)
def test_a_command_without_models_imports_none(ask: Ask, files: Path, command: list[str], allowed: set[str]) -> None:
    answer = ask(*[str(files / word) if "." in word else word for word in command])
    assert answer.code == 0, answer.stderr
    assert answer.modules & (HEAVY | RASTERS) <= allowed
