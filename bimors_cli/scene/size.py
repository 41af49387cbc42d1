"""Tile sizes and overlaps (224, 500m, 10%), and their conversion to pixels."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError

from bimors_cli.errors import InputError
from bimors_cli.run_warnings import warn_of_one
from bimors_cli.scene.grid import Grid

if TYPE_CHECKING:
    from bimors_cli.scene.raster import SceneInfo

# A run needs a few bytes per tile. A scene of 700,000 x 700,000 pixels has this many tiles of 224.
MAX_TILES: Final = 10_000_000

# A tile so many times as large as the scene is more likely a mistake of units than a wish for one label.
SUSPICIOUS: Final = 4

Unit = Literal["px", "m", "%"]
_UNITS: Final[dict[str, tuple[Unit, float]]] = {
    "": ("px", 1.0), "px": ("px", 1.0), "m": ("m", 1.0), "km": ("m", 1000.0), "%": ("%", 1.0),
}  # fmt: skip
_LENGTH: Final = re.compile(r"\s*([0-9]{1,12}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})\s*(px|m|km|%|)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Length:
    """A length with its unit: pixels, metres on the ground, or percent of the tile."""

    value: float
    unit: Unit

    def __str__(self) -> str:
        return f"{self.value:.12g}{'' if self.unit == '%' else ' '}{self.unit}"


NO_OVERLAP: Final = Length(0, "px")


def is_unit(text: str) -> bool:
    """Tell whether a text is the unit of a length: a shell splits ``500 m`` into two arguments."""
    return bool(text) and text.lower() in _UNITS


def parse_tile_size(text: str) -> Length:
    """Parse a tile size: ``224``, ``224px``, ``500m``, ``0.5km``.

    Raises
    ------
    InputError
        The text is not a length, not in whole pixels, zero, or in percent.
    """
    length = _parse(text, "tile size", "write it as 224, 500m or 0.5km")
    if length.unit == "%" or length.value == 0:
        raise InputError(f"invalid tile size: {text.strip()}", "write it as 224, 500m or 0.5km")
    return length


def parse_overlap(text: str) -> Length:
    """Parse an overlap: ``16``, ``16px``, ``10%`` of the tile, ``50m``.

    Raises
    ------
    InputError
        The text is not a length, not in whole pixels, or 100 percent or more.
    """
    length = _parse(text, "overlap", "write it as 16, 10% or 50m")
    if length.unit == "%" and length.value >= 100:
        raise InputError(f"an overlap of {text.strip()} is too large", "give an overlap smaller than the tile")
    return length


def _parse(text: str, what: str, hint: str) -> Length:
    match = _LENGTH.fullmatch(text)
    if match is None:
        raise InputError(f"{text!r} is not a {what}", hint)
    unit, factor = _UNITS[match[2].lower()]
    value = float(match[1]) * factor
    if unit == "px" and not value.is_integer():
        raise InputError(f"{text!r} is not in whole pixels", "give whole pixels")
    return Length(value, unit)


def to_pixels(length: Length, pixel_size_m: float, *, of: int = 0) -> int:
    """Return a length in whole pixels, rounded to the nearest.

    Parameters
    ----------
    length : Length
        The length.
    pixel_size_m : float
        Metres per pixel along the axis; used for metres only.
    of : int
        Size of the tile along the axis in pixels; used for percent only.
    """
    if length.unit == "px":
        return int(length.value)
    return round(length.value / pixel_size_m if length.unit == "m" else length.value / 100 * of)


def make_grid(info: SceneInfo, tile_size: Length, overlap: Length = NO_OVERLAP) -> Grid:
    """Return the tile grid of a scene.

    A tile size in metres is rounded to whole pixels along each axis, so tiles are not square in pixels if pixels are
    not square on the ground. A tile larger than the scene in both directions is shrunk in proportion until it just
    contains the scene, which is then one tile.

    Raises
    ------
    InputError
        The tile is smaller than a pixel, the overlap is as large as the tile, the pixel size in metres is not known, or
        there are more than `MAX_TILES` tiles.
    """
    pixel = _pixel_size(info, tile_size, overlap)
    width, height = (to_pixels(tile_size, size) for size in pixel)
    if min(width, height) < 1:
        hint = f"a pixel is {pixel[0]:.6g} x {pixel[1]:.6g} m: give a larger tile size"
        raise InputError(f"a tile of {tile_size} is smaller than a pixel of {info.name}", hint)
    steps = (width - to_pixels(overlap, pixel[0], of=width), height - to_pixels(overlap, pixel[1], of=height))
    if min(steps) < 1:
        hint = "give an overlap smaller than the tile"
        raise InputError(f"an overlap of {overlap} is too large for tiles of {tile_size}", hint)
    shrink = max(info.width / width, info.height / height)
    if shrink < 1:
        width, height = max(info.width, round(width * shrink)), max(info.height, round(height * shrink))
        steps = (width, height)
    grid = Grid(info.width, info.height, width, height, *steps)
    if len(grid) > MAX_TILES:
        hint = "use larger tiles, or a part of the scene: gdal_translate -srcwin"
        raise InputError(f"{info.name} has {len(grid):,} tiles of this size, more than {MAX_TILES:,}", hint)
    return grid


def warn_of_large_tile(info: SceneInfo, tile_size: Length) -> None:
    """Warn of a tile over `SUSPICIOUS` times as large as the scene in both directions; errors as `make_grid`."""
    width, height = (to_pixels(tile_size, size) for size in _pixel_size(info, tile_size))
    times = min(width / info.width, height / info.height)
    if times > SUSPICIOUS:
        warn_of_one(
            "scenes are much smaller than a tile",
            "%s is one tile: a tile of %s is %.0f times as large as its %s x %s pixels; 500 are pixels, 500m metres",
            *(info.name, tile_size, times, info.width, info.height),
        )


def _pixel_size(info: SceneInfo, *lengths: Length) -> tuple[float, float]:
    """Return the size of a pixel in metres, if one of the lengths is in metres: it may not be known."""
    if not any(length.unit == "m" for length in lengths):
        return 1.0, 1.0
    return pixel_size_metres(info.transform, info.crs, info.width, info.height)


def pixel_size_metres(transform: Affine, crs: CRS, width: int, height: int) -> tuple[float, float]:
    """Return the size of the pixel at the centre of a scene, along columns (x) and rows (y), in metres.

    Projected CRS: the norms of the columns of the transform (valid for rotated scenes too) times the unit of the CRS,
    as GDAL defines resolution; `ground_scale` relates it to the ground. Geographic CRS: geodesic lengths on the
    ellipsoid of the CRS (valid near poles, at the antimeridian and on other planets).

    Parameters
    ----------
    transform : Affine
        Geotransform of the scene.
    crs : CRS
        CRS of the scene.
    width, height : int
        Size of the scene in pixels.

    Raises
    ------
    InputError
        The size is not defined: a geographic scene centred at a pole, or a CRS without ellipsoid.
    """
    unit = None if crs.is_geographic else _linear_unit(crs)
    if unit is not None:
        return math.hypot(transform.a, transform.d) * unit, math.hypot(transform.b, transform.e) * unit
    ground = _ground_size(transform, crs, width / 2, height / 2)
    if ground is None:
        raise InputError("the pixel size in metres is not known", "give tile size and overlap in pixels")
    return ground


def ground_scale(transform: Affine, crs: CRS, width: int, height: int) -> float | None:
    """Return the length on the ground of one metre of `pixel_size_metres` at the centre of a scene; None if unknown.

    1 for a geographic CRS, about 1 for UTM, 0.5 for Web Mercator at 60 degrees.
    """
    ground = _ground_size(transform, crs, width / 2, height / 2)
    return None if ground is None else ground[0] / pixel_size_metres(transform, crs, width, height)[0]


def ground_pixel_size(info: SceneInfo) -> tuple[float, float] | None:
    """Return the size on the ground of the pixel at the centre of a scene, in metres; None if it is not known.

    It is `pixel_size_metres` times `ground_scale`. A scene without geotransform and a local CRS have none.
    """
    if not info.has_geotransform:
        return None
    return _ground_size(info.transform, info.crs, info.width / 2, info.height / 2)


def _linear_unit(crs: CRS) -> float | None:
    try:
        return float(crs.linear_units_factor[1])
    except CRSError:
        return _local_unit(crs)


def _local_unit(crs: CRS) -> float | None:
    """Return the unit of a local CRS in metres, which GDAL does not tell; None for other CRSs."""
    from pyproj import CRS as ProjCRS
    from pyproj.exceptions import CRSError as ProjCRSError

    try:
        proj = ProjCRS.from_wkt(crs.to_wkt())
    except ProjCRSError:
        return None
    return float(proj.axis_info[0].unit_conversion_factor) if proj.is_engineering and proj.axis_info else None


def _ground_size(transform: Affine, crs: CRS, x: float, y: float) -> tuple[float, float] | None:
    """Return the geodesic lengths of the two pixel axes through (x, y); None if they are not defined."""
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
    # A ratio above 1000 means a pole, where a degree of longitude has no length.
    good = np.all(np.isfinite(metres)) and min(metres) > 1e-3 * max(metres)
    return (float(metres[0]), float(metres[1])) if good else None
