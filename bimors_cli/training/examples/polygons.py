"""Examples from scenes and the vector features that a user drew on them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from bimors_cli.errors import InputError
from bimors_cli.options.class_names import ClassNames
from bimors_cli.options.scene import SceneOptions
from bimors_cli.pipeline.make_plan import plan_scenes
from bimors_cli.pipeline.plan import ScenePlan
from bimors_cli.run_warnings import warn
from bimors_cli.scene.feature_counts import give_tiles
from bimors_cli.training.examples.base import Examples, class_labels
from bimors_cli.training.examples.feature_groups import connected_features, group_cells
from bimors_cli.training.examples.label_tiles import NO_FEATURE, cell_boxes, label_cells, to_areas
from bimors_cli.training.examples.scene_tiles import LabelledTile, TileImages, has_enough_data, tile_examples
from bimors_cli.training.examples.vector_features import Features, read_features

_SMALLER: Final = "use a smaller --tile-size or a lower --min-overlap"

log = logging.getLogger("bimors")


def from_polygons(
    scenes: Sequence[str],
    polygons: str,
    field: str,
    *,
    image_size: int,
    options: SceneOptions | None = None,
    min_overlap: float = 0.5,
    background: str | None = None,
    names: ClassNames | None = None,
    points_crs: str | None = None,
) -> Examples:
    """Take the tiles that features cover as examples, in the same grid as `classify`.

    `label_cells` gives the class of a tile, `group_cells` its group; that of a background tile is its spatial block.
    Labels are the values of the field at the scenes, sorted, then the background. Tiles with too little data are
    skipped.

    Parameters
    ----------
    scenes : sequence of str
        Rasters, as for `classify`.
    polygons : str
        A vector file, or ``file:layer``, of polygons, lines or points in any CRS, or a CSV table of points.
    field : str
        The field that holds the class name or code.
    image_size : int
        Pixels a side of the model's input.
    options : SceneOptions, optional
        Tiling, bands, stretch and nodata of the scenes.
    min_overlap : float
        The fraction of a tile that a class must cover, 0..1.
    background : str, optional
        The class of tiles without any feature, in scenes with features; by default such tiles are skipped.
    names : ClassNames, optional
        The names of the codes in the field; several codes may have one name.
    points_crs : str, optional
        CRS of the coordinates, if the features are a CSV table.

    Raises
    ------
    InputError
        As `plan_scenes` and `read_features`; the overlap is outside 0..1; there is one class only; no tile is covered
        enough.
    ReadError
        The pixels that the stretch needs cannot be read.
    """
    if not 0 <= min_overlap <= 1:
        raise InputError(f"--min-overlap {min_overlap}: must be between 0 and 1")
    how = options or SceneOptions()
    plans = plan_scenes(scenes, how)
    features = read_features(polygons, field, [plan.info for plan in plans], names, points_crs)
    classes = sorted({str(name) for classes in features.classes for name in classes})
    everything = [*classes, *([background] if background is not None and background not in classes else [])]
    labels = class_labels(
        everything,
        f"{features.path}, {field}",
        "draw another class, or give the other tiles one with --background NAME",
    )
    tiles: list[LabelledTile] = []
    used: set[int] = set()
    groups = connected_features(features)
    for number, plan in enumerate(plans):
        if not len(features.classes[number]):
            continue
        rest = None if background is None else everything.index(background)
        found = _label(plan, number, features, groups[number], classes, min_overlap, rest, image_size, how.min_valid)
        used |= _with_tiles(plan, number, features, classes, found)
        tiles += found
    if not tiles:
        raise InputError(
            f"{features.path}: no class covers a fraction of {min_overlap:g} of any tile",
            "use a smaller --tile-size or a lower --min-overlap",
        )
    _warn_of_scenes(plans, features)
    unused = {int(one) for ids in features.ids for one in ids} - used
    features.counts.with_tiles(len(unused)).warn(_SMALLER)
    counts = np.bincount([tile.label for tile in tiles], minlength=len(everything))
    none = [repr(name) for name, count in zip(everything, counts, strict=True) if not count]
    if none:
        warn("%s: %s %s no tile enough: %s", features.path, *_classes(none), _SMALLER)
    first = plans[0]
    return Examples(
        labels,
        tile_examples(plans, tiles),
        TileImages(plans, tuple(tiles), image_size),
        first.info.stem if len(plans) == 1 else Path(features.path).stem,
        {
            "source": features.kind,
            "path": str(Path(features.path).resolve()),
            "layer": features.layer,
            "field": field,
            "scenes": ", ".join(plan.info.name for plan in plans),
            "tile": f"{first.grid.tile_width} x {first.grid.tile_height} px",
            "minimum overlap": f"{min_overlap:g}",
            "background": background or "",
            "tiles": ", ".join(f"{name} {count}" for name, count in zip(everything, counts, strict=True)),
        },
    )


def _classes(names: Sequence[str]) -> tuple[str, str]:
    return f"class{'es' * (len(names) > 1)} {', '.join(names)}", "cover" if len(names) > 1 else "covers"


def _warn_of_scenes(plans: Sequence[ScenePlan], features: Features) -> None:
    """Warn of scenes without a feature, in one line."""
    empty = [plan.info.name for plan, classes in zip(plans, features.classes, strict=True) if not len(classes)]
    if empty:
        which = empty[0] if len(empty) == 1 else f"{len(empty):,} of {len(plans):,} scenes, such as {empty[0]}"
        warn("%s: no feature intersects %s, which is skipped: draw some there", features.path, which)


def _with_tiles(
    plan: ScenePlan, number: int, features: Features, names: Sequence[str], tiles: Sequence[LabelledTile]
) -> set[int]:
    """Return the FIDs of the features of a scene that intersect one of its tiles with their class."""
    boxes = cell_boxes(plan.grid)[[tile.index for tile in tiles]]
    classes = np.array([names.index(str(name)) for name in features.classes[number]], np.intp)
    given = give_tiles(
        to_areas(features.kind, features.geometries[number]), classes, boxes, np.array([tile.label for tile in tiles])
    )
    return set(features.ids[number][given].tolist())


def _label(
    plan: ScenePlan,
    number: int,
    features: Features,
    groups: npt.NDArray[np.int64],
    names: list[str],
    min_overlap: float,
    background: int | None,
    image_size: int,
    min_valid: float,
) -> list[LabelledTile]:
    """Return the labelled tiles of one scene."""
    index_of = {name: i for i, name in enumerate(names)}
    classes = np.array([index_of[name] for name in features.classes[number]], np.intp)
    geometries = features.geometries[number]
    found = label_cells(plan.grid, features.kind, geometries, classes, len(names), min_overlap)
    group = group_cells(plan.grid, features.kind, geometries, classes, groups, found)
    if background is not None:
        found[found == NO_FEATURE] = background
    chosen = np.flatnonzero(found >= 0)
    usable = chosen[has_enough_data(plan, chosen.tolist(), image_size, min_valid)]
    if len(usable) < len(chosen):
        skipped = len(chosen) - len(usable)
        log.info("%s: skipped %d labelled tiles with too few valid pixels", plan.info.name, skipped)
    return [
        LabelledTile(number, int(i), int(found[i]), group="" if group[i] == NO_FEATURE else f"feature {group[i]}")
        for i in usable
    ]
