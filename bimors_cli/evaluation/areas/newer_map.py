"""A newer map of the tiles of a sample, which is assessed by it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyproj

from bimors_cli.errors import InputError
from bimors_cli.evaluation.areas.moved_tiles import check_places
from bimors_cli.evaluation.areas.population import with_data
from bimors_cli.evaluation.areas.sample_file import Sample
from bimors_cli.output.geopackage import read_layer
from bimors_cli.provenance import RecordedScene, warnings_of_layer
from bimors_cli.results.classified_layer import read_classified_layer
from bimors_cli.scene.area import ground_areas
from bimors_cli.scene.tile_set import TileSet

_OTHER_MAP: Final = "give the map that the sample was drawn from, or a newer one of the same tiles"


@dataclass(frozen=True)
class NewerMap:
    """A map of the tiles of a sample's population, as its layer has it now.

    Attributes
    ----------
    path : Path
        Its file.
    labels : tuple of str
        The labels of its run.
    mapped : mapping of str to (str or None)
        The label of each tile of the population, by its id; None without one. Excluded tiles are among them if the
        sample does not record which these are.
    hectares : mapping of (str or None) to float
        The area of each label on the ground; empty if the sample does not record which tiles were excluded.
    warnings : tuple of str
        What the run that made it warned of.
    """

    path: Path
    labels: tuple[str, ...]
    mapped: Mapping[str, str | None]
    hectares: Mapping[str | None, float]
    warnings: tuple[str, ...] = ()

    @property
    def tiles(self) -> Counter[str | None]:
        """How many tiles have each label."""
        return Counter(self.mapped.values())


def read_newer_map(path: Path, layer: str | None, sample: Sample, scenes: Sequence[RecordedScene]) -> NewerMap:
    """Read a map, and check that it has the tiles that a sample was drawn from.

    Parameters
    ----------
    path, layer : Path, str or None
        As `read_classified_layer`.
    sample : Sample
        The sample.
    scenes : sequence of RecordedScene
        The scenes of the map that it was drawn from.

    Raises
    ------
    InputError
        As `read_classified_layer`; a tile is there twice; the scenes, the tiles per scene, the number of tiles with
        data or the place of a drawn tile differ from those of the sample.
    """
    found = read_classified_layer(path, layer)
    _check_scenes(found.path, found.scenes, sample, scenes)
    frame = read_layer(path, found.name, ["tile_id", "scene", "row", "col", "label", "reason"])
    repeated = frame["tile_id"].isna() | frame["tile_id"].duplicated()
    if repeated.any():
        name = frame["tile_id"][repeated].iloc[0]
        raise InputError(f"{path}: layer {found.name!r} has two tiles {name!r}", "delete the copy")
    frame = frame[with_data(frame) & ~frame.geometry.isna()]
    drawn = frame["tile_id"].isin(set(sample.tile_ids)).to_numpy()
    if missing := len(sample.tile_ids) - int(drawn.sum()):
        raise InputError(
            f"{path}: layer {found.name!r} has no data for {missing:,} of the {len(sample.tile_ids):,} tiles of "
            f"{sample.path}: it is a sample of another map",
            _OTHER_MAP,
        )
    design = sample.design
    recorded = bool(design.left_out)
    population = sum(one.tiles for one in design.strata) + design.excluded
    if len(frame) != population:
        left_out = f" ({design.excluded:,} of them excluded)" if design.excluded else ""
        raise InputError(
            f"{path}: layer {found.name!r} has {len(frame):,} tiles with data, and {sample.path} was drawn from "
            f"{population:,}{left_out}",
            _OTHER_MAP,
        )
    check_places(path, found.name, frame[drawn], scenes, _OTHER_MAP)
    frame = frame[~_left_out(frame, sample)]
    if recorded and len(frame) != population - design.excluded:
        raise InputError(
            f"{path}: layer {found.name!r} lacks some of the tiles that {sample.path} was drawn from", _OTHER_MAP
        )
    labels = [value.strip() or None if isinstance(value, str) else None for value in frame["label"].tolist()]
    hectares: dict[str | None, float] = {}
    if recorded or not design.excluded:
        areas = ground_areas(frame.geometry.to_numpy(), pyproj.CRS.from_user_input(frame.crs)) / 10_000
        hectares = {
            label: math.fsum(areas[[other == label for other in labels]].tolist()) for label in dict.fromkeys(labels)
        }
    mapped = dict(zip(map(str, frame["tile_id"]), labels, strict=True))
    return NewerMap(path, found.labels.names, mapped, hectares, warnings_of_layer(path, found.run))


def _left_out(frame: Any, sample: Sample) -> npt.NDArray[np.bool_]:
    """Tell which rows are tiles that the sample records as excluded, bool [n]."""
    try:
        sets = [TileSet.from_json(one) for one in sample.design.left_out]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{sample.path}: the record of the excluded tiles is damaged: {error!r}", "draw the sample again"
        ) from error
    result = np.zeros(len(frame), np.bool_)
    for one in sets:
        indices = (frame["row"] * one.grid.cols + frame["col"]).to_numpy()
        result |= (frame["scene"] == one.name).to_numpy() & np.isin(indices, one.indices)
    return result


def _check_scenes(
    path: Path, found: Sequence[RecordedScene], sample: Sample, expected: Sequence[RecordedScene]
) -> None:
    grids = {scene.name: scene.grid for scene in found}
    for scene in expected:
        if scene.name not in grids:
            raise InputError(
                f"{path}: {sample.path} is a sample of a map of {scene.name}, and this is none", _OTHER_MAP
            )
        if grids[scene.name] != scene.grid:
            raise InputError(
                f"{path}: {scene.name} has {len(grids[scene.name]):,} tiles in another grid than in the map of "
                f"{sample.path}, which has {len(scene.grid):,}",
                _OTHER_MAP,
            )
    for name in grids:
        if name not in {scene.name for scene in expected}:
            raise InputError(f"{path}: {name} was not in the map of {sample.path}", _OTHER_MAP)
