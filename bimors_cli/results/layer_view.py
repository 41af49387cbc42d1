"""A layer opened together with its scene, to be shown: what preview and report have in common."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from pyproj import CRS

from bimors_cli.errors import InputError
from bimors_cli.output.atomic import check_target
from bimors_cli.provenance import RecordedScene
from bimors_cli.results.classified_layer import (
    ClassifiedLayer,
    ClassifiedTiles,
    check_not_scene,
    open_recorded_scene,
    read_classified_layer,
    read_tiles,
)
from bimors_cli.results.overview import Ground, Overview, Piece, measure_ground
from bimors_cli.scene.raster import Scene


class ViewOptions(TypedDict, total=False):
    """Options of preview and report.

    Attributes
    ----------
    scene : str, optional
        Name of a scene of the layer, or a path to it. Default: the first scene.
    layer : str, optional
        Name of the layer, where the file holds several.
    allow_drivers : sequence of str
        GDAL drivers to try in addition to the default ones.
    overwrite : bool
        Replace an existing output.
    """

    scene: str | None
    layer: str | None
    allow_drivers: Sequence[str]
    overwrite: bool


@dataclass(frozen=True)
class LayerView:
    """A layer, its scene and how the scene is reduced to an overview."""

    layer: ClassifiedLayer
    recorded: RecordedScene
    scene: Scene
    tiles: ClassifiedTiles
    overview: Overview
    ground: Ground

    def pieces(self) -> Iterator[Piece]:
        """Read the overview piece by piece."""
        return self.overview.pieces(self.scene, self.recorded)

    @property
    def crs_name(self) -> str:
        """EPSG code of the scene's CRS, or its name."""
        crs = self.scene.info.crs
        code = crs.to_epsg()
        return f"EPSG:{code}" if code else str(CRS.from_wkt(crs.to_wkt()).name)


@contextmanager
def open_view(
    layer_file: Path,
    output: Path,
    options: ViewOptions,
    *,
    side: float = math.inf,
    pixels: float = math.inf,
) -> Iterator[LayerView]:
    """Open a layer and its scene, and check that the output can be written.

    Parameters
    ----------
    layer_file : Path
        A GeoPackage.
    output : Path
        The file to write.
    options : ViewOptions
        What to show.
    side, pixels : float
        Largest longer side and number of pixels of the overview.

    Raises
    ------
    InputError
        The output exists or is the scene; as `read_classified_layer`, `open_recorded_scene` and `read_tiles`.
    """
    check_target(output, overwrite=options.get("overwrite", False))
    layer = read_classified_layer(layer_file, options.get("layer"))
    with open_recorded_scene(layer, options.get("scene"), options.get("allow_drivers", ())) as (recorded, scene):
        check_not_scene(output, scene)
        tiles = read_tiles(layer, recorded)
        overview = Overview.within(scene.info, side=side, pixels=pixels)
        yield LayerView(layer, recorded, scene, tiles, overview, measure_ground(overview))


def check_suffix(output: Path, suffixes: Collection[str], message: str) -> None:
    """Raise InputError if the suffix of an output is not one of these; the first one is suggested."""
    if output.suffix.lower() not in suffixes:
        raise InputError(f"{output}: {message}", f"-o {output.with_suffix(next(iter(suffixes)))}")
