"""A quick look at a layer: the scene, its tiles in the colours of their labels, a legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bimors_cli.errors import InputError, OutputError
from bimors_cli.output.atomic import check_target, replacing
from bimors_cli.provenance import RecordedScene
from bimors_cli.results.classified_layer import check_not_scene, open_used, read_classified_layer, read_tiles
from bimors_cli.results.overview import EMPTY, Overview, measure_ground
from bimors_cli.results.preview_image import MapNotes, draw_quicklook
from bimors_cli.scene.raster import Scene

LONGEST_SIDE = 1600


def preview(
    layer_file: Path,
    output: Path,
    *,
    scene: str | None = None,
    layer: str | None = None,
    allow_drivers: Sequence[str] = (),
    overwrite: bool = False,
) -> None:
    """Draw a layer that `classify` wrote over its scene, as a PNG.

    Parameters
    ----------
    layer_file : Path
        A GeoPackage.
    output : Path
        The picture.
    scene : str, optional
        Which scene, or where it is now; else the one (or the first one) that the layer was made from.
    layer : str, optional
        Which layer, where the file has several.
    allow_drivers : sequence of str
        GDAL's drivers to try beside the usual ones.
    overwrite : bool
        Replace a picture that is there.

    Raises
    ------
    InputError
        The layer was not written by bimors, the scene is not found or another one, or ``output`` is no PNG.
    OutputError
        The picture cannot be written.
    """
    if output.suffix.lower() != ".png":
        raise InputError(f"{output}: the picture is a PNG", f"-o {output.with_suffix('.png')}")
    check_target(output, overwrite=overwrite)
    result = read_classified_layer(layer_file, layer)
    with open_used(result, scene, allow_drivers) as (used, opened):
        check_not_scene(output, opened)
        tiles = read_tiles(result, used)
        picture = Overview.within(opened.info, side=LONGEST_SIDE)
        background = _whole(picture, opened, used)
        ground = measure_ground(picture)
    left, top, right, bottom = picture.boxes(tiles.windows).T
    rings = np.stack([left, top, right, top, right, bottom, left, bottom, left, top], axis=1).reshape(-1, 5, 2)
    drawn = draw_quicklook(
        background,
        list(rings),
        tiles.text["label"],
        result.labels,
        title=used.name,
        notes=MapNotes(ground.metres, ground.north, _crs_name(opened)),
    )
    with replacing(output, overwrite=overwrite) as built:
        try:
            drawn.save(built, format="PNG")
        except OSError as error:
            raise OutputError(f"{output}: {error.strerror or error}", "is the disk full?") from error


def _whole(picture: Overview, scene: Scene, used: RecordedScene) -> npt.NDArray[np.uint8]:
    """Read the whole picture: uint8 [h, w, 3]."""
    width, height = (math.ceil(side) for side in picture.size)
    sheet = np.full((height, width, 3), EMPTY, np.uint8)
    for piece in picture.pieces(scene, used):
        # Pieces meet at whole pixels, seen from the scene's first one; turned round, that may be half a pixel off.
        rows, cols = piece.image.shape[:2]
        x, y = min(round(piece.box[0]), width - cols), min(round(piece.box[1]), height - rows)
        sheet[y : y + rows, x : x + cols] = piece.image
    return sheet


def _crs_name(scene: Scene) -> str:
    crs = scene.info.crs
    code = crs.to_epsg()
    if code is not None:
        return f"EPSG:{code}"
    from pyproj import CRS

    return str(CRS.from_wkt(crs.to_wkt()).name)
