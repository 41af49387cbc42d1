"""The tiles of a map that a sample may contain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import shapely
from rasterio.crs import CRS

from bimors_cli.errors import InputError
from bimors_cli.evaluation.areas.exclude import Mask, example_outlines, features_around, overlapping
from bimors_cli.output.classified_schema import UNSEEN
from bimors_cli.output.geopackage import read_layer
from bimors_cli.results.classified_layer import ClassifiedLayer
from bimors_cli.run_warnings import warn
from bimors_cli.scene.area import ground_areas
from bimors_cli.scene.polygons import Polygons
from bimors_cli.scene.tile_set import TileSet


@dataclass(frozen=True)
class Population:
    """The tiles that may be drawn, sorted by their ids, so that the order of the file has no effect.

    Attributes
    ----------
    frame : DataFrame
        Columns tile_id, scene, row, col and that of the strata, one row per tile.
    polygons : object array [n] of Polygon or MultiPolygon
        Their outlines.
    crs : pyproj.CRS
        CRS of the layer.
    hectares : float64 array [n]
        Their areas on the ground, above 0.
    labels : tuple of (str or None)
        Their labels on the map.
    examples, excluded : int
        Number of tiles that are not among them as they were examples, and of the others that were excluded by a file.
    left_out : tuple of TileSet
        The tiles that are not among them for one of these reasons.
    grid : DataFrame
        Columns scene, row, col and geometry of all tiles of the layer.
    """

    frame: Any
    polygons: Polygons
    crs: pyproj.CRS
    hectares: npt.NDArray[np.float64]
    labels: tuple[str | None, ...]
    examples: int
    excluded: int
    left_out: tuple[TileSet, ...]
    grid: Any


def read_population(layer: ClassifiedLayer, by: str, exclude: str | None) -> Population:
    """Read the tiles of a layer with data, without the examples of the adapter that the layer records.

    Parameters
    ----------
    layer : ClassifiedLayer
        The map.
    by : str
        Column of the strata.
    exclude : str, optional
        A vector file, or ``file:layer``, of places to leave out.

    Raises
    ------
    InputError
        The layer lacks the column or a CRS, tiles have no id or the same, the area of a tile is unknown, or no tile is
        left; the file cannot be used.
    """
    where = f"{layer.path}: layer {layer.name!r}"
    names = dict.fromkeys(["tile_id", "scene", "row", "col", "label", "reason", by])
    frame = read_layer(layer.path, layer.name, list(names))
    if by not in frame:
        raise InputError(f"{where} has no column {by}", "choose another --by")
    if frame.crs is None:
        raise InputError(f"{where} has no CRS", "classify again")
    if frame["tile_id"].isna().any() or frame["tile_id"].duplicated().any():
        raise InputError(f"{layer.path}: a tile has no tile_id, or one of another tile", "delete the tiles in question")
    frame = frame[~frame.geometry.isna()].sort_values("tile_id", ignore_index=True)
    grid = frame[["tile_id", "scene", "row", "col", "geometry"]]
    frame = frame[with_data(frame)]
    if not len(frame):
        raise InputError(f"{where} has no tile with data", "give a layer of tiles with data")
    crs = pyproj.CRS.from_user_input(frame.crs)
    tiles: Polygons = frame.geometry.to_numpy()
    learned = _examples(layer, tiles, crs)
    given = np.zeros(len(tiles), np.bool_)
    if exclude is not None:
        given = overlapping(tiles, features_around(exclude, layer.path, tiles, crs)) & ~learned
    kept = ~(learned | given)
    examples, excluded = int(learned.sum()), int(given.sum())
    if not kept.any():
        raise InputError(
            f"{where} has no tile to draw: {examples:,} of its {len(frame):,} tiles share ground with examples of the "
            f"adapter, --exclude leaves out {excluded:,}",
            "finetune with fewer examples (--shots), or without --background, and classify again",
        )
    left_out = _tile_sets(layer, frame[~kept])
    frame, tiles = frame[kept], tiles[kept]
    return Population(
        frame,
        tiles,
        crs,
        _hectares(layer, frame["tile_id"].tolist(), tiles, crs),
        tuple(value.strip() or None if isinstance(value, str) else None for value in frame["label"].tolist()),
        examples,
        excluded,
        left_out,
        grid,
    )


def with_data(frame: Any) -> Any:
    """Tell which rows, of the columns label and reason, are tiles whose pixels a model has seen: a Series of bool."""
    return ~(frame["label"].isna() & frame["reason"].isin(UNSEEN))


def _tile_sets(layer: ClassifiedLayer, frame: Any) -> tuple[TileSet, ...]:
    """Return the tiles of some rows, one set for each scene."""
    found = []
    for scene in layer.scenes:
        own = frame[frame["scene"] == scene.name]
        if len(own):
            indices = (own["row"] * scene.grid.cols + own["col"]).astype(int).tolist()
            found.append(TileSet.of(scene.name, CRS.from_wkt(scene.crs_wkt), scene.transform, scene.grid, indices))
    return tuple(found)


def _examples(layer: ClassifiedLayer, tiles: Polygons, crs: pyproj.CRS) -> Mask:
    """Tell which tiles share ground with the examples of the adapter, as far as the layer records them."""
    recorded = layer.run.examples
    if recorded is None and layer.run_key.get("adapter") is not None:
        warn(
            "%s does not record where the examples of its adapter are, so the sample may contain them: "
            "leave them out with --exclude FILE, the training polygons for example",
            layer.path,
        )
    return overlapping(tiles, example_outlines(recorded or (), layer.path, crs))


def _hectares(layer: ClassifiedLayer, tile_ids: list[str], tiles: Polygons, crs: pyproj.CRS) -> npt.NDArray[np.float64]:
    found = ground_areas(tiles, crs) / 10_000
    unknown = np.flatnonzero(~(np.isfinite(found) & (found > 0)))
    if len(unknown):
        name = tile_ids[unknown[0]]
        bounds = ", ".join(f"{value:.6g}" for value in shapely.bounds(tiles[unknown[0]]))
        raise InputError(
            f"{layer.path}: the area of {len(unknown):,} tiles is unknown, that of {name} at ({bounds}) for example: "
            "it is outside the area of the CRS, or empty",
            "delete such tiles, or classify again with a CRS that covers the scene (--crs)",
        )
    return found
