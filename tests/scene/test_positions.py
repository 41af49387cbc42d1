"""Positions on the Earth in metres."""

from __future__ import annotations

import numpy as np
import pytest
from pyproj import Geod

from bimors_cli.scene.positions import earth_centred


@pytest.mark.parametrize("latitude", [0.0, 47.5, -80.0])
def test_distances_are_those_on_the_ground(latitude: float) -> None:
    points = np.array([[179.9995, latitude], [-179.9995, latitude], [179.9995, latitude + 0.001]])
    places = earth_centred(points, "EPSG:4326")
    for other in (1, 2):
        *_, expected = Geod(ellps="WGS84").inv(*points[0], *points[other])
        assert np.linalg.norm(places[0] - places[other]) == pytest.approx(expected, rel=1e-6)


def test_metres_of_a_projected_crs() -> None:
    places = earth_centred(np.array([[5e5, 46e5], [5e5, 46e5 + 100]]), "EPSG:32618")
    assert np.linalg.norm(places[0] - places[1]) == pytest.approx(100, rel=1e-3)
