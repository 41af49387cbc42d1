"""The picture of a scene to look at: reduced, turned so that north is as near to the top as quarter turns bring it."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.errors import CRSError
from rasterio.windows import Window

from bimors_cli.provenance import RecordedScene
from bimors_cli.scene.gdal import GDAL_ERRORS, reason_of
from bimors_cli.scene.pixels import average_window
from bimors_cli.scene.raster import Scene, SceneInfo

log = logging.getLogger("bimors")

# Pixels a side of a piece: reading one takes some 150 MB at the most, however large the scene.
PIECE: Final = 512
EMPTY: Final = 255
UNREAD: Final = 217
# Of the parts, in pixels of the picture, that what cannot be read as a whole is read in.
_SMALLEST: Final = 32
_POLE: Final = 89.999  # degrees; nearer, north is no direction
_CONSTANT: Final = 30  # degrees; where it turns more within the picture, one arrow would mislead


@dataclass(frozen=True)
class Turn:
    """Axes swapped, then mirrored left to right, then top to bottom."""

    swap: bool
    mirror_x: bool
    mirror_y: bool

    @classmethod
    def north_up(cls, transform: Affine) -> Turn:
        """Return the turn that brings the map's y axis nearest to the top and its x axis to the right."""
        swap = abs(transform.a) + abs(transform.e) < abs(transform.b) + abs(transform.d)
        right, down = (transform.b, transform.d) if swap else (transform.a, transform.e)
        return cls(swap, right < 0, down > 0)

    def array(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Turn an image [h, w, ...]."""
        if self.swap:
            image = image.swapaxes(0, 1)
        if self.mirror_x:
            image = image[:, ::-1]
        return image[::-1] if self.mirror_y else image

    def affine(self, width: float, height: float) -> Affine:
        """Return the same for the corners of the pixels of an image of this size."""
        result = Affine.identity()
        if self.swap:
            result, width, height = Affine(0, 1, 0, 1, 0, 0), height, width
        if self.mirror_x:
            result = Affine(-1, 0, width, 0, 1, 0) @ result
        if self.mirror_y:
            result = Affine(1, 0, 0, 0, -1, height) @ result
        return result


@dataclass(frozen=True)
class Piece:
    """A part of the picture.

    Attributes
    ----------
    box : tuple of float
        Left, top, right, bottom in pixels of the picture.
    image : uint8 array [h, w, 3]
        White where there is no data, grey where the scene could not be read.
    """

    box: tuple[float, float, float, float]
    image: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Overview:
    """How a scene becomes a picture.

    Attributes
    ----------
    info : SceneInfo
        The scene.
    step : int
        Pixels of the scene that a piece stands for, along each side; `PIECE` at full resolution.
    turn : Turn
        How it is turned.
    """

    info: SceneInfo
    step: int
    turn: Turn

    @classmethod
    def within(cls, info: SceneInfo, *, side: float = math.inf, pixels: float = math.inf) -> Overview:
        """Return the picture whose longer side and number of pixels are no larger than this; never enlarged."""
        shrink = max(1.0, max(info.width, info.height) / side, math.sqrt(info.width * info.height / pixels))
        return cls(info, math.ceil(PIECE * shrink), Turn.north_up(info.transform))

    @property
    def scale(self) -> float:
        """Pixels of the scene a pixel of the picture."""
        return self.step / PIECE

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the picture."""
        width, height = self.info.width / self.scale, self.info.height / self.scale
        return (height, width) if self.turn.swap else (width, height)

    @property
    def transform(self) -> Affine:
        """From pixels of the scene to pixels of the picture."""
        return Affine.scale(1 / self.scale) @ self.turn.affine(self.info.width, self.info.height)

    def boxes(self, windows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Carry windows [n, 4] (left, top, right, bottom) of the scene to the picture."""
        transform = self.transform
        corners = windows.reshape(-1, 2, 2)
        x = transform.a * corners[..., 0] + transform.b * corners[..., 1] + transform.c
        y = transform.d * corners[..., 0] + transform.e * corners[..., 1] + transform.f
        return np.stack([x.min(axis=1), y.min(axis=1), x.max(axis=1), y.max(axis=1)], axis=1)

    def pieces(self, scene: Scene, used: RecordedScene) -> Iterator[Piece]:
        """Read the picture piece by piece, with the bands and the stretch of the run.

        What cannot be read is grey, and a warning says so.
        """
        reader = _Reader(scene, used)
        for top in range(0, self.info.height, self.step):
            for left in range(0, self.info.width, self.step):
                width, height = min(self.step, self.info.width - left), min(self.step, self.info.height - top)
                shape = (math.ceil(height / self.scale), math.ceil(width / self.scale))
                image = np.ascontiguousarray(self.turn.array(reader.read(left, top, width, height, shape)))
                window = np.array([[left, top, left + width, top + height]], np.float64)
                x0, y0, x1, y1 = self.boxes(window)[0].tolist()
                yield Piece((x0, y0, x1, y1), image)
        if reader.reason is not None:
            log.warning("%s: parts of it could not be read and are grey: %s", self.info.path, reader.reason)


class _Reader:
    """Reads windows of a scene as they were shown to the model; ``reason`` is why some part could not be read."""

    def __init__(self, scene: Scene, used: RecordedScene) -> None:
        self._dataset, self._used = scene.dataset, used
        self._bands = used.bands_of(scene.info)
        self.reason: str | None = None

    def read(self, left: int, top: int, width: int, height: int, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """Read a window at a shape, uint8 [h, w, 3]; one damaged block costs its surroundings, not all."""
        window = Window(left, top, width, height)
        try:
            data, share = average_window(self._dataset, self._bands, self._used.nodata, window, shape)
        except GDAL_ERRORS as error:
            self.reason = reason_of(error)
            if min(shape) < 2 * _SMALLEST:
                return np.full((*shape, 3), UNREAD, np.uint8)
            rows, cols = shape[0] // 2, shape[1] // 2
            below, beside = round(rows * height / shape[0]), round(cols * width / shape[1])
            ys = ((top, below, rows), (top + below, height - below, shape[0] - rows))
            xs = ((left, beside, cols), (left + beside, width - beside, shape[1] - cols))
            return np.concatenate(
                [np.concatenate([self.read(x, y, w, h, (r, c)) for x, w, c in xs], axis=1) for y, h, r in ys]
            )
        shown = np.where(share > 0, self._used.stretch.apply(data), EMPTY).astype(np.uint8)
        return shown.transpose(1, 2, 0)


@dataclass(frozen=True)
class Ground:
    """How the picture lies on the ground at its centre.

    Attributes
    ----------
    metres : float or None
        Of a pixel of the picture, from left to right; None where there is no measure.
    north : float or None
        Where north is, in degrees clockwise from the top; None where no one direction is, as around a pole.
    """

    metres: float | None = None
    north: float | None = None


def measure_ground(picture: Overview) -> Ground:
    """Measure a picture at its centre: on the CRS's ellipsoid, or in its plane where it has no ellipsoid."""
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError

    info = picture.info
    if not info.has_geotransform:
        return Ground()
    to_map = info.transform @ ~picture.transform
    width, height = picture.size
    reach = max(width, height) / 200
    left, right = (to_map @ (width / 2 + side * reach, height / 2) for side in (-1, 1))
    try:
        crs = CRS.from_wkt(info.crs.to_wkt())
        geod, geographic = crs.get_geod(), crs.geodetic_crs
        if geod is None or geographic is None:
            return Ground(_in_plane(info, left, right, 2 * reach))
        transformer = Transformer.from_crs(crs, geographic, always_xy=True)
        factor = math.degrees(geographic.axis_info[0].unit_conversion_factor) if geographic.axis_info else 1.0

        def on_ground(x: float, y: float) -> tuple[float, float]:
            lon, lat = transformer.transform(x, y)
            return lon * factor, lat * factor

        def north_at(x: float, y: float, metres: float) -> float:
            lon, lat = on_ground(*(to_map @ (x, y)))
            if not math.isfinite(lon) or not abs(lat) < _POLE:
                return math.nan
            there = geod.fwd(lon, lat, 0, metres)
            near = there[0] + 360 * round((lon - there[0]) / 360)  # not on the other side of the antimeridian
            px, py = ~to_map @ transformer.transform(near / factor, there[1] / factor, direction="INVERSE")
            return math.degrees(math.atan2(px - x, y - py))

        ends = (*on_ground(*left), *on_ground(*right))
        metres = float(geod.inv(*ends)[2]) if np.isfinite(ends).all() else 0.0
        if not metres > 0:
            return Ground()
        north = north_at(width / 2, height / 2, metres / 2)
        around = [north_at(width * x, height * y, metres / 2) for x in (0.25, 0.75) for y in (0.25, 0.75)]
    except (ProjError, RuntimeError):
        return Ground()
    turned = np.abs((np.array(around) - north + 180) % 360 - 180)
    constant = math.isfinite(north) and not bool((turned > _CONSTANT).any())
    return Ground(metres / (2 * reach), north if constant else None)


def _in_plane(info: SceneInfo, left: tuple[float, float], right: tuple[float, float], pixels: float) -> float | None:
    try:
        return math.dist(left, right) * float(info.crs.linear_units_factor[1]) / pixels
    except CRSError:
        return None
