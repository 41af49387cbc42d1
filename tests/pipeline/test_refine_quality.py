"""What settling is worth on real pictures: never less than the tiles alone, beyond what chance makes of so few."""

from __future__ import annotations

import math
from pathlib import Path

import geopandas
import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import torch

from bimors_cli.metrics.scores import calibration_error, confidence_calibration_error
from bimors_cli.output.label_raster import CONFIDENCE_SCALE
from tests import api
from tests.pipeline.mosaics import Mosaic, make_mosaic, rsicd_test, rsscn7_test

SETS = {"rsscn7": (rsscn7_test, 16, 160), "rsicd": (rsicd_test, 60, 112)}


def probabilities(mosaic: Mosaic, folder: Path, head: str, refine: str | None) -> npt.NDArray[np.float64]:
    """Of the tiles that hold a picture [N, K]."""
    side = len(mosaic.truth)
    with_data = geopandas.read_file(
        str(
            api.classify(
                mosaic.path, mosaic.labels, folder / f"{head}-{refine}.gpkg", tile_size=str(mosaic_tile(mosaic)),
                captions=False, probabilities=True, device="cpu", head=head, refine=refine,
            ).output
        ),
        layer="tiles",
    )  # fmt: skip
    places = with_data["row"].to_numpy() * side + with_data["col"].to_numpy()
    assert (np.flatnonzero(mosaic.truth.ravel() >= 0) == places).all()
    return with_data[[f"p_{name}" for name in mosaic.labels]].to_numpy(np.float64)


def mosaic_tile(mosaic: Mosaic) -> int:
    with rasterio.open(mosaic.path) as scene:
        return int(scene.width) // len(mosaic.truth)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("source", "head"),
    [
        ("rsscn7", "auto"),
        pytest.param("rsscn7", "zero-shot", marks=pytest.mark.slow),
        pytest.param("rsicd", "auto", marks=pytest.mark.slow),
        pytest.param("rsicd", "zero-shot", marks=pytest.mark.slow),
    ],
)
def test_refining_does_no_harm(shared: Path, tmp_path: Path, source: str, head: str) -> None:
    pictures, side, tile = SETS[source]
    mosaic = make_mosaic(tmp_path / "scene.tif", pictures(shared), side, tile)
    target = torch.tensor(mosaic.truth[mosaic.truth >= 0])
    right: dict[str | None, npt.NDArray[np.bool_]] = {}
    error: dict[str | None, float] = {}
    for refine in (None, "transductive", "spatial"):
        found = torch.tensor(probabilities(mosaic, tmp_path, head, refine))
        right[refine] = (found.argmax(dim=1) == target).numpy()
        error[refine] = calibration_error(found / found.sum(dim=1, keepdim=True), target)
        print(f"\n{source} {head} {refine}: {right[refine].mean():.2%} of {len(target)}, ECE {error[refine]:.3f}")
    count = len(target)
    for refine in ("transductive", "spatial"):
        lost = int((right[None] & ~right[refine]).sum())
        gained = int((right[refine] & ~right[None]).sum())
        # Were a change as likely for the better as for the worse, two standard deviations of their difference.
        assert lost - gained <= 2 * math.sqrt(lost + gained), refine
        assert error[refine] <= error[None] + 1 / math.sqrt(count), refine


@pytest.mark.shared
@pytest.mark.slow
def test_a_voted_map_is_nearer_to_the_truth_of_every_pixel(shared: Path, tmp_path: Path) -> None:
    """Pictures begin in the middle of tiles, as the things on a map do."""
    pictures, side, tile = SETS["rsscn7"]
    whole = make_mosaic(tmp_path / "whole.tif", pictures(shared), side, tile)
    inside = slice(tile // 2, side * tile - tile // 2)
    truth = np.kron(whole.truth, np.ones((tile, tile), np.intp))[inside, inside]
    with rasterio.open(whole.path) as source:
        data, profile = source.read()[:, inside, inside], source.profile
    with rasterio.open(tmp_path / "scene.tif", "w", **{**profile, "width": len(truth), "height": len(truth)}) as scene:
        scene.write(data)
    right, error = {}, {}
    for name, how in (("tiles", {}), ("votes", {"overlap": "50%", "vote": True})):
        summary = api.classify(
            tmp_path / "scene.tif", whole.labels, tmp_path / f"{name}.gpkg", tile_size=str(tile), captions=False,
            device="cpu", raster=str(tmp_path / f"{name}.tif"), raster_res="scene", **how,
        )  # fmt: skip
        with rasterio.open(str(summary.raster)) as labels:
            # Every tenth pixel each way: what lies between has the same answer and the same truth.
            label, confidence = (band[::10, ::10] for band in (labels.read(1).astype(np.intp), labels.read(2)))
        known = (truth[::10, ::10] >= 0) & (label > 0)
        correct = (label - 1 == truth[::10, ::10])[known]
        right[name] = correct.mean()
        sure = torch.tensor(confidence[known] * CONFIDENCE_SCALE)
        error[name] = confidence_calibration_error(sure, torch.tensor(correct))
    print(f"\nright of all pixels: {right['tiles']:.1%} by tiles, {right['votes']:.1%} by votes; ECE {error}")
    assert right["votes"] > right["tiles"] + 0.1
    assert error["votes"] <= error["tiles"]


@pytest.mark.shared
def test_the_share_of_labels_that_change_on_a_real_scene_is_sane(scenes: Path, tmp_path: Path) -> None:
    labels = Path(__file__).resolve().parents[2] / "examples" / "labels.txt"
    how = {"tile_size": "64", "captions": False, "device": "cpu"}
    for refine in ("transductive", "spatial"):
        summary = api.classify(scenes / "naip_2018.tif", labels, tmp_path / f"{refine}.gpkg", refine=refine, **how)
        assert summary.refined is not None
        changed, count = summary.refined
        assert count > 100 and 0 < changed < 0.35 * count
        assert len(summary.labels) > 1
