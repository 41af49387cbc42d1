"""The class of each tile of a grid, by the pixels of a label raster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from bimors_cli.errors import InputError, ReadError
from bimors_cli.scene.gdal import GDAL_ERRORS, reason_of, shell_name
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.raster import Scene, SceneInfo

NO_CLASS: Final = -1
MAX_CODES: Final = 1000  # more are measured values, not classes
_PIXELS: Final = 1 << 25  # that are read at once


@dataclass
class CodeClasses:
    """The classes of the codes of a raster, numbered as pixels of them are found.

    Attributes
    ----------
    name_of : callable
        Returns the class of a code; None for a code without one.
    numbers : dict of str to int
        The number of each class that has a pixel.
    lowest : dict of str to int
        The lowest code of each of these classes.
    unnamed : set of int
        Codes that have pixels and no class.
    """

    name_of: Callable[[int], str | None]
    numbers: dict[str, int] = field(default_factory=dict)
    lowest: dict[str, int] = field(default_factory=dict)
    unnamed: set[int] = field(default_factory=set)

    def number(self, code: int) -> int:
        """Return the number of the class of a code that has a pixel; `NO_CLASS` without one."""
        name = self.name_of(code)
        if name is None:
            self.unnamed.add(code)
            return NO_CLASS
        self.lowest[name] = min(code, self.lowest.get(name, code))
        return self.numbers.setdefault(name, len(self.numbers))


def tile_codes(
    raster: Scene, scene: SceneInfo, grid: Grid, classes: CodeClasses
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Return the class that most labelled pixels of each tile have, and the fraction of all its pixels that have it.

    The raster is reprojected to the pixels of the scene by nearest neighbour, some rows at a time. Of classes with
    equally many pixels, the one with the lowest code wins.

    Parameters
    ----------
    raster : Scene
        The open label raster: whole numbers in band 1.
    scene : SceneInfo
        The scene.
    grid : Grid
        Its tiles.
    classes : CodeClasses
        Collects the classes that are found.

    Returns
    -------
    int array [tiles], float array [tiles]
        Number of the class, `NO_CLASS` for a tile without a labelled pixel; its fraction, 0..1.

    Raises
    ------
    InputError
        A value is not a whole number, or there are too many different values.
    ReadError
        The raster cannot be read.
    """
    label = np.full((grid.rows, grid.cols), NO_CLASS, np.intp)
    fraction = np.zeros((grid.rows, grid.cols))
    left = np.arange(grid.cols) * grid.stride_x
    right = np.minimum(left + grid.tile_width, grid.scene_width)
    for row, found in enumerate(_count_rows(raster, scene, grid, classes, left, right)):
        if not found:
            continue
        numbers = sorted(found, key=lambda number: classes.lowest[list(classes.numbers)[number]])
        counts = np.array([found[number] for number in numbers])
        best, most = counts.argmax(axis=0), counts.max(axis=0)
        height = min(grid.tile_height, grid.scene_height - row * grid.stride_y)
        fraction[row] = most / (height * (right - left))
        label[row] = np.where(most > 0, np.array(numbers)[best], NO_CLASS)
    return label.ravel(), fraction.ravel()


def _count_rows(
    raster: Scene,
    scene: SceneInfo,
    grid: Grid,
    classes: CodeClasses,
    left: npt.NDArray[np.intp],
    right: npt.NDArray[np.intp],
) -> Iterator[dict[int, npt.NDArray[np.int64]]]:
    """Yield for each row of tiles the number of pixels [cols] of each class in it."""
    name = raster.info.name
    try:
        with WarpedVRT(
            raster.dataset,
            crs=scene.crs,
            transform=scene.transform,
            width=scene.width,
            height=scene.height,
            resampling=Resampling.nearest,
            add_alpha=True,
        ) as warped:
            step = max(1, _PIXELS // scene.width)
            for row in range(grid.rows):
                top = row * grid.stride_y
                bottom = min(top + grid.tile_height, scene.height)
                found: dict[int, npt.NDArray[np.int64]] = {}
                for start in range(top, bottom, step):
                    window = Window(0, start, scene.width, min(step, bottom - start))
                    values, alpha = warped.read([1, warped.count], window=window)
                    for code, inside in _masks(values, alpha > 0, raster.info):
                        if (number := classes.number(code)) != NO_CLASS:
                            sums = np.concatenate([[0], inside.sum(axis=0).cumsum()])
                            found[number] = found.get(number, 0) + sums[right] - sums[left]
                if len(classes.lowest) + len(classes.unnamed) > MAX_CODES:
                    raise _too_many(name)
                yield found
    except GDAL_ERRORS as error:
        hint = f"check the file for damage: gdalinfo -checksum {shell_name(raster.info.path)}"
        raise ReadError(f"cannot read {name} at {scene.name}: {reason_of(error)}", hint) from error


def _masks(
    values: npt.NDArray[Any], valid: npt.NDArray[np.bool_], info: SceneInfo
) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
    """Yield each code of some pixels and which of them have it."""
    if values.dtype.kind == "f":
        valid &= ~np.isnan(values)
    found = np.unique(values[valid])
    if values.dtype.kind == "f":
        broken = found[~(np.isfinite(found) & (found == np.rint(found)))]
        if len(broken):
            raise InputError(
                f"{info.name}: {broken[0]:g} is not a class code: labels must be whole numbers",
                "give a raster of class codes, or classify its values first: gdal_calc.py --type=Byte",
            )
    if len(found) > MAX_CODES:
        raise _too_many(info.name)
    for code in found:
        yield int(code), valid & (values == code)


def _too_many(name: str) -> InputError:
    return InputError(
        f"{name}: more than {MAX_CODES:,} different values, these are not class codes",
        "give a raster of class codes, such as a land cover map",
    )
