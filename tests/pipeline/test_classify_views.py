"""`classify` with an adapter of views, made by hand from the tiles of a scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import torch
from geopandas.testing import assert_geodataframe_equal
from safetensors.numpy import load_file, save_file

from bimors_cli.bundle.adapter import WEIGHTS, open_adapter, write_adapter_manifest
from bimors_cli.bundle.adapter_views import AdapterViews
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import BundleError, InputError, LabelsError
from bimors_cli.fewshot.ensemble import Ensemble
from bimors_cli.fewshot.folds import leave_groups_out
from bimors_cli.fewshot.storage import ensemble_arrays
from bimors_cli.fewshot.unlikeness import Unlikeness
from bimors_cli.fewshot.view_classifier import fit_view
from bimors_cli.labels import Labels
from bimors_cli.model.frozen_models import FrozenModels
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.options.merge import MergeOptions
from bimors_cli.options.views import VIEWS
from bimors_cli.output.image_features import read_features
from bimors_cli.pipeline.adapter_ensemble import read_adapter_ensemble
from bimors_cli.pipeline.inference.tile_batch import TileBatch
from bimors_cli.pipeline.inference.view_classifier import compared_vectors, make_view_classifier
from bimors_cli.pipeline.inference.view_encoder import ViewEncoder
from bimors_cli.pipeline.make_plan import plan_scenes
from bimors_cli.pipeline.merge import merge
from bimors_cli.pipeline.probability_store import ProbabilityStore, write_arrays
from bimors_cli.pipeline.scene_views import adapter_views, with_views
from bimors_cli.scene.read import SceneReader, read_tile
from bimors_cli.scene.tile_views import read_views
from tests import api
from tests.conftest import MakeRaster

LABELS = ["forest", "water", "soil"]
SPECTRA = np.array([[300, 500, 350, 3000], [600, 500, 300, 150], [900, 1200, 1600, 2200]])  # blue green red nir
BANDS = ("blue", "green", "red", "nir")
TILE = 16
Write = Callable[..., str]
Classify = Callable[..., Path]


def land(seed: int, side: int = 8) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.intp]]:
    """Return a scene of square tiles, [4, h, w], and the label of each tile, row by row."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(side * side) % 3)
    each = np.kron(labels.reshape(side, side), np.ones((TILE, TILE), int))
    pixels = SPECTRA[each].transpose(2, 0, 1) * random.normal(1, 0.1, (4, side * TILE, side * TILE))
    return pixels.astype(np.uint16), labels


@pytest.fixture
def write(make_raster: MakeRaster) -> Write:
    def write(
        pixels: npt.NDArray[Any], order: Sequence[int] = (0, 1, 2, 3), name: str = "scene.tif", **how: Any
    ) -> str:
        path = make_raster(pixels[list(order)], name=name, **how)
        with rasterio.open(path, "r+") as dataset:
            dataset.descriptions = [BANDS[band] for band in order]
        return path

    return write


