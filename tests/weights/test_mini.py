"""The embedded bundle: whole, small, and it has really learned."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from bimors_cli.bundle.adapter import open_adapter
from bimors_cli.bundle.locate import embedded_bundle
from bimors_cli.bundle.manifest import ADAPTER, Bundle, open_bundle
from bimors_cli.labels import Labels
from bimors_cli.model.frozen_models import FrozenModels
from bimors_cli.pipeline.inference.load import load_models, make_classifier

# The words for people; folders join them.
SPOKEN = {
    "bareland": "bare land",
    "baseballfield": "baseball field",
    "denseresidential": "dense residential",
    "mediumresidential": "medium residential",
    "railwaystation": "railway station",
    "sparseresidential": "sparse residential",
    "storagetanks": "storage tanks",
}
PER_CLASS = 8


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(embedded_bundle())


@pytest.fixture(scope="module")
def models(bundle: Bundle) -> FrozenModels:
    return load_models(bundle, "cpu")


def test_it_is_small(bundle: Bundle) -> None:
    size = sum(path.stat().st_size for path in bundle.folder.rglob("*") if path.is_file())
    assert size < 40e6


def test_all_weights_are_safetensors_and_numbers(bundle: Bundle) -> None:
    weights = list(bundle.folder.rglob("*.safetensors"))
    assert len(weights) == 4
    assert not [p for p in bundle.folder.rglob("*") if p.suffix in (".bin", ".pt", ".pth", ".pkl")]
    for path in weights:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (not a dict)
                assert torch.isfinite(file.get_tensor(name).float()).all(), (path, name)


def test_the_card_states_what_was_measured(bundle: Bundle) -> None:
    metrics = json.loads((bundle.folder / "metrics.json").read_text())
    card = (bundle.folder / "README.md").read_text()
    for heads in metrics["test"].values():
        for figures in heads.values():
            assert f"{figures['accuracy']['per cent']:.2f}" in card


def test_it_knows_its_own_words(bundle: Bundle) -> None:
    for name in ("forest", "farmland", "river", "pond", "bare land", "meadow", "dense residential", "port"):
        assert bundle.unknown_words(name) == ()
    assert bundle.unknown_words("solar panels") != ()


def test_patch_tokens_and_captions(models: FrozenModels) -> None:
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 112, 112), dtype=np.uint8))
    evidence = models.encode(images)
    assert evidence.patch_tokens.shape[0] == 2 and evidence.patch_tokens.shape[2] == models.clip.patch_width
    assert all(isinstance(caption, str) for caption in evidence.captions)


def unseen(shared: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Some test images of each class, which no part of the bundle was trained or chosen on."""
    count: dict[str, int] = {}
    for path, _, name in json.loads((shared / "splits" / "rsicd.json").read_text())["test"]:
        count[name] = count.get(name, 0) + 1
        if count[name] <= PER_CLASS:
            image = Image.open(shared / "imagery" / "rsicd" / "images" / path).convert("RGB").resize((112, 112))
            yield SPOKEN.get(name, name), torch.from_numpy(np.array(image).transpose(2, 0, 1))


@pytest.mark.shared
def test_it_has_learned(bundle: Bundle, models: FrozenModels, shared: Path) -> None:
    """Both heads are far above chance (3.3 %) on images that they never saw, and captions speak of what is there."""
    names, images = zip(*unseen(shared), strict=True)
    labels = Labels.of(sorted(set(names)))
    assert len(labels) == 30
    target = torch.tensor([labels.names.index(name) for name in names])
    evidence = models.encode(torch.stack(images))
    adapter = open_adapter(bundle.part(ADAPTER), bundle)
    for trained in (None, adapter):
        classifier = make_classifier(models, trained, labels)
        with torch.no_grad():
            found = classifier.head.forward(evidence).argmax(dim=-1)
        assert (found == target).float().mean() > 0.7
    own_words = [set(name.split()) for name in names]
    spoken_of = sum(bool(own & set(c.split())) for own, c in zip(own_words, evidence.captions, strict=True))
    assert spoken_of > len(names) / 3
