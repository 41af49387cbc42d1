"""A bundle that states what it was trained on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bimors_cli.bundle.manifest import MANIFEST, Bundle, read_bundle
from bimors_cli.bundle.training_features import measure_features

# Scenes of the tests have pixels of 10 m and tiles of 32 pixels.
LIKE = {"pixel_size_m": [5, 20], "tile_size_m": [100, 1000]}
UNLIKE = {"pixel_size_m": [0.5, 2], "tile_size_m": [100, 1000]}


def with_domain(bundle: Bundle, folder: Path, domain: dict[str, Any]) -> Bundle:
    """Copy a bundle, and add a training domain to the manifest of the copy."""
    shutil.copytree(bundle.folder, folder)
    content = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**content, "training_domain": domain}))
    return read_bundle(folder)


def with_features(bundle: Bundle, folder: Path, features: npt.NDArray[np.floating]) -> Bundle:
    """Copy a bundle, and state image features [n, E] of training images in the manifest of the copy."""
    return with_domain(bundle, folder, {**LIKE, "image_feature": measure_features(features).as_json()})
