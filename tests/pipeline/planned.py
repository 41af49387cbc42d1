"""A small run that is planned: two scenes, one with a hole, of 6 x 8 and 3 x 5 tiles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.labels import Labels
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.pipeline.classify import Classification
from bimors_cli.pipeline.make_plan import make_plan
from tests.conftest import MakeRaster

LABELS = Labels.of(["forest", "river", "port"])


def planned(make_raster: MakeRaster, bundle: Bundle, output: Path, **options: Any) -> Classification:
    """Plan it, for the engine Ray unless ``options`` say otherwise."""
    random = np.random.default_rng(0)
    first = random.integers(1, 256, (3, 96, 128), dtype=np.uint8)
    first[:, 16:32, 32:64] = 0
    second = random.integers(1, 256, (3, 48, 80), dtype=np.uint8)
    scenes = [output.parent / name for name in ("first.tif", "second.tif")]
    for path, pixels in zip(scenes, (first, second), strict=True):
        if not path.exists():  # a scene that was written again is another
            make_raster(pixels, name=path.name, nodata=0)
    chosen = ClassifyOptions(
        scenes=tuple(map(str, scenes)), labels=LABELS, output=str(output), model=str(bundle.folder), tile_size="16",
        device="cpu", engine="ray", probabilities=True, keep_empty=True,
    )  # fmt: skip
    return Classification.from_plan(make_plan(replace(chosen, **options)), ["bimors"])
