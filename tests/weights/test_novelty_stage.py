"""The image features in the embedded manifest are those of its training images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bimors_cli.bundle.locate import embedded_bundle
from bimors_cli.bundle.manifest import open_bundle
from bimors_cli.pipeline.inference.load import load_models

SOME = 240


@pytest.mark.shared
def test_the_manifest_matches_training_images(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "weights"))
    from recipe.novelty_stage import image_features  # type: ignore[import-not-found, unused-ignore]

    bundle = open_bundle(embedded_bundle())
    frozen = load_models(bundle, "cpu", captions=False)
    assert bundle.training_domain is not None
    known = bundle.training_domain.image_feature
    assert known is not None
    split = json.loads((shared / "splits" / "rsicd.json").read_text())

    def features(parts: tuple[str, ...]) -> np.ndarray:
        files = [file for part in parts for file, _, _ in split[part]]
        some = [files[row] for row in np.random.default_rng(0).permutation(len(files))[:SOME]]
        images = [Image.open(shared / "imagery" / "rsicd" / "images" / file).convert("RGB") for file in some]
        pixels = np.stack([np.asarray(image).transpose(2, 0, 1) for image in images])
        found: np.ndarray = image_features(frozen, torch.from_numpy(pixels))
        return found

    trained, unseen = features(("train", "val")), features(("test",))
    assert np.linalg.norm(trained.mean(axis=0) - known.mean) < 0.15
    # Four fifths of the training images are these, the others those of RSSCN7.
    for some in (trained, unseen):
        assert np.quantile(known.novelty(some), [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.12)
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (8, 3, 150, 150), dtype=np.uint8))
    assert known.novelty(image_features(frozen, noise)).min() > 0.9
