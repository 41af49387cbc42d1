"""A scene of known classes: real test pictures laid out in smooth regions, with holes where a class has no more."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from PIL import Image
from scipy import ndimage

# Names that this model knows, for those that are words joined or short.
RSSCN7 = {"field": "farmland", "grass": "meadow", "industry": "industrial", "resident": "dense residential"}
RSSCN7 |= {"river_lake": "river"}
RSICD = {
    "bareland": "bare land",
    "baseballfield": "baseball field",
    "denseresidential": "dense residential",
    "mediumresidential": "medium residential",
    "railwaystation": "railway station",
    "sparseresidential": "sparse residential",
    "storagetanks": "storage tanks",
}


@dataclass(frozen=True)
class Mosaic:
    """A scene of square tiles; ``truth`` int [rows, cols] has the place of each tile's label, -1 for a hole."""

    path: Path
    labels: list[str]
    truth: npt.NDArray[np.intp]


def rsscn7_test(shared: Path) -> dict[str, list[Path]]:
    """Return the test pictures by label; the README of the folder says which they are."""
    found: dict[str, list[Path]] = {}
    for folder in sorted((shared / "imagery" / "rsscn7" / "images").iterdir()):
        for file in sorted(folder.iterdir()):
            if hashlib.sha1(f"{folder.name}/{file.name}".encode()).digest()[-1] < 77:
                found.setdefault(RSSCN7.get(folder.name, folder.name), []).append(file)
    return found


def rsicd_test(shared: Path) -> dict[str, list[Path]]:
    """Return the test pictures of the split by label."""
    found: dict[str, list[Path]] = {}
    for path, _, name in json.loads((shared / "splits" / "rsicd.json").read_text())["test"]:
        found.setdefault(RSICD.get(name, name), []).append(shared / "imagery" / "rsicd" / "images" / path)
    return found


def make_mosaic(path: Path, pictures: dict[str, list[Path]], side: int, tile: int, *, seed: int = 0) -> Mosaic:
    """Write a scene of side x side tiles, of so many pixels each; each picture is used once."""
    random = np.random.default_rng(seed)
    labels = sorted(pictures)
    fields = [ndimage.gaussian_filter(random.normal(size=(side, side)), 2, mode="wrap") for _ in labels]
    truth = np.argmax([field / field.std() for field in fields], axis=0)
    left = {name: list(random.permutation(pictures[name])) for name in labels}
    profile = {"driver": "GTiff", "dtype": "uint8", "crs": "EPSG:32618", "tiled": True, "nodata": 0}
    with rasterio.open(
        path, "w", count=3, width=side * tile, height=side * tile, transform=Affine(1, 0, 5e5, 0, -1, 4.6e6), **profile
    ) as scene:
        for (row, col), label in np.ndenumerate(truth):
            if not left[labels[label]]:
                truth[row, col] = -1
                continue
            with Image.open(left[labels[label]].pop()) as picture:
                pixels = np.asarray(picture.convert("RGB").resize((tile, tile), Image.Resampling.BICUBIC))
            window = rasterio.windows.Window(col * tile, row * tile, tile, tile)
            scene.write(np.maximum(pixels, 1).transpose(2, 0, 1), window=window)
    return Mosaic(path, labels, truth)
