"""The geometries of a vector file that can be used."""

from __future__ import annotations

import numpy as np
import shapely

from bimors_cli.scene.geometries import polygonal_parts


def test_polygons_of_collections() -> None:
    """Google Earth writes a label point next to each polygon, also in nested collections."""
    square, point = shapely.box(0, 0, 1, 1), shapely.Point(5, 5)
    nested = shapely.GeometryCollection([point, shapely.GeometryCollection([shapely.MultiPolygon([square])])])
    lines = shapely.GeometryCollection([point, shapely.LineString([(0, 0), (1, 1)])])
    found = polygonal_parts(np.array([square, nested, lines], object))
    assert found[0].equals(square) and found[1].equals(square) and found[1].geom_type == "MultiPolygon"
    assert found[2] is lines
