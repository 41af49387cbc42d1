"""What refining is worth on top of an adapter of views: on a Landsat scene with the national land cover map."""

from __future__ import annotations

import math
from pathlib import Path

import geopandas
import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import torch

from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import open_bundle
from bimors_cli.metrics.scores import calibration_error
from bimors_cli.options.class_names import parse_class_names
from bimors_cli.training.examples.scene_tiles import tiles_of
from tests import api
from tests.benchmarks.own_scenes import zion

SIDE = 16


def shuffled(source: Path, path: Path) -> None:
    """Write a scene whose tiles lie in any order."""
    with rasterio.open(source) as scene:
        pixels, profile, descriptions, colours = scene.read(), scene.profile, scene.descriptions, scene.colorinterp
    bands, rows, cols = len(pixels), pixels.shape[1] // SIDE, pixels.shape[2] // SIDE
    inside = pixels[:, : rows * SIDE, : cols * SIDE]
    tiles = inside.reshape(bands, rows, SIDE, cols, SIDE).transpose(1, 3, 0, 2, 4).reshape(-1, bands, SIDE, SIDE)
    tiles = tiles[np.random.default_rng(0).permutation(len(tiles))]
    mixed = tiles.reshape(rows, cols, bands, SIDE, SIDE).transpose(2, 0, 3, 1, 4).reshape(inside.shape)
    with rasterio.open(path, "w", **{**profile, "width": cols * SIDE, "height": rows * SIDE}) as scene:
        scene.write(mixed)
        scene.descriptions, scene.colorinterp = descriptions, colours


def answers(scene: Path, adapter: Path, labels: list[str], output: Path, refine: str | None) -> npt.NDArray[np.float64]:
    """Return the probabilities [rows, cols, K] of the grid of a scene."""
    summary = api.classify(
        scene, labels, output, tile_size=str(SIDE), bidx=(3, 2, 1), adapter=str(adapter), refine=refine,
        probabilities=True, device="cpu",
    )  # fmt: skip
    layer = geopandas.read_file(str(summary.output), layer="tiles")
    found = np.full((layer["row"].max() + 1, layer["col"].max() + 1, len(labels)), np.nan)
    found[layer["row"], layer["col"]] = layer[[f"p_{name}" for name in labels]]
    return found


@pytest.mark.shared
@pytest.mark.slow
def test_spatial_gains_on_zion_and_loses_nothing_without_spatial_order(shared: Path, tmp_path: Path) -> None:
    folder = shared / "scenes" / "labelled"
    scene = folder / "zion" / "zion_landsat8.tif"
    (tmp_path / "classes.csv").write_text(
        "code,name\n31,barren land\n41,deciduous forest\n42,evergreen forest\n52,shrubland\n"
    )
    how = {
        "examples": str(folder / "zion" / "zion_nlcd2011.tif"),
        "class_names": parse_class_names(str(tmp_path / "classes.csv")),
        "tile_size": str(SIDE),
        "bidx": (3, 2, 1),
        "min_overlap": 0.6,
        "device": "cpu",
    }
    for name, views in (("bands", ("bands",)), ("around", ("bands", "bands-around"))):
        api.finetune(scene, tmp_path / name, views=views, **how)
    known = zion(folder, SIDE, open_bundle(find_bundle("mini")).image_size)
    tiles = tiles_of(known)
    assert tiles is not None
    labels, grid = list(known.labels.names), tiles.scenes[0].grid
    truth = np.array([example.label for example in known.examples])
    index = np.array([tile.index for tile in tiles.tiles])
    where = index // grid.cols, index % grid.cols

    found = {}
    for name in ("bands", "around"):
        for refine in (None, "spatial"):
            p = answers(scene, tmp_path / name, labels, tmp_path / "map.gpkg", refine)[where]
            (tmp_path / "map.gpkg").unlink()
            found[name, refine] = p.argmax(axis=1) == truth
            error = calibration_error(torch.tensor(p, dtype=torch.float32), torch.tensor(truth))
            print(f"\n{name}, refine {refine}: {found[name, refine].mean():.2%} of {len(truth)}, ECE {error:.3f}")
            assert error < 0.08
        assert found[name, "spatial"].mean() > found[name, None].mean()

    shuffled(scene, tmp_path / "shuffled.tif")
    rows, cols = grid.scene_height // SIDE, grid.scene_width // SIDE
    order = np.random.default_rng(0).permutation(rows * cols)
    place = np.argsort(order)  # the tile at `place` of the shuffled scene
    inside = (where[0] < rows) & (where[1] < cols)
    at = place[where[0][inside] * cols + where[1][inside]]
    right = {}
    for refine in (None, "spatial"):
        p = answers(tmp_path / "shuffled.tif", tmp_path / "bands", labels, tmp_path / "map.gpkg", refine)
        (tmp_path / "map.gpkg").unlink()
        right[refine] = p[at // cols, at % cols].argmax(axis=1) == truth[inside]
        print(f"\nshuffled, refine {refine}: {right[refine].mean():.2%}")
    lost, gained = (right[None] & ~right["spatial"]).sum(), (right["spatial"] & ~right[None]).sum()
    assert lost - gained <= 2 * math.sqrt(lost + gained)
