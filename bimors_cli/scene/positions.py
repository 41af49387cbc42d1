"""Positions on the Earth in metres, whatever the CRS."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def earth_centred(points: npt.NDArray[np.float64], crs: str) -> npt.NDArray[np.float64]:
    """Return points on the ellipsoid in metres from the centre of the Earth (EPSG:4978), so that distances are metres.

    Parameters
    ----------
    points : float64 array [n, 2]
        x and y in ``crs``, x before y.
    crs : str
        WKT, or anything else that pyproj understands.

    Returns
    -------
    float64 array [n, 3]
        Not finite for a point that cannot be mapped.
    """
    from pyproj import Transformer

    lon, lat = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(points[:, 0], points[:, 1])
    to_metres = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
    return np.stack(to_metres.transform(lon, lat, np.zeros(len(points))), axis=1)