def learn(
    folder: Path, path: str, labels: npt.NDArray[np.intp], names: Sequence[str], bundle: Bundle, models: FrozenModels
) -> Path:
    """Make an adapter of the first half of the tiles of a scene."""
    (scene,) = plan_scenes([path], ClassifyOptions(scenes=(path,), tile_size=str(TILE)))
    views = replace(adapter_views(names, [scene], 10.0), templates=bundle.templates if "names" in names else ())
    scene = with_views(scene, views, "coast")
    chosen, size = range(len(labels) // 2), bundle.image_size
    with SceneReader(scene.info, scene.grid, scene.bands, scene.stretch, scene.nodata) as reader:
        images = [read_tile(reader, scene.grid[index], size).image for index in chosen]
        assert scene.view_inputs is not None
        read = [read_views(reader, scene.grid[index], scene.view_inputs, size) for index in chosen]
    encoder = ViewEncoder.create(models, names, Labels.literal(LABELS))
    stacked = {
        name: torch.from_numpy(np.stack([each.images[name] for each in read]))
        for name in (read[0].images if read else ())
    }
    numbers = {name: np.stack([each.numbers[name] for each in read]) for name in (read[0].numbers if read else ())}
    values = encoder.encode(names, {"image": torch.from_numpy(np.stack(images)), **stacked}, numbers)
    own = labels[: len(chosen)]
    folds = leave_groups_out([str(index // 2) for index in chosen], own, 0)
    fitted = {
        name: fit_view(VIEWS[name].kind, values[name], own, np.ones(len(own)), 3, folds).classifier for name in names
    }
    unlike = {
        name: Unlikeness.fit(fitted[name].scaled(values[name]), own, folds)
        for name in names
        if VIEWS[name].kind == "statistics"
    }
    # Random weights know nothing: their views have little to say.
    weights = {name: 1.0 if VIEWS[name].kind == "statistics" else 0.05 for name in names}
    folder.mkdir()
    save_file(ensemble_arrays(Ensemble(fitted, weights), unlike), folder / WEIGHTS)
    write_adapter_manifest(
        folder,
        bundle,
        name="coast",
        head="views",
        cache=False,
        labels=LABELS,
        temperature=1.0,
        training={},
        views=views,
    )
    return folder


@pytest.fixture
def adapter(write: Write, tiny_bundle: Bundle, tiny_models: FrozenModels, tmp_path: Path) -> Callable[..., Path]:
    def make(*names: str) -> Path:
        pixels, labels = land(1)
        path = write(pixels, name="training.tif")
        return learn(tmp_path / "adapter", path, labels, names, tiny_bundle, tiny_models)

    return make


@pytest.fixture
def classify(tiny_bundle: Bundle, tmp_path: Path) -> Classify:
    def run(scene: str, adapter: Path, output: str = "out.gpkg", labels: Any = LABELS, **options: Any) -> Path:
        how = {
            "adapter": str(adapter), "model": str(tiny_bundle.folder), "tile_size": str(TILE), "device": "cpu",
            "probabilities": True, **options,
        }  # fmt: skip
        api.classify(scene, labels, tmp_path / output, **how)
        return tmp_path / output

    return run


def read(path: Path) -> geopandas.GeoDataFrame:
    return geopandas.read_file(path, layer="tiles")


@pytest.mark.parametrize(
    "names",
    [("bands",), ("bands", "bands-around"), ("bands", "image", "names", "false-colour", "around")],
)
def test_tiles_have_the_right_labels(
    adapter: Callable[..., Path], write: Write, classify: Classify, names: Sequence[str]
) -> None:
    pixels, labels = land(2)
    found = read(classify(write(pixels), adapter(*names)))
    assert found["label"].tolist() == [LABELS[label] for label in labels]
    assert found["p_water"].between(0, 1).all() and found["confidence"].min() > 0.5


def test_bands_may_be_in_another_order(adapter: Callable[..., Path], write: Write, classify: Classify) -> None:
    pixels, labels = land(2)
    folder = adapter("bands", "false-colour")
    alike = read(classify(write(pixels), folder, bidx=(3, 2, 1)))
    other = read(classify(write(pixels, (3, 0, 2, 1)), folder, "other.gpkg", bidx=(3, 4, 2)))
    assert_geodataframe_equal(alike, other)
    assert other["label"].tolist() == [LABELS[label] for label in labels]
    with pytest.raises(InputError, match=r"scene.tif has no band nir, which the adapter coast was trained on"):
        classify(write(pixels, (0, 1, 2)), folder, "third.gpkg")


def test_labels_of_the_training_only(adapter: Callable[..., Path], write: Write, classify: Classify) -> None:
    folder, (pixels, labels) = adapter("bands"), land(2)
    scene = write(pixels)
    with pytest.raises(LabelsError, match="trained on none of the labels"):
        classify(scene, folder, labels=["ship", "port"])
    found = read(classify(scene, folder, "port.gpkg", labels=["port", "water", "land | forest | soil"]))
    assert found["label"].tolist() == ["water" if label == 1 else "land" for label in labels]
    found = read(classify(scene, folder, labels=["land | forest | soil", "water"]))
    assert found["label"].tolist() == ["water" if label == 1 else "land" for label in labels]


def test_resume_and_shards_give_the_same_rows(
    adapter: Callable[..., Path], write: Write, classify: Classify, tmp_path: Path
) -> None:
    folder, scene = adapter("bands", "image"), write(land(2)[0])
    whole = read(classify(scene, folder))
    assert_geodataframe_equal(read(classify(scene, folder, resume=True)), whole)
    for shard in ("1/3", "2/3", "3/3"):
        classify(scene, folder, "parts.gpkg", shard=shard)
    journals = sorted(map(str, tmp_path.glob("*parts.gpkg*journal*")))
    assert len(journals) == 3
    merge(MergeOptions(journals=tuple(journals), output=str(tmp_path / "parts.gpkg")))
    assert_geodataframe_equal(read(tmp_path / "parts.gpkg"), whole)


@pytest.mark.parametrize("names", [("bands",), ("bands", "image")])
def test_features_and_refinement(
    adapter: Callable[..., Path], write: Write, classify: Classify, names: Sequence[str]
) -> None:
    pixels, labels = land(2)
    path = classify(write(pixels), adapter(*names), keep_features=True, refine="spatial")
    found = read(path)
    assert (found["label"] == [LABELS[label] for label in labels]).mean() > 0.9
    features = np.concatenate([each for _, each in read_features(path, "tiles")])
    assert len(features) == 64
    if "image" in names:
        np.testing.assert_allclose(np.linalg.norm(features.astype(float), axis=1), 1, atol=0.01)


def test_tiles_are_compared_by_all_statistics(adapter: Callable[..., Path], tiny_bundle: Bundle) -> None:
    ensemble, _ = read_adapter_ensemble(open_adapter(adapter("bands", "bands-around", "names"), tiny_bundle))
    random = np.random.default_rng(0)
    views = {name: random.normal(1000, 300, (5, 48 if name == "bands" else 96)) for name in ("bands", "bands-around")}
    vectors = compared_vectors(ensemble, {**views, "names": random.normal(size=(5, 3)).astype(np.float32)})
    apart = [
        ((scaled[:, None] - scaled[None]) ** 2).mean(axis=2)
        for scaled in (ensemble.views[name].scaled(values) for name, values in views.items())
    ]
    np.testing.assert_allclose(((vectors[:, None] - vectors[None]) ** 2).sum(axis=2), sum(apart), rtol=1e-4)


@pytest.mark.parametrize(("names", "neighbours"), [(("bands",), 64), (("bands", "bands-around"), 0)])
def test_nothing_is_stored_that_refinement_does_not_read(
    adapter: Callable[..., Path],
    write: Write,
    classify: Classify,
    monkeypatch: pytest.MonkeyPatch,
    names: Sequence[str],
    neighbours: int,
) -> None:
    stored = []

    def spy(*args: Any) -> ProbabilityStore:
        store = write_arrays(*args)
        stored.append((len(store.probabilities), len(store.features), len(store.neighbours)))
        return store

    monkeypatch.setattr("bimors_cli.pipeline.refine.write_arrays", spy)
    classify(write(land(2)[0]), adapter(*names), refine="spatial")
    assert stored == [(64, 0, neighbours)]


def test_overlapping_tiles_vote(adapter: Callable[..., Path], write: Write, classify: Classify) -> None:
    pixels, _ = land(2)
    folder, scene = adapter("bands"), write(pixels)
    found = read(classify(scene, folder, overlap="50%", vote=True))
    assert len(found) == 256 and set(found["label"]) == set(LABELS)
    assert_geodataframe_equal(read(classify(scene, folder, overlap="50%", vote=True, resume=True)), found)


def test_empty_tiles_and_bands(adapter: Callable[..., Path], write: Write, classify: Classify) -> None:
    """A tile without data has no label; one without near infrared is classified by its colours."""
    folder, (pixels, labels) = adapter("bands"), land(2)
    pixels[:, :TILE, :TILE] = 0
    pixels[3, :TILE, TILE : 2 * TILE] = 0
    found = read(classify(write(pixels, nodata=0), folder, keep_empty=True))
    assert found["label"].isna().tolist() == [True] + [False] * 63
    assert found["label"][1:].tolist() == [LABELS[label] for label in labels[1:]]


def test_tiles_unlike_the_examples_are_told(
    adapter: Callable[..., Path], tiny_models: FrozenModels, tiny_bundle: Bundle
) -> None:
    opened = open_adapter(adapter("bands", "image"), tiny_bundle)
    classifier = make_view_classifier(tiny_models, opened, Labels.of(LABELS))
    values = classifier.ensemble.views["bands"].scaling
    assert values is not None
    near, far = values.centre, values.centre + 1000 * values.scale
    images = torch.randint(0, 256, (2, 3, TILE, TILE), dtype=torch.uint8)
    batch = TileBatch([], [0, 1], [None, None], images, None, {}, {"bands": np.float32([near, far])})
    _, features = classifier.encode_batch(batch)
    variance, p_values = classifier.unlike(features)
    assert variance[1] > 0.99 and variance[0] < variance[1]
    assert p_values[1] == pytest.approx(classifier.unlikeness["bands"].least_rate)
    features.views["image"][1] = np.nan  # the network failed
    probabilities = classifier.probabilities(features)
    assert np.isfinite(probabilities[0]).all() and np.isnan(probabilities[1]).all()


def test_damaged_weights_are_refused(
    adapter: Callable[..., Path], write: Write, classify: Classify, tiny_bundle: Bundle
) -> None:
    folder, scene = adapter("bands"), write(land(2)[0])
    arrays = load_file(folder / WEIGHTS)
    manifest = {"name": "coast", "head": "views", "temperature": 1.0, "training": {}}
    views = adapter_views(["bands"], plan_scenes([scene], ClassifyOptions(scenes=(scene,), tile_size="16")))

    def damaged(changed: dict[str, Any], labels: Sequence[str] = LABELS, views: AdapterViews = views) -> None:
        save_file(changed, folder / WEIGHTS)
        write_adapter_manifest(folder, tiny_bundle, labels=labels, views=views, **manifest)  # type: ignore[arg-type]
        with pytest.raises(BundleError, match="damaged"):
            classify(scene, folder, labels=list(labels))

    damaged({name: value for name, value in arrays.items() if name != "bands.temperature"})
    damaged({**arrays, "bands.gda.bias": arrays["bands.gda.bias"][:2]})
    damaged({name.replace("bands.", "other."): value for name, value in arrays.items()})
    damaged(arrays, labels=[*LABELS, "port"])
    damaged(arrays, views=AdapterViews(("image",)))
