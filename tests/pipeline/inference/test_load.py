"""From an adapter on disk to the head that answers, for every head that can be trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import bimors_cli
from bimors_cli.bundle.adapter import WEIGHTS
from bimors_cli.bundle.manifest import ADAPTER, Bundle
from bimors_cli.errors import BundleError, LabelsError
from bimors_cli.labels import Labels
from bimors_cli.model.frozen_models import EncoderOutputs, FrozenModels
from bimors_cli.model.heads.registry import make_head, make_learner
from bimors_cli.model.heads.tip_adapter import TipAdapterCache
from bimors_cli.options.heads import HEADS
from bimors_cli.output.geopackage import read_provenance
from bimors_cli.output.image_features import read_features
from bimors_cli.pipeline.inference.load import make_classifier
from tests import api
from tests.bundles import save_adapter

TRAINED = ["forest", "bare land", "port"]


def trained(
    head: str, models: FrozenModels, bundle: Bundle, *, cache: bool = False, tokens: int | None = None
) -> nn.Module:
    """A learner that is far from its start."""
    learner = make_learner(head, models, bundle.context, classes=len(TRAINED), tokens=tokens)
    generator = torch.Generator().manual_seed(3)
    if cache or HEADS[head].needs_tip_adapter:
        keys = torch.randn(6, models.clip.encode_text(["a"]).shape[1], generator=generator)
        learner.add_module("cache", TipAdapterCache.of(keys, torch.arange(6) % 3, 3))
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return learner


@pytest.fixture(scope="module")
def evidence(tiny_models: FrozenModels) -> EncoderOutputs:
    noise = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)
    return tiny_models.encode(torch.from_numpy(noise))


@pytest.mark.parametrize("cache", [False, True], ids=["alone", "cached"])
@pytest.mark.parametrize("head", HEADS)
def test_what_was_trained_answers_from_disk(
    head: str, cache: bool, tiny_models: FrozenModels, tiny_bundle: Bundle, evidence: EncoderOutputs, tmp_path: Path
) -> None:
    learner = trained(head, tiny_models, tiny_bundle, cache=cache)
    labels = Labels.of(["port", "Forest"] if head == "linear" else ["port", "harbour", "Forest"])
    before = make_head(head, tiny_models.clip, labels, learner, words=tiny_bundle.context, trained=TRAINED)
    adapter = save_adapter(tmp_path / "coast", tiny_bundle, head, learner, TRAINED, temperature=0.5)
    classifier = make_classifier(tiny_models, adapter, labels)
    assert classifier.temperature == 0.5
    with torch.no_grad():
        torch.testing.assert_close(classifier.head.forward(evidence), before.forward(evidence), rtol=0, atol=1e-5)
    assert not classifier.head.forward(evidence).requires_grad


@pytest.mark.parametrize("head", ["bimors", "coop", "cocoop"])
def test_an_adapter_brings_its_own_number_of_context_tokens(
    head: str, tiny_models: FrozenModels, tiny_bundle: Bundle, evidence: EncoderOutputs, tmp_path: Path
) -> None:
    learner = trained(head, tiny_models, tiny_bundle, tokens=2)
    adapter = save_adapter(tmp_path / "coast", tiny_bundle, head, learner, TRAINED)
    assert make_classifier(tiny_models, adapter, Labels.of(TRAINED)).head.forward(evidence).shape == (3, 3)


@pytest.mark.parametrize(
    ("head", "tensors"),
    [
        ("bimors", {"meta_net.0.weight": torch.zeros(3, 50)}),
        ("bimors", {"context": None}),
        ("coop", {"context": torch.zeros(4, 8)}),
        ("coop", {"context": torch.zeros(0, 32)}),
        ("coop", {"context": torch.tensor(1.0)}),
        ("coop", {"stray": torch.zeros(1)}),
        ("linear", {"linear.weight": torch.zeros(5, 32)}),
        ("tip-adapter", {"cache.values": torch.zeros(6, 2)}),
        ("tip-adapter", {"cache.keys": torch.zeros(6, 31)}),
        ("tip-adapter", {"cache.keys": None}),
        ("cocoop", {"cache.keys": torch.zeros(6, 32)}),
    ],
)
def test_weights_that_do_not_fit_are_one_line(
    head: str, tensors: dict[str, Any], tiny_models: FrozenModels, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    learner = trained(head, tiny_models, tiny_bundle)
    adapter = save_adapter(tmp_path / "coast", tiny_bundle, head, learner, TRAINED)
    state = {name: value for name, value in {**load_file(adapter.weights), **tensors}.items() if value is not None}
    save_file(state, adapter.weights)
    with pytest.raises(BundleError, match="does not match the bundle") as caught:
        make_classifier(tiny_models, adapter, Labels.of(TRAINED))
    assert "\n" not in caught.value.message and WEIGHTS in caught.value.message


def test_a_file_that_is_no_safetensors_is_one_line(
    tiny_models: FrozenModels, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    adapter = save_adapter(tmp_path / "coast", tiny_bundle, "coop", trained("coop", tiny_models, tiny_bundle), TRAINED)
    adapter.weights.write_bytes(b"not safetensors at all")
    with pytest.raises(BundleError, match="does not match the bundle"):
        make_classifier(tiny_models, adapter, Labels.of(TRAINED))


def classify(bundle: Bundle, scene: str, output: Path, labels: list[str], **options: Any) -> Any:
    options = {"model": str(bundle.folder), "tile_size": "32", "device": "cpu", **options}
    return api.classify(scene, labels, output, **options)


@pytest.mark.parametrize("head", HEADS)
def test_classify_takes_the_adapters_own_head(  # type: ignore[no-untyped-def]
    head: str, make_raster, tiny_models: FrozenModels, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    scene = make_raster(np.random.default_rng(0).integers(1, 256, (3, 64, 64), dtype=np.uint8))
    adapter = save_adapter(tmp_path / "coast", tiny_bundle, head, trained(head, tiny_models, tiny_bundle), TRAINED)
    summary = classify(tiny_bundle, scene, tmp_path / "out.gpkg", TRAINED, adapter=str(adapter.folder))
    run = json.loads(read_provenance(tmp_path / "out.gpkg")["run"])
    assert run["head"] == HEADS[head].stored_name and run["adapter"] == {"name": "coast", "sha256": adapter.sha256}
    assert summary.labels.total() == 4 and not any("new to the adapter" in line for line in summary.lines(str))


@pytest.mark.parametrize("head", HEADS)
def test_the_answers_of_every_head_are_refined(  # type: ignore[no-untyped-def]
    head: str, make_raster, tiny_models: FrozenModels, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    scene = make_raster(np.random.default_rng(0).integers(1, 256, (3, 128, 128), dtype=np.uint8))
    adapter = save_adapter(tmp_path / "coast", tiny_bundle, head, trained(head, tiny_models, tiny_bundle), TRAINED)
    how = {"adapter": str(adapter.folder), "probabilities": True}
    classify(tiny_bundle, scene, tmp_path / "plain.gpkg", TRAINED, keep_features=True, **how)
    summary = classify(tiny_bundle, scene, tmp_path / "refined.gpkg", TRAINED, refine="transductive", **how)
    assert summary.refined is not None and summary.refined[1] == 16
    columns = [f"p_{name}" for name in TRAINED]
    plain, refined = (
        geopandas.read_file(tmp_path / f"{name}.gpkg", layer="tiles")[columns].to_numpy(np.float64)
        for name in ("plain", "refined")
    )
    ((_, features),) = read_features(tmp_path / "plain.gpkg", "tiles")
    expected = bimors_cli.transductive(features, plain / plain.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(refined, expected, atol=1e-4)


def test_labels_that_are_new_to_the_adapter_are_named(  # type: ignore[no-untyped-def]
    make_raster, tiny_models: FrozenModels, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    scene = make_raster(np.random.default_rng(0).integers(1, 256, (3, 32, 32), dtype=np.uint8))
    adapter = save_adapter(tmp_path / "coast", tiny_bundle, "coop", trained("coop", tiny_models, tiny_bundle), TRAINED)
    labels = ["harbour", "Bare_Land", "golf course", "forest"]
    summary = classify(tiny_bundle, scene, tmp_path / "a.gpkg", labels, adapter=str(adapter.folder))
    assert "2 labels are new to the adapter coast: harbour, golf course" in list(summary.lines(str))
    own = classify(tiny_bundle, scene, tmp_path / "b.gpkg", ["forest", "port"])
    assert "1 label is new to the adapter untrained: port" in list(own.lines(str))
    none = classify(tiny_bundle, scene, tmp_path / "c.gpkg", labels, head="zero-shot")
    assert not any("new to" in line for line in none.lines(str))
    assert json.loads(read_provenance(tmp_path / "c.gpkg")["run"])["head"] == "zero-shot"


def test_a_linear_adapter_refuses_new_labels_before_any_tile(  # type: ignore[no-untyped-def]
    make_raster, tiny_models: FrozenModels, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    scene = make_raster(np.random.default_rng(0).integers(1, 256, (3, 32, 32), dtype=np.uint8))
    learner = trained("linear", tiny_models, tiny_bundle)
    adapter = save_adapter(tmp_path / "coast", tiny_bundle, "linear", learner, TRAINED)
    with pytest.raises(LabelsError, match="not 'harbour'"):
        classify(tiny_bundle, scene, tmp_path / "a.gpkg", ["harbour", "port"], adapter=str(adapter.folder))
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("coast", "scene.tif")] == []


def test_the_embedded_adapter_is_bimors(tiny_bundle: Bundle) -> None:
    manifest = Path(__file__).resolve().parents[3] / "weights" / "mini" / ADAPTER / "adapter.json"
    content = json.loads(manifest.read_text())
    assert (content["head"], content["cache"]) == ("bimors", False)
