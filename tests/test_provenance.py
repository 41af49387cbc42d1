"""What a layer records of its run, and that every command accepts and refuses the same scenes."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import BimorsError, InputError, SceneError
from bimors_cli.options.search import SearchOptions
from bimors_cli.options.view import PreviewOptions, ReportOptions
from bimors_cli.provenance import RunProvenance, check_same_raster, read_classify_run, read_run
from bimors_cli.results.preview import preview
from bimors_cli.results.report import report
from bimors_cli.results.search import search
from bimors_cli.scene.raster import scene_info
from bimors_cli.training.examples.corrected_layer import from_layer
from tests.layers import MakeLayer

TRANSFORM = Affine(10 / 3, 0, 500_000.123456789, 0, -10 / 3, 4_600_000.987654321)


@pytest.fixture
def scene(make_raster: Any) -> Path:
    data = np.random.default_rng(0).integers(1, 255, (3, 40, 60), dtype=np.uint8)
    return Path(make_raster(data, transform=TRANSFORM))


@pytest.fixture
def layer(scene: Path, make_layer: MakeLayer) -> Path:
    """A layer with one corrected row."""
    path = make_layer(str(scene), tile_size="20")
    with closing(sqlite3.connect(path)) as database, database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute("UPDATE tiles SET label = 'harbour' WHERE tile_id = 'scene/0/0'")
    return path


def save_again(scene: Path, transform: Affine = TRANSFORM, crs: str = "EPSG:32618") -> None:
    with rasterio.open(scene) as dataset:
        data = dataset.read()
    os.remove(scene)
    with rasterio.open(
        scene, "w", driver="GTiff", width=60, height=40, count=3, dtype="uint8", crs=crs, transform=transform
    ) as dataset:
        dataset.write(data)


Reader = Callable[[Path], object]
READERS: dict[str, Reader] = {
    "preview": lambda layer: preview(PreviewOptions(layer_file=layer)),
    "report": lambda layer: report(ReportOptions(layer_file=layer)),
    "finetune": lambda layer: from_layer(layer, image_size=16),
}


@pytest.mark.parametrize("command", READERS)
def test_a_rounded_transform_is_accepted(command: str, scene: Path, layer: Path) -> None:
    rounded = Affine(*(float(f"{value:.9g}") for value in TRANSFORM[:6]))
    assert rounded != TRANSFORM
    save_again(scene, rounded)
    READERS[command](layer)


def test_search_reads_no_scene(scene: Path, tmp_path: Path, tiny_bundle: Bundle) -> None:
    from tests.api import classify

    out = tmp_path / "found.gpkg"
    options: dict[str, Any] = {"model": str(tiny_bundle.folder), "device": "cpu", "keep_features": True}
    classify(str(scene), ["forest", "river"], out, tile_size="20", **options)
    how = SearchOptions(file=out, query="river", top=3, model=str(tiny_bundle.folder))
    expected = search(how)
    save_again(scene, Affine(*(float(f"{value:.9g}") for value in TRANSFORM[:6])))
    assert len(expected) == 3 and search(how) == expected
    scene.unlink()
    assert search(how) == expected


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"transform": TRANSFORM @ Affine.translation(1, 0)}, "has another position than the scene of"),
        ({"crs": "EPSG:32619"}, "has another CRS than the scene of"),
    ],
)
def test_another_raster_is_refused_alike(changed: dict[str, Any], message: str, scene: Path, layer: Path) -> None:
    save_again(scene, **changed)
    messages = set()
    for read in READERS.values():
        with pytest.raises(SceneError) as caught:
            read(layer)
        assert caught.value.hint
        messages.add(caught.value.message)
    assert messages == {f"{scene} {message} {layer}"}


def test_half_a_pixel_is_the_limit(scene: Path, layer: Path) -> None:
    _, (recorded,) = read_classify_run(layer, "tiles")
    info = scene_info(str(scene))
    for pixels, is_accepted in ((0.49, True), (0.51, False)):
        moved = replace(info, transform=info.transform @ Affine.translation(0, pixels))
        if is_accepted:
            check_same_raster(moved, recorded, layer, "hint")
        else:
            with pytest.raises(SceneError, match="another position"):
                check_same_raster(moved, recorded, layer, "hint")
    # A pixel size that differs little adds up at the far corner.
    scaled = replace(info, transform=info.transform @ Affine.scale(1.01))
    with pytest.raises(SceneError, match="another position"):
        check_same_raster(scaled, recorded, layer, "hint")


def test_what_is_written_comes_back() -> None:
    run = replace(
        RunProvenance.of_command(["bimors", "classify", "a b.tif"]),
        run_key={"layer": "tiles", "scenes": []},
        scene_paths=("/data/a b.tif",),
        labels={"Wald": None, "Fluß": "#0000ff"},
    )
    metadata = run.to_metadata()
    assert list(metadata) == ["version", "created", "command", "run", "scenes", "labels"]
    assert (
        metadata["command"] == "bimors classify 'a b.tif'" and metadata["labels"] == '{"Wald": null, "Fluß": "#0000ff"}'
    )
    assert RunProvenance.from_metadata(metadata) == run
    assert RunProvenance.from_metadata({}) == RunProvenance() and RunProvenance().to_metadata() == {}
    found = replace(RunProvenance(), query="a river", query_bundle={"name": "mini"})
    assert found.to_metadata() == {"query": "a river", "model": '{"name": "mini"}'}


@pytest.mark.parametrize("damage", [{"run": "{"}, {"run": "[]"}, {"scenes": "{}"}, {"labels": '"forest"'}])
def test_damaged_metadata(damage: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"JSON|Expecting"):
        RunProvenance.from_metadata(damage)


def test_a_damaged_run_is_one_error(layer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = read_run(layer, "tiles").to_metadata()
    run = json.loads(metadata["run"])
    for damaged in (
        {**run, "scenes": []},
        {**run, "scenes": [{**run["scenes"][0], "stretch": ["log", [], []]}]},
        {key: value for key, value in run.items() if key != "model"},
        {**run, "model": None},
        {**run, "synonyms": ["forest"]},
    ):
        changed = {**metadata, "run": json.dumps(damaged)}
        monkeypatch.setattr("bimors_cli.provenance.read_provenance", lambda *_, changed=changed: changed)
        with pytest.raises(InputError, match="invalid provenance in layer 'tiles'"):
            read_classify_run(layer, "tiles")
        for read in READERS.values():
            with pytest.raises(BimorsError, match="invalid provenance"):
                read(layer)
