"""What a layer says of how it was made: the one writer and the one reader of it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from affine import Affine

from bimors_cli.redact import redact
from bimors_cli.scene.bands import Bands, choose_bands
from bimors_cli.scene.gdal import display_name, is_local
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.mask import FILE_NODATA, Nodata, parse_nodata
from bimors_cli.scene.raster import SceneInfo
from bimors_cli.scene.stretch import Stretch
from bimors_cli.scene.vote_cells import cells_of
from bimors_cli.version import __version__


def origin(command: Sequence[str]) -> dict[str, str]:
    """Say which program wrote a layer, when, and how it was called."""
    return {
        "version": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": redact(shlex.join(command)),
    }


def lasting_path(path: str) -> str:
    """Return a path that still means the same from another folder, without what a URL may hold of secrets."""
    return os.path.abspath(path) if is_local(path) else display_name(path)


@dataclass(frozen=True)
class RecordedScene:
    """A scene as the run saw it.

    Attributes
    ----------
    name, path : str
        File name, and where it was then.
    grid : Grid
        How it was cut.
    crs_wkt : str
        Its CRS, or the one that was assumed.
    transform : Affine
        Pixel corner to map.
    bands : tuple of int
        From 1.
    stretch, nodata : Stretch, Nodata
        How its pixels became a picture.
    """

    name: str
    path: str
    grid: Grid
    crs_wkt: str
    transform: Affine
    bands: tuple[int, ...]
    stretch: Stretch
    nodata: Nodata

    def bands_of(self, info: SceneInfo) -> Bands:
        """Return the bands for reading."""
        return choose_bands(info, self.bands)


def grid_of_rows(run: Mapping[str, Any], entry: Mapping[str, Any]) -> Grid:
    """Return the grid that the rows of a scene are of, by what ``run`` in the provenance says of it in ``entry``.

    Raises
    ------
    KeyError, TypeError, ValueError
        They say it otherwise.
    """
    grid = Grid(*(int(number) for name in ("pixels", "tile", "stride") for number in entry[name]))
    return cells_of(grid) if run.get("vote") else grid


def recorded_scene(run: Mapping[str, Any], entry: Mapping[str, Any], path: str) -> RecordedScene:
    kind, low, high = entry["stretch"]
    if kind not in ("none", "range", "percentile"):
        raise ValueError(f"{kind!r} is not a stretch")
    nodata = str(entry["nodata"])
    return RecordedScene(
        name=str(entry["name"]),
        path=path,
        grid=grid_of_rows(run, entry),
        crs_wkt=str(entry["crs"]),
        transform=Affine(*map(float, entry["transform"])),
        bands=tuple(map(int, entry["bands"])),
        stretch=Stretch(kind, tuple(map(float, low)), tuple(map(float, high))),
        nodata=FILE_NODATA if nodata == "file" else parse_nodata(nodata),
    )
