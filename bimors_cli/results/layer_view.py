"""A layer opened together with its scene, to be shown: what preview and report have in common."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyproj import CRS

from bimors_cli.errors import InputError
from bimors_cli.options.view import ViewOptions
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
from bimors_cli.steps import step


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
    options: ViewOptions, output: Path, *, side: float = math.inf, pixels: float = math.inf
) -> Iterator[LayerView]:
    """Open a layer and its scene, and check that the output can be written.

    Parameters
    ----------
    options : ViewOptions
        The layer and the scene.
    output : Path
        The file to write.
    side, pixels : float
        Largest longer side and number of pixels of the overview.

    Raises
    ------
    InputError
        The output exists or is the scene; as `read_classified_layer`, `open_recorded_scene` and `read_tiles`.
    """
    check_target(output, overwrite=options.overwrite)
    layer = read_classified_layer(options.layer_file, options.layer)
    with open_recorded_scene(layer, options.scene, options.allow_drivers) as (recorded, scene):
        check_not_scene(output, scene)
        with step(f"reading {layer.path.name}"):
            tiles = read_tiles(layer, recorded)
        overview = Overview.within(scene.info, side=side, pixels=pixels)
        yield LayerView(layer, recorded, scene, tiles, overview, measure_ground(overview))


def output_path(options: ViewOptions, suffix: str) -> Path:
    """Return the output of a view: by default the layer's name with ``suffix``."""
    options.check_required()
    return options.output or options.layer_file.with_suffix(suffix)


def check_suffix(output: Path, suffixes: Collection[str], message: str) -> None:
    """Raise InputError if the suffix of an output is not one of these; the first one is suggested."""
    if output.suffix.lower() not in suffixes:
        raise InputError(f"{output}: {message}", f"-o {output.with_suffix(next(iter(suffixes)))}")
