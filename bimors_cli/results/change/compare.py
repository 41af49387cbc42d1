"""Why two layers may differ although nothing changed: other sensors, other models, other radiometry, another order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bimors_cli.errors import BimorsError
from bimors_cli.provenance import RecordedScene, check_same_raster, warnings_of_layer
from bimors_cli.results.change.match import UNNOTICED, Placement, describe
from bimors_cli.results.classified_layer import ClassifiedLayer
from bimors_cli.scene.bands import Bands
from bimors_cli.scene.gdal import is_local
from bimors_cli.scene.raster import Scene, open_scene
from bimors_cli.scene.sample import sample_scene
from bimors_cli.scene.stac_scene import file_of

# The median of a band may differ by so many standard deviations of its pixels. Measured: naip_2014 against naip_2018,
# one place, 0.3 to 0.8, where four of ten ponds of an adapter of 2014 become fields; two halves of one date below 0.01.
_MOST_MOVED: Final = 0.5
# What decides the answers, by its key in the record of a run, and what a user calls it.
_MODEL: Final = {
    "model": "bundles",
    "adapter": "adapters",
    "head": "heads",
    "captions": "captions",
    "templates": "templates",
    "priors": "priors",
    "refine": "values of --refine",
    "vote": "values of --vote",
}
_DATE: Final = "TIFFTAG_DATETIME"


def differences(before: ClassifiedLayer, after: ClassifiedLayer, placements: tuple[Placement, ...]) -> tuple[str, ...]:
    """Return a line for each reason why tiles may differ although nothing changed there.

    The scenes are opened where they are found; without them the comparison is by what the layers record.
    """
    lines = list(_models(before, after))
    for one in placements:
        lines += _places(before.scenes[one.before], after.scenes[one.after], one)
        lines += _scenes(before, after, one)
    if any(scene.grid.stride_x < scene.grid.tile_width for scene in before.scenes):
        lines.append("the tiles overlap, so areas are counted several times: classify with --vote for areas")
    return tuple(dict.fromkeys(lines))


def _models(before: ClassifiedLayer, after: ClassifiedLayer) -> Iterator[str]:
    different = [
        name for key, name in _MODEL.items() if (before.run_key.get(key) or None) != (after.run_key.get(key) or None)
    ]
    if different:
        yield (
            f"the layers were made with different {', '.join(different)}: two models differ without any change; "
            "classify both scenes with the same options"
        )
    for layer in (before, after):
        yield from warnings_of_layer(layer.path, layer.run)


def _places(before: RecordedScene, after: RecordedScene, placement: Placement) -> Iterator[str]:
    if placement.off > UNNOTICED:
        yield (
            f"the tiles of {after.name} are shifted by {describe(placement)} against those of {before.name}: "
            "edges of fields and forests may look changed"
        )
    pixels = [(abs(t.a) + abs(t.d), abs(t.b) + abs(t.e)) for t in (before.transform, after.transform)]
    if not np.allclose(pixels[0], pixels[1], rtol=0.01):
        yield (
            f"{before.name} and {after.name} have pixels of different sizes "
            f"({pixels[0][0]:.4g} and {pixels[1][0]:.4g}): what they show differs without any change"
        )


def _scenes(before: ClassifiedLayer, after: ClassifiedLayer, placement: Placement) -> Iterator[str]:
    """Compare two scenes by their files, as far as both are found, or by their records."""
    first, second = before.scenes[placement.before], after.scenes[placement.after]
    names = f"{first.name} and {second.name}"
    with ExitStack() as stack:
        one, two = _open(stack, before, first), _open(stack, after, second)
        if one is None or two is None:
            missing = first.name if one is None else second.name
            if (first.bands, first.stretch.kind) != (second.bands, second.stretch.kind):
                yield f"{names} were read with different bands or stretches: their labels may differ without any change"
            yield f"{missing} was not found: sensors and brightness of {names} were not compared"
            return
        if _sensor(one, first) != _sensor(two, second):
            yield (
                f"{names} are of different sensors ({_described(one, first)}; {_described(two, second)}): "
                "their labels may differ without any change"
            )
            return
        moved = _moved(one, first, two, second)
        if moved:
            yield (
                f"the brightness of {second.name} differs from that of {first.name} ({moved}): season, light or "
                "calibration may look like change; finetune on examples of both dates"
            )
        dates = [scene.dataset.tags().get(_DATE) for scene in (one, two)]
        if dates[0] and dates[1] and dates[0] > dates[1]:
            yield f"{first.name} ({dates[0]}) is later than {second.name} ({dates[1]}): exchange the two layers"


def _open(stack: ExitStack, layer: ClassifiedLayer, recorded: RecordedScene) -> Scene | None:
    """Open a scene; None if it is not found, or is not the one that the layer was made from."""
    path = recorded.find(layer.path) if is_local(file_of(recorded.path)) else None
    if path is None:
        return None
    try:
        opened = open_scene(path, assume_crs=recorded.crs_wkt, ignore_alpha=not recorded.nodata.masks)
        scene = stack.enter_context(opened)
        check_same_raster(scene.info, recorded, layer.path, "")
    except BimorsError:
        return None
    return scene


def _sensor(scene: Scene, recorded: RecordedScene) -> tuple[Any, ...]:
    """Return what scenes of one sensor have in common."""
    info = scene.info
    names = info.band_names if any(info.band_names) else info.colorinterp
    return info.count, info.dtypes, names, recorded.bands


def _described(scene: Scene, recorded: RecordedScene) -> str:
    info = scene.info
    names = ", ".join(name or "?" for name in info.band_names) if any(info.band_names) else f"{info.count} bands"
    return f"{names}; {info.dtypes[0]}; bands {','.join(map(str, recorded.bands))} used"


def _moved(one: Scene, first: RecordedScene, two: Scene, second: RecordedScene) -> str:
    """Return by how many standard deviations the medians of the bands differ, of those that moved; empty for none."""
    samples = []
    for scene, recorded in ((one, first), (two, second)):
        if scene.info.is_palette:
            return ""
        try:
            samples.append(sample_scene(scene.dataset, Bands(recorded.bands), recorded.nodata).values)
        except BimorsError:
            return ""
    if not all(values.shape[1] for values in samples):
        return ""
    centres = [np.median(values, axis=1) for values in samples]
    spreads: list[npt.NDArray[np.float64]] = [values.std(axis=1, dtype=np.float64) for values in samples]
    spread = np.maximum((spreads[0] + spreads[1]) / 2, 1e-12)
    moved = (centres[1].astype(np.float64) - centres[0]) / spread
    return ", ".join(
        f"band {band} by {value:+.1f} standard deviations"
        for band, value in zip(first.bands, moved.tolist(), strict=True)
        if abs(value) > _MOST_MOVED
    )
