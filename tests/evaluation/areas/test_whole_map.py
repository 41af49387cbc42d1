"""From a map to areas: classify, sample, label by a truth that is known for every tile, evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import pytest
from affine import Affine
from typer.testing import CliRunner

import bimors_cli
from bimors_cli.cli.main import app
from tests.conftest import MakeRaster
from tests.evaluation.areas.samples import fill
from tests.layers import MakeLayer, make_layer

__all__ = ["make_layer"]

LABELS = ("forest", "field", "river")
SIDE = 40  # tiles


@pytest.fixture
def truth() -> list[int]:
    """The class of each of 1,600 tiles; 2 % are river."""
    return np.random.default_rng(3).choice(3, SIDE**2, p=[0.55, 0.43, 0.02]).tolist()


@pytest.fixture
def layer(truth: list[int], make_raster: MakeRaster, make_layer: MakeLayer) -> Path:
    """A map in Web Mercator from 60 to 3 degrees north, where a tile grows fourfold on the ground; 12 % are wrong."""
    random = np.random.default_rng(4)
    wrong = random.random(SIDE**2) < 0.12

    def answer(index: int) -> dict[str, Any]:
        if index % 50 == 49:
            return {"reason": "low_confidence"}
        label = (truth[index] + 1 + index % 2) % 3 if wrong[index] else truth[index]
        return {"ranking": ((label, 0.8), ((label + 1) % 3, 0.2))}

    pixel = 200_000 / 8
    scene = make_raster(
        random.integers(1, 255, (3, 8 * SIDE, 8 * SIDE), dtype=np.uint8),
        crs="EPSG:3857",
        transform=Affine(pixel, 0, 0, 0, -pixel, 8_300_000),
    )
    return make_layer(scene, tile_size="8", labels=bimors_cli.Labels.of(LABELS), answer=answer)


def label(sample: Path, layer: Path, truth: list[int]) -> None:
    rows = pyogrio.read_dataframe(sample, layer="sample", read_geometry=False)
    fill(
        sample,
        {
            tile_id: LABELS[truth[row * SIDE + col]]
            for tile_id, row, col in zip(rows["tile_id"], rows["row"], rows["col"], strict=True)
        },
    )


def ground_hectares(layer: Path) -> Any:
    """The area of each tile in an equal-area projection of the whole Earth, in the order of the layer."""
    frame: geopandas.GeoDataFrame = pyogrio.read_dataframe(layer, layer="tiles").sort_values(["row", "col"])
    return frame.segmentize(10_000).to_crs("EPSG:6933").area.to_numpy() / 10_000


def test_the_truth_is_within_the_intervals(layer: Path, truth: list[int], tmp_path: Path) -> None:
    hectares = ground_hectares(layer)
    assert hectares.max() > 3.5 * hectares.min()
    true_areas = np.bincount(truth, hectares)
    held = []
    for seed in range(1, 9):
        path = tmp_path / f"{seed}.gpkg"
        drawn = CliRunner().invoke(
            app, ["sample", str(layer), "--target-se", "0.03", "--least", "40", "--seed", str(seed), "-o", str(path)]
        )
        assert drawn.exit_code == 0, drawn.stderr
        label(path, layer, truth)
        found = bimors_cli.assess_sample(path)
        # On the ellipsoid, not in the plane, which is four times larger at 60 degrees.
        assert found.hectares == pytest.approx(hectares.sum(), rel=2e-3)
        assert sum(one.area_ha.value for one in found.classes) == pytest.approx(found.hectares)
        pairs = zip(found.classes, true_areas, strict=True)
        held += [one.area_ha.low <= area <= one.area_ha.high for one, area in pairs]
    # 22.8 of 24 on average.
    assert sum(held) >= 21


def test_the_commands(layer: Path, truth: list[int], tmp_path: Path) -> None:
    path = tmp_path / "sample.gpkg"
    run = CliRunner()
    assert run.invoke(app, ["sample", str(layer), "-n", "400", "-o", str(path)]).exit_code == 0
    label(path, layer, truth)
    result = run.invoke(app, ["evaluate", str(path), "--json"])
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    rows = pyogrio.read_dataframe(layer, layer="tiles").sort_values(["row", "col"])
    names = np.array(LABELS)[truth]
    areas = ground_hectares(layer)
    right = (rows["label"] == names).to_numpy()
    overall = found["overall"]
    assert overall["accuracy_low"] < areas[right].sum() / areas.sum() < overall["accuracy_high"]
    for name, one in found["classes"].items():
        mapped = (rows["label"] == name).to_numpy()
        assert one["mapped_ha"] == pytest.approx(areas[mapped].sum(), rel=2e-3)
        assert one["area_low_ha"] <= areas[names == name].sum() <= one["area_high_ha"]
        assert one["users_low"] <= areas[mapped & right].sum() / areas[mapped].sum() <= one["users_high"]
    again = run.invoke(app, ["evaluate", str(layer), "--sample", str(path), "--json"])
    assert json.loads(again.stdout)["classes"] == found["classes"]
