"""A head from outside the package: its own module and one row of the table, and it trains and classifies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import bimors_cli
from bimors_cli import ClassifyOptions
from bimors_cli.bundle.adapter import open_adapter
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.labels import Labels
from bimors_cli.model.frozen_models import FrozenModels
from bimors_cli.model.heads.base import Head, HeadFeatures, HeadInit, HeadSetup
from bimors_cli.options.heads import HEADS, HeadEntry, head_names
from bimors_cli.pipeline.inference.load import make_classifier
from bimors_cli.provenance import read_run
from bimors_cli.training.finetune import finetune
from bimors_cli.training.options import FinetuneOptions
from tests.conftest import MakeRaster
from tests.training.test_run import draw_pictures


class PrototypeLearner(nn.Module):
    """One prototype per class, compared by cosine with a learned scale."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(classes, width))
        self.scale = nn.Parameter(torch.tensor(10.0))

    def forward(self, image_feature: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.scale * image_feature @ nn.functional.normalize(self.prototypes, dim=-1).T
        return logits


class PrototypeHead(Head):
    """Logits of the prototypes, in the order of the user's labels."""

    def __init__(self, setup: HeadSetup) -> None:
        self._learner = setup.learner
        self._columns = [columns[0] for columns in setup.columns]

    def logits(self, features: HeadFeatures) -> torch.Tensor:
        logits: torch.Tensor = self._learner(features.image_feature)[:, self._columns]
        return logits


def make_learner(init: HeadInit) -> PrototypeLearner:
    return PrototypeLearner(init.classes, init.feature_width)


def make_head(setup: HeadSetup) -> PrototypeHead:
    return PrototypeHead(setup)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> HeadEntry:
    entry = HeadEntry("toy", __name__, learning_rate=0.5, help="class prototypes", closed_set=True)
    monkeypatch.setitem(HEADS, "toy", entry)
    return entry


def test_a_head_from_outside(toy: HeadEntry, tiny_models: FrozenModels, tiny_bundle: Bundle, tmp_path: Path) -> None:
    data = draw_pictures(tmp_path / "coast", {"beach": 220, "forest": 60})
    output = tmp_path / "adapter"
    options = FinetuneOptions(
        sources=(str(data),),
        output=str(output),
        head="toy",
        shots=4,
        epochs=1,
        model=str(tiny_bundle.folder),
        captions=False,
    )
    assert options.train_config.rate == 0.5
    summary = finetune(options)
    assert set(summary.scores["validation"]) == {"zero-shot", "toy"}
    adapter = open_adapter(output, tiny_bundle)
    assert (adapter.head, adapter.kind, adapter.labels) == ("toy", "toy", ("beach", "forest"))
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    probabilities = {}
    for labels in (["beach", "forest"], ["Forest", "beach"]):
        classifier = make_classifier(tiny_models, adapter, Labels.of(labels))
        _, features = classifier.encode(images)
        probabilities[labels[0]] = torch.from_numpy(classifier.probabilities(features))
    assert torch.allclose(probabilities["beach"].sum(dim=1), torch.ones(3))
    assert torch.allclose(probabilities["beach"], probabilities["Forest"].flip(1), atol=1e-6)


def test_classify_runs_with_it(toy: HeadEntry, tiny_bundle: Bundle, make_raster: MakeRaster, tmp_path: Path) -> None:
    data = draw_pictures(tmp_path / "coast", {"beach": 220, "forest": 60})
    options = FinetuneOptions(head="toy", shots=4, epochs=1, model=str(tiny_bundle.folder), captions=False)
    adapter = bimors_cli.finetune(data, tmp_path / "adapter", options).output
    scene = make_raster(np.random.default_rng(0).integers(1, 256, (3, 64, 96), dtype=np.uint8))
    chosen = ClassifyOptions(adapter=adapter, tile_size="32", model=str(tiny_bundle.folder), captions=False)
    summary = bimors_cli.classify(scene, ["beach", "forest"], tmp_path / "out.gpkg", chosen)
    assert summary.rows == 6 and sum(summary.labels.values()) == 6
    assert read_run(tmp_path / "out.gpkg", "tiles").run_key["head"] == "toy"


def test_the_lists_have_it(toy: HeadEntry) -> None:
    from bimors_cli.cli.completion import compared_heads, trained_heads
    from bimors_cli.evaluation.variants import parse_variants

    assert head_names().endswith("linear or toy")
    assert ("toy", toy.help) in trained_heads("") and "toy" in compared_heads("")
    (variant,) = parse_variants(["toy+tip-adapter:epochs=3"])
    assert variant.train_config(10, 4, 1).rate == 0.5
