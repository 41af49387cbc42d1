"""Measure the image features of the training images for ``--novelty``, and add them to the manifest."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from bimors_cli.bundle.manifest import MANIFEST, read_bundle
from bimors_cli.bundle.training_features import measure_features
from bimors_cli.model.frozen_models import FrozenModels
from bimors_cli.pipeline.inference.load import load_models
from recipe import data
from recipe.bundle_stage import DOMAIN
from recipe.common import Settings, write_json


@torch.no_grad()
def image_features(frozen: FrozenModels, images: torch.Tensor, batch: int = 64) -> npt.NDArray[np.float32]:
    """Image features of images, as the program computes them."""
    parts = [frozen.clip.encode_image(rows.to(frozen.device))[0].float().cpu() for rows in images.split(batch)]
    found: npt.NDArray[np.float32] = torch.cat(parts).numpy()
    return found


def build(settings: Settings) -> None:
    """Add the features to ``manifest.json``; the models stay, and so does the hash of the bundle."""
    frozen = load_models(read_bundle(settings.out), settings.device.type, captions=False)
    seven = data.rsscn7(settings)
    second = data.joined(seven["train"], seven["val"]) if settings.final else seven["train"]
    sets = (data.training_images(settings), second)
    measured = measure_features(np.concatenate([image_features(frozen, some.pixels) for some in sets]))
    content = json.loads((settings.out / MANIFEST).read_text(encoding="utf-8"))
    content["training_domain"] = replace(DOMAIN, image_feature=measured).as_json()
    write_json(settings.out / MANIFEST, content)
    settings.log("novelty", images=sum(map(len, sets)), directions=len(measured.directions) // (2 * measured.width))
