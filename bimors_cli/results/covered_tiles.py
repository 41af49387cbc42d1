"""Which tiles of a layer lie under the features of a vector file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import shapely

from bimors_cli.errors import VectorError
from bimors_cli.output.geopackage import pam_disabled
from bimors_cli.provenance import RecordedScene, read_run
from bimors_cli.scene.polygons import Polygons, tile_polygons
from bimors_cli.scene.vector import Extent, check_vector_file, find_layer, one_line, reproject_around

# A tile that was drawn as a feature shares its edges with its neighbours, which do not lie under it. So much of a tile
# is less than a feature covers on purpose: of its width for a point or a line, of its area for a polygon.
_EDGE: Final = 0.01
_ROWS_AT_ONCE: Final = 50_000


@dataclass(frozen=True)
class Features:
    """The features of a vector file: object array [n] of valid geometries, in the CRS ``crs``."""

    path: str
    crs: str
    geometries: Polygons


def read_features_of(spec: str) -> Features:
    """Read the geometries of ``file`` or ``file:layer``; of a file of `bimors sample`, those of the sample.

    Raises
    ------
    VectorError
        The file or the layer does not exist or cannot be read, it has several layers and none is named, or no CRS.
    """
    import pyogrio.errors
    import pyogrio.raw

    path, name = _sample_layer(spec) or find_layer(spec)
    try:
        with pam_disabled():
            meta, _, wkb, _ = pyogrio.raw.read(path, layer=name, columns=[], force_2d=True)
        if meta["crs"] is None:
            raise VectorError(f"{path} has no CRS", "assign one: ogr2ogr -a_srs EPSG:... features.gpkg FILE")
        geometries = shapely.make_valid(shapely.from_wkb(wkb[[one is not None for one in wkb]]))
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, shapely.errors.ShapelyError) as error:
        raise VectorError(
            f"{path} cannot be read: {one_line(error)}", "repair it in QGIS with Fix geometries"
        ) from error
    return Features(path, str(meta["crs"]), geometries)


def covered_shares(features: Features, scene: RecordedScene, indices: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Return how much of each tile of a scene lies under features, 0 to 1.

    Of overlapping polygons the shares are added. A point or a line in a tile counts as 1; one on its edge, or less than
    a hundredth of the tile, as 0.

    Parameters
    ----------
    features : Features
        The features.
    scene : RecordedScene
        The scene.
    indices : int array [n]
        Indices of the tiles in its grid.

    Returns
    -------
    float64 array [n]

    Raises
    ------
    VectorError
        The features cannot be reprojected to the CRS of the scene.
    """
    grid, transform = scene.grid, scene.transform
    corners = [transform @ at for at in ((0, 0), (grid.scene_width, 0), (0, grid.scene_height))]
    corners.append(transform @ (grid.scene_width, grid.scene_height))
    left, bottom = np.min(corners, axis=0)
    right, top = np.max(corners, axis=0)
    extent = Extent("scene", scene.name, scene.crs_wkt, (left, bottom, right, top))
    geometries = reproject_around(features.geometries, features.crs, extent, features.path)
    is_area = shapely.get_dimensions(geometries) == 2
    tree = shapely.STRtree(geometries)
    result = np.zeros(len(indices))
    for first in range(0, len(indices), _ROWS_AT_ONCE):
        part = slice(first, first + _ROWS_AT_ONCE)
        polygons = tile_polygons(grid.take(indices[part].tolist()), transform)
        tiles, others = tree.query(polygons, predicate="intersects")
        areas = shapely.area(polygons[tiles])
        shares = shapely.area(shapely.intersection(polygons[tiles], geometries[others])) / areas
        thin = ~is_area[others]
        inner = shapely.buffer(polygons[tiles[thin]], -_EDGE * np.sqrt(areas[thin]), join_style="mitre")
        shares[thin] = shapely.intersects(inner, geometries[others[thin]])
        total = np.bincount(tiles, shares, len(polygons)).clip(0, 1)
        result[part] = np.where(total < _EDGE, 0, total)
    return result


def _sample_layer(spec: str) -> tuple[str, str] | None:
    """Return path and layer of the sample in a file of `bimors sample`; None for any other file."""
    import pyogrio
    import pyogrio.errors

    path = Path(spec)
    if path.suffix.lower() != ".gpkg" or not path.is_file():
        return None
    check_vector_file(spec)
    with pam_disabled():
        try:
            names = [str(name) for name, geometry in pyogrio.list_layers(path) if geometry is not None]
        except pyogrio.errors.DataSourceError as error:
            raise VectorError(f"cannot open {path}: {one_line(error)}", "give a vector file") from error
    return next(((spec, name) for name in names if read_run(path, name).sample is not None), None)
