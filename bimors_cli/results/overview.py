"""Overview of a scene: a reduced image, rotated and mirrored so that north is as close to the top as possible."""

from __future__ import annotations

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
from bimors_cli.run_warnings import warn
from bimors_cli.scene.gdal import GDAL_ERRORS, reason_of
from bimors_cli.scene.pixels import average_window
from bimors_cli.scene.raster import Scene, SceneInfo

# Pixels a side of a piece: reading one takes at most 150 MB, whatever the size of the scene.
PIECE: Final = 512
EMPTY: Final = 255  # grey level of pixels without data
UNREAD: Final = 217  # grey level of pixels that cannot be read
# A window that cannot be read is divided until its parts have this side, in pixels of the overview.
_SMALLEST: Final = 32
_POLE: Final = 89.999  # degrees of latitude; closer to the pole, north has no direction
_CONSTANT: Final = 30  # degrees; if north differs more within the overview, one arrow would mislead


@dataclass(frozen=True)
class Orientation:
    """Axes are swapped, then mirrored left to right, then top to bottom."""

    swap: bool
    mirror_x: bool
    mirror_y: bool

    @classmethod
    def north_up(cls, transform: Affine) -> Orientation:
        """Return the orientation with the map's y axis closest to the top and its x axis to the right."""
        swap = abs(transform.a) + abs(transform.e) < abs(transform.b) + abs(transform.d)
        right, down = (transform.b, transform.d) if swap else (transform.a, transform.e)
        return cls(swap, right < 0, down > 0)

    def array(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Rotate and mirror an image [h, w, ...]."""
        if self.swap:
            image = image.swapaxes(0, 1)
        if self.mirror_x:
            image = image[:, ::-1]
        return image[::-1] if self.mirror_y else image

    def affine(self, width: float, height: float) -> Affine:
        """Return the transform of pixel corners of an image of this size."""
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
    """A part of the overview.

    Attributes
    ----------
    box : tuple of float
        Left, top, right, bottom in pixels of the overview.
    image : uint8 array [h, w, 3]
        White without data, grey where the scene could not be read.
    """

    box: tuple[float, float, float, float]
    image: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Overview:
    """How a scene is reduced to an overview.

    Attributes
    ----------
    info : SceneInfo
        The scene.
    step : int
        Pixels of the scene a side of a piece; `PIECE` at full resolution.
    orientation : Orientation
        How the scene is rotated and mirrored.
    """

    info: SceneInfo
    step: int
    orientation: Orientation

    @classmethod
    def within(cls, info: SceneInfo, *, side: float = math.inf, pixels: float = math.inf) -> Overview:
        """Return the overview with at most this longer side and number of pixels; a scene is never enlarged."""
        shrink = max(1.0, max(info.width, info.height) / side, math.sqrt(info.width * info.height / pixels))
        return cls(info, math.ceil(PIECE * shrink), Orientation.north_up(info.transform))

    @property
    def scale(self) -> float:
        """Pixels of the scene per pixel of the overview."""
        return self.step / PIECE

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the overview in pixels."""
        width, height = self.info.width / self.scale, self.info.height / self.scale
        return (height, width) if self.orientation.swap else (width, height)

    @property
    def transform(self) -> Affine:
        """Transform from pixels of the scene to pixels of the overview."""
        return Affine.scale(1 / self.scale) @ self.orientation.affine(self.info.width, self.info.height)

    def boxes(self, windows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Transform windows [n, 4] (left, top, right, bottom) of the scene to pixels of the overview."""
        transform = self.transform
        corners = windows.reshape(-1, 2, 2)
        x = transform.a * corners[..., 0] + transform.b * corners[..., 1] + transform.c
        y = transform.d * corners[..., 0] + transform.e * corners[..., 1] + transform.f
        return np.stack([x.min(axis=1), y.min(axis=1), x.max(axis=1), y.max(axis=1)], axis=1)

    def pieces(self, scene: Scene, recorded: RecordedScene) -> Iterator[Piece]:
        """Read the overview piece by piece, with the bands and the stretch of the run, or in its colours.

        Parts that cannot be read are grey, with a warning.
        """
        for box, image in self._read(scene, recorded):
            yield Piece(box, flattened(image))

    def image(self, scene: Scene, recorded: RecordedScene) -> npt.NDArray[np.uint8]:
        """Read the whole overview as `pieces`, uint8 [h, w, 4]: red, green, blue and 0 where there is no data."""
        width, height = (math.ceil(side) for side in self.size)
        whole = np.zeros((height, width, 4), np.uint8)
        for box, image in self._read(scene, recorded):
            place(image, box, whole)
        return whole

    def _read(
        self, scene: Scene, recorded: RecordedScene
    ) -> Iterator[tuple[tuple[float, float, float, float], npt.NDArray[np.uint8]]]:
        """Yield the box of each piece, and its pixels, uint8 [h, w, 4]."""
        reader = SceneReader(scene, recorded)
        for top in range(0, self.info.height, self.step):
            for left in range(0, self.info.width, self.step):
                width, height = min(self.step, self.info.width - left), min(self.step, self.info.height - top)
                shape = (math.ceil(height / self.scale), math.ceil(width / self.scale))
                image = self.orientation.array(reader.read_rgba(left, top, width, height, shape))
                window = np.array([[left, top, left + width, top + height]], np.float64)
                x0, y0, x1, y1 = self.boxes(window)[0].tolist()
                yield (x0, y0, x1, y1), np.ascontiguousarray(image)
        reader.warn()


class SceneReader:
    """Reads windows of a scene for display: as the model gets them, or in natural colours (`RecordedScene.shown`)."""

    def __init__(self, scene: Scene, recorded: RecordedScene) -> None:
        self._dataset, self._path, self._recorded = scene.dataset, scene.info.path, recorded
        self._bands, self._stretch = recorded.shown(scene)
        self._reason: str | None = None

    def read(self, left: int, top: int, width: int, height: int, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """Read a window at a shape, uint8 [h, w, 3]; a damaged block affects only its surroundings."""
        return flattened(self.read_rgba(left, top, width, height, shape))

    def read_rgba(self, left: int, top: int, width: int, height: int, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """Read a window as `read`, uint8 [h, w, 4], the last channel 0 where there is no data, else 255."""
        window = Window(left, top, width, height)
        try:
            data, valid = average_window(self._dataset, self._bands, self._recorded.nodata, window, shape)
        except GDAL_ERRORS as error:
            self._reason = reason_of(error)
            if min(shape) < 2 * _SMALLEST:
                return np.full((*shape, 4), (UNREAD, UNREAD, UNREAD, 255), np.uint8)
            rows, cols = shape[0] // 2, shape[1] // 2
            upper, left_part = round(rows * height / shape[0]), round(cols * width / shape[1])
            ys = ((top, upper, rows), (top + upper, height - upper, shape[0] - rows))
            xs = ((left, left_part, cols), (left + left_part, width - left_part, shape[1] - cols))
            return np.concatenate(
                [np.concatenate([self.read_rgba(x, y, w, h, (r, c)) for x, w, c in xs], axis=1) for y, h, r in ys]
            )
        image = self._stretch.apply(data)
        alpha = np.where(valid > 0, 255, 0).astype(np.uint8)
        return np.where(valid > 0, np.concatenate((image, alpha[None])), 0).transpose(1, 2, 0).astype(np.uint8)

    def warn(self) -> None:
        """Warn if a window could not be read."""
        if self._reason is not None:
            warn(
                "%s: some parts could not be read and are grey: %s; check the scene with gdalinfo -checksum",
                self._path,
                self._reason,
            )


def flattened(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the colours uint8 [h, w, 3] of an image [h, w, 4], with `EMPTY` where its last channel is 0."""
    return np.where(image[..., 3:] > 0, image[..., :3], EMPTY).astype(np.uint8)


def place(image: npt.NDArray[np.uint8], box: tuple[float, float, float, float], whole: npt.NDArray[np.uint8]) -> None:
    """Write a piece into the image of the whole overview, of as many channels."""
    # Pieces meet at whole pixels counted from the scene's first pixel; when turned, they may be half a pixel off.
    rows, cols = image.shape[:2]
    x, y = min(round(box[0]), whole.shape[1] - cols), min(round(box[1]), whole.shape[0] - rows)
    whole[y : y + rows, x : x + cols] = image


@dataclass(frozen=True)
class Ground:
    """Scale and north direction at the centre of an overview.

    Attributes
    ----------
    metres : float or None
        Ground width of a pixel of the overview; None if unknown.
    north : float or None
        Degrees clockwise from the top; None if there is no single direction, as around a pole.
    """

    metres: float | None = None
    north: float | None = None


def measure_ground(overview: Overview) -> Ground:
    """Measure an overview at its centre: on the ellipsoid of the CRS, or in its plane if it has no ellipsoid."""
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError

    info = overview.info
    if not info.has_geotransform:
        return Ground()
    to_map = info.transform @ ~overview.transform
    width, height = overview.size
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
            to_lon, to_lat, _ = geod.fwd(lon, lat, 0, metres)
            to_lon += 360 * round((lon - to_lon) / 360)  # not on the other side of the antimeridian
            px, py = ~to_map @ transformer.transform(to_lon / factor, to_lat / factor, direction="INVERSE")
            return math.degrees(math.atan2(px - x, y - py))

        ends = (*on_ground(*left), *on_ground(*right))
        metres = float(geod.inv(*ends)[2]) if np.isfinite(ends).all() else 0.0
        if not metres > 0:
            return Ground()
        north = north_at(width / 2, height / 2, metres / 2)
        around = [north_at(width * x, height * y, metres / 2) for x in (0.25, 0.75) for y in (0.25, 0.75)]
    except (ProjError, RuntimeError):
        return Ground()
    deviation = np.abs((np.array(around) - north + 180) % 360 - 180)
    constant = math.isfinite(north) and not bool((deviation > _CONSTANT).any())
    return Ground(metres / (2 * reach), north if constant else None)


def _in_plane(info: SceneInfo, left: tuple[float, float], right: tuple[float, float], pixels: float) -> float | None:
    try:
        return math.dist(left, right) * float(info.crs.linear_units_factor[1]) / pixels
    except CRSError:
        return None
