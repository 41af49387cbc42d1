"""Sizes as users write them (224, 500m, 10%) and what they are in pixels."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError

from bimors_cli.errors import InputError
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.raster import SceneInfo

# A run keeps some bytes a tile. A scene of 700,000 x 700,000 pixels has as many tiles of 224.
MAX_TILES: Final = 10_000_000

Unit = Literal["px", "m", "%"]
_UNITS: Final[dict[str, tuple[Unit, float]]] = {
    "": ("px", 1.0), "px": ("px", 1.0), "m": ("m", 1.0), "km": ("m", 1000.0), "%": ("%", 1.0),
}  # fmt: skip
_LENGTH: Final = re.compile(r"\s*([0-9]{1,12}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})\s*(px|m|km|%|)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Length:
    """A length with its unit: pixels, metres on the ground, or per cent of the tile."""

    value: float
    unit: Unit

    def __str__(self) -> str:
        return f"{self.value:.12g}{'' if self.unit == '%' else ' '}{self.unit}"


NO_OVERLAP: Final = Length(0, "px")


def parse_tile_size(text: str) -> Length:
    """Parse a tile size: ``224``, ``224px``, ``500m``, ``0.5km``.

    Raises
    ------
    InputError
        Not a length, a part of a pixel, zero, or per cent.
    """
    length = _parse(text, "tile size", "write it as 224, 500m or 0.5km")
    if length.unit == "%" or length.value == 0:
        raise InputError(f"a tile size of {text.strip()} says nothing", "write it as 224, 500m or 0.5km")
    return length


def parse_overlap(text: str) -> Length:
    """Parse an overlap: ``16``, ``16px``, ``10%`` of the tile, ``50m``.

    Raises
    ------
    InputError
        Not a length, a part of a pixel, or 100 per cent and more.
    """
    length = _parse(text, "overlap", "write it as 16, 10% or 50m")
    if length.unit == "%" and length.value >= 100:
        raise InputError(f"an overlap of {text.strip()} leaves no step", "give an overlap smaller than the tile")
    return length


def _parse(text: str, what: str, hint: str) -> Length:
    match = _LENGTH.fullmatch(text)
    if match is None:
        raise InputError(f"{text!r} is not a {what}", hint)
    unit, factor = _UNITS[match[2].lower()]
    value = float(match[1]) * factor
    if unit == "px" and not value.is_integer():
        raise InputError(f"{text!r} is a part of a pixel", "give whole pixels")
    return Length(value, unit)


def to_pixels(length: Length, pixel_size_m: float, *, of: int = 0) -> int:
    """Return a length in whole pixels, rounded to the nearest.

    Parameters
    ----------
    length : Length
        The length.
    pixel_size_m : float
        Metres a pixel along the axis; used for metres only.
    of : int
        Pixels of the tile along the axis; used for per cent only.
    """
    if length.unit == "px":
        return int(length.value)
    return round(length.value / pixel_size_m if length.unit == "m" else length.value / 100 * of)


def make_grid(info: SceneInfo, tile_size: Length, overlap: Length = NO_OVERLAP) -> Grid:
    """Cut a scene into tiles.

    A tile in metres has as many pixels along each axis as come nearest to it, so it is not square in pixels where
    the pixels are not square on the ground. A tile larger than the scene both ways is shrunk, in proportion, until it
    just holds the scene: the scene is one tile.

    Raises
    ------
    InputError
        A tile that rounds to no pixel, an overlap as large as the tile, metres in a scene whose pixels have none, or
        more tiles than a run can keep an account of.
    """
    pixel = (1.0, 1.0)
    if "m" in (tile_size.unit, overlap.unit):
        pixel = pixel_size_metres(info.transform, info.crs, info.width, info.height)
    width, height = (to_pixels(tile_size, size) for size in pixel)
    if min(width, height) < 1:
        hint = f"a pixel is {pixel[0]:.6g} x {pixel[1]:.6g} m: give a larger tile"
        raise InputError(f"a tile of {tile_size} is less than a pixel of {info.name}", hint)
    steps = (width - to_pixels(overlap, pixel[0], of=width), height - to_pixels(overlap, pixel[1], of=height))
    if min(steps) < 1:
        hint = "give an overlap smaller than the tile"
        raise InputError(f"an overlap of {overlap} leaves no step between tiles of {tile_size}", hint)
    shrink = max(info.width / width, info.height / height)
    if shrink < 1:
        width, height = max(info.width, round(width * shrink)), max(info.height, round(height * shrink))
        steps = (width, height)
    grid = Grid(info.width, info.height, width, height, *steps)
    if len(grid) > MAX_TILES:
        hint = "take larger tiles, or cut the scene: gdal_translate -srcwin"
        raise InputError(f"{info.name} has {len(grid):,} tiles of this size, more than {MAX_TILES:,}", hint)
    return grid


def pixel_size_metres(transform: Affine, crs: CRS, width: int, height: int) -> tuple[float, float]:
    """Measure the pixel at the centre of a scene, along its columns' axis (x) and its rows' axis (y), in metres.

    Projected: the norms of the transform's columns (right for rotated scenes too) times the CRS's unit, as GDAL takes
    a resolution; `ground_scale` tells how far that is from the ground. Geographic: the distance on the CRS's own
    ellipsoid (a geodesic, so poles, the antimeridian and Mars need no care).

    Parameters
    ----------
    transform : Affine
        Pixel to map.
    crs : CRS
        Of the map coordinates.
    width, height : int
        Pixels of the scene.

    Raises
    ------
    InputError
        The ground cannot be measured there: a geographic scene centred at a pole, a CRS without an ellipsoid.
    """
    unit = None if crs.is_geographic else _linear_unit(crs)
    if unit is not None:
        return math.hypot(transform.a, transform.d) * unit, math.hypot(transform.b, transform.e) * unit
    ground = _ground_size(transform, crs, width / 2, height / 2)
    if ground is None:
        raise InputError("the size of a pixel on the ground is not known", "give the tile size and overlap in pixels")
    return ground


def ground_scale(transform: Affine, crs: CRS, width: int, height: int) -> float | None:
    """Return how long one metre of `pixel_size_metres` is on the ground at the centre of a scene, None if unknown.

    1 for a geographic CRS, about 1 for UTM, 0.5 for Web Mercator at 60 degrees.
    """
    ground = _ground_size(transform, crs, width / 2, height / 2)
    return None if ground is None else ground[0] / pixel_size_metres(transform, crs, width, height)[0]


def _linear_unit(crs: CRS) -> float | None:
    try:
        return float(crs.linear_units_factor[1])
    except CRSError:
        return None


def _ground_size(transform: Affine, crs: CRS, x: float, y: float) -> tuple[float, float] | None:
    """Return the lengths of the pixel's two axes through (x, y) as geodesics, None where there are none."""
    from pyproj import CRS as ProjCRS
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    try:
        proj = ProjCRS.from_wkt(crs.to_wkt())
        geod, geographic = proj.get_geod(), proj.geodetic_crs
        if geod is None or geographic is None:
            return None
        cols, rows = x + np.array([-0.5, 0.5, 0, 0]), y + np.array([0, 0, -0.5, 0.5])
        map_x = transform.a * cols + transform.b * rows + transform.c
        map_y = transform.d * cols + transform.e * rows + transform.f
        lon, lat = Transformer.from_crs(proj, geographic, always_xy=True).transform(map_x, map_y)
        if geographic.axis_info and geographic.axis_info[0].unit_name != "degree":
            factor = np.degrees(geographic.axis_info[0].unit_conversion_factor)
            lon, lat = np.multiply(lon, factor), np.multiply(lat, factor)
        _, _, metres = geod.inv(lon[[0, 2]], lat[[0, 2]], lon[[1, 3]], lat[[1, 3]])
    except (ProjError, RuntimeError):
        return None
    # A pixel one way 1000 times the other is a pole, where a degree of longitude has no length.
    good = np.all(np.isfinite(metres)) and min(metres) > 1e-3 * max(metres)
    return (float(metres[0]), float(metres[1])) if good else None
