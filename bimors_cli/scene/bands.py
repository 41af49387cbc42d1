"""Choosing the bands of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bimors_cli.errors import InputError
from bimors_cli.scene.band_names import COLOURS
from bimors_cli.scene.raster import SceneInfo


@dataclass(frozen=True, slots=True)
class Bands:
    """The bands to read.

    Attributes
    ----------
    indexes : tuple of int
        One band (grey, or with a palette), three (red, green, blue), or those that a model takes, numbered from 1.
    palette : bytes or None
        RGBA of each value, 4 bytes per value, if the band has a colour table.
    """

    indexes: tuple[int, ...]
    palette: bytes | None = None

    @property
    def channels(self) -> int:
        """Number of channels after applying the palette."""
        return 3 if self.palette is not None else len(self.indexes)

    def lut(self) -> npt.NDArray[np.uint8]:
        """Return the palette as uint8 [values, 4]; empty without a palette."""
        return np.frombuffer(self.palette or b"", np.uint8).reshape(-1, 4)


def choose_bands(info: SceneInfo, bidx: tuple[int, ...] | None = None) -> Bands:
    """Choose the bands of the image.

    Without `bidx`: red, green and blue by the names of the bands; else a band with a palette; else the first red, green
    and blue of a stack of several images; else colour interpretation; else the first three bands that are not alpha;
    else the first of these.

    Parameters
    ----------
    info : SceneInfo
        The scene.
    bidx : tuple of int, optional
        The user's choice, numbered from 1: one band or three, repeats allowed.

    Raises
    ------
    InputError
        `bidx` has neither one nor three bands, or a band that the scene does not have.
    """
    indexes = _default(info) if bidx is None else bidx
    if len(indexes) not in (1, 3):
        raise InputError(f"{len(indexes)} bands were given", "give one band (grey) or three (red, green, blue)")
    check_indexes(info, indexes)
    return Bands(indexes, info.palette if indexes == (1,) else None)


def check_indexes(info: SceneInfo, indexes: tuple[int, ...]) -> None:
    """Check that a scene has these bands. Raises InputError for the first that it does not have."""
    for index in indexes:
        if not 1 <= index <= info.count:
            bands = "one band" if info.count == 1 else f"bands 1 to {info.count}"
            raise InputError(f"{info.name} has no band {index}", f"it has {bands}")


def colours_are_known(info: SceneInfo) -> bool:
    """Tell whether names or colour interpretation say which bands are red, green and blue."""
    return _coloured(info.band_names) is not None or _coloured(info.colorinterp) is not None or _third(info) is not None


def _default(info: SceneInfo) -> tuple[int, ...]:
    named = _coloured(info.band_names)
    if named is not None:
        return named
    if info.is_palette:
        return (1,)
    coloured = info.repeated_colours or _coloured(info.colorinterp) or _third(info)
    if coloured is not None:
        return coloured
    data = data_indexes(info) or (1,)
    return data[:3] if len(data) >= 3 else data[:1]


def _third(info: SceneInfo) -> tuple[int, ...] | None:
    """Return red, green and blue of three bands of which two are known, and the last by elimination; else None."""
    data = data_indexes(info)
    if len(data) != 3 or not info.band_names:
        return None
    names = [info.band_names[index - 1] for index in data]
    missing = [colour for colour in COLOURS if colour not in names]
    if len(missing) != 1 or None not in names:
        return None
    names[names.index(None)] = missing[0]
    return tuple(data[names.index(colour)] for colour in COLOURS)


def _coloured(names: Sequence[str | None]) -> tuple[int, ...] | None:
    """Return the numbers of red, green and blue, from 1; None if one of them is missing."""
    if not all(colour in names for colour in COLOURS):
        return None
    return tuple(names.index(colour) + 1 for colour in COLOURS)


def data_indexes(info: SceneInfo) -> tuple[int, ...]:
    """Return the numbers of the bands that are not alpha."""
    return tuple(index for index, colour in enumerate(info.colorinterp, 1) if colour != "alpha")
