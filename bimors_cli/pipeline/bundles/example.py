"""The example that is part of bimors: six tiles of an aerial image, and the same with the bands that a model takes."""

from __future__ import annotations

import hashlib
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

import numpy as np

from bimors_cli.bundle.input_bands import InputBands
from bimors_cli.labels import Labels

# Three by two tiles of 64 pixels of 5 m, of USDA NAIP 2014, which is in the public domain: ponds and fields.
TILE_SIZE: Final = 64
LABELS: Final = ("pond", "farmland", "meadow", "bare land", "forest", "sparse residential")
# The bundles' own templates may change from one version to the next.
TEMPLATE: Final = "a satellite photo of {}."


def example_labels() -> Labels:
    """Return the classes of the example."""
    return Labels.of(list(LABELS))


def example_hash() -> str:
    """Return the SHA-256 of all that the answers to the example depend on, but for the model."""
    words = "\n".join((str(TILE_SIZE), TEMPLATE, *LABELS))
    return hashlib.sha256(_scene_bytes() + words.encode()).hexdigest()


def write_example(folder: Path, bands: InputBands | None) -> Path:
    """Write the example, and return its path.

    Parameters
    ----------
    folder : Path
        An existing folder.
    bands : InputBands, optional
        The bands that the model takes, if these are not red, green and blue. Each is then made of the brightness of the
        image, with the mean and the standard deviation of the band's training pixels: a test of the software, since no
        such image exists.
    """
    path = folder / "scene.tif"
    if bands is None:
        path.write_bytes(_scene_bytes())
        return path
    import rasterio

    with as_file(_scene()) as source, rasterio.open(source) as opened:
        brightness = opened.read().astype(np.float32).mean(axis=0)
        shape = {"width": opened.width, "height": opened.height, "crs": opened.crs, "transform": opened.transform}
    score = (brightness - brightness.mean()) / brightness.std()
    with rasterio.open(path, "w", driver="GTiff", count=len(bands), dtype="float32", **shape) as target:
        for index, band in enumerate(bands.bands, 1):
            target.write(band.mean + band.std * score, index)
            target.set_band_description(index, band.name)
    return path


def _scene_bytes() -> bytes:
    return _scene().read_bytes()


def _scene() -> Traversable:
    return files("bimors_cli.pipeline.bundles") / "example_scene" / "scene.tif"
