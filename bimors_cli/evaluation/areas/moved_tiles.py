"""Whether tiles are where the grid of their run has them: a reference holds for the place that was labelled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import geopandas
import numpy as np
import numpy.typing as npt
import rasterio
import shapely

from bimors_cli.errors import InputError
from bimors_cli.provenance import RecordedScene
from bimors_cli.scene.polygons import Polygons, reproject, tile_polygons

# Of the side of a tile: above what formats round, far below what a reference could depend on.
_TOLERANCE: Final = 1e-3


def check_places(
    path: Path, layer: str, frame: geopandas.GeoDataFrame, scenes: Sequence[RecordedScene], hint: str
) -> None:
    """Compare tiles with the recorded grids of their scenes.

    Parameters
    ----------
    path, layer : Path, str
        Where the tiles come from, for messages.
    frame : GeoDataFrame
        Tiles with ``tile_id``, ``scene``, ``row``, ``col`` and polygons, in any CRS.
    scenes : sequence of RecordedScene
        The scenes of the run.
    hint : str
        What to do if a tile is elsewhere.

    Raises
    ------
    InputError
        A polygon differs from that of the grid by more than a thousandth of a tile's side, a tile belongs to no scene
        or to no place in the grid, or the layer has no CRS.
    """
    if frame.crs is None:
        raise InputError(f"{path}: layer {layer!r} has no CRS", hint)
    crs = rasterio.crs.CRS.from_user_input(frame.crs.to_wkt())
    by_name = {scene.name: scene for scene in scenes}
    ids, names = ([str(value) for value in frame[column].tolist()] for column in ("tile_id", "scene"))
    places: npt.NDArray[np.float64] = np.stack([frame[name].to_numpy(np.float64) for name in ("row", "col")], axis=1)
    expected: Polygons = np.full(len(frame), None, object)
    for name in dict.fromkeys(names):
        rows = [index for index, other in enumerate(names) if other == name]
        scene = by_name.get(name)
        if scene is None:
            raise _moved(path, layer, ids[rows[0]], hint)
        tiles = []
        for index in rows:
            tile = _tile(scene, places[index])
            if tile is None or not ids[index].endswith(f"/{tile.row}/{tile.col}"):
                raise _moved(path, layer, ids[index], hint)
            tiles.append(tile)
        wkt = rasterio.crs.CRS.from_wkt(scene.crs_wkt)
        expected[rows] = reproject(tile_polygons(tiles, scene.transform), wkt, crs)
    found: Polygons = frame.geometry.to_numpy()
    with np.errstate(invalid="ignore"):
        apart = shapely.hausdorff_distance(found, expected)
        moved = np.flatnonzero(~(apart <= _TOLERANCE * np.sqrt(shapely.area(expected))))
    if len(moved):
        raise _moved(path, layer, ids[moved[0]], hint)


def _tile(scene: RecordedScene, place: npt.NDArray[np.float64]) -> Any:
    try:
        return scene.grid.tile(*(int(number) for number in place))
    except (IndexError, ValueError):  # outside the grid; null
        return None


def _moved(path: Path, layer: str, tile_id: str, hint: str) -> InputError:
    return InputError(f"{path}: layer {layer!r}: the tile {tile_id} is not where the run of the map had it", hint)
