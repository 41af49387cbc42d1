"""A quick look at a layer: the scene, its tiles in the colours of their labels, a legend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.crs import CRS
from rasterio.windows import Window

from bimors_cli.errors import InputError
from bimors_cli.labels import Label, Labels
from bimors_cli.output.atomic import replacing
from bimors_cli.output.geopackage import read_layer, read_provenance
from bimors_cli.output.quicklook import draw_quicklook
from bimors_cli.scene.bands import choose_bands
from bimors_cli.scene.mask import FILE_NODATA
from bimors_cli.scene.pixels import average_window
from bimors_cli.scene.polygons import reproject
from bimors_cli.scene.raster import Scene, open_scene
from bimors_cli.scene.stretch import Stretch, compute_stretch, parse_stretch

LONGEST_SIDE = 1200


def preview(layer: Path, output: Path, *, scene: str | None = None, overwrite: bool = False) -> None:
    """Draw a layer that `classify` wrote over its scene, as a PNG.

    Parameters
    ----------
    layer : Path
        A GeoPackage.
    output : Path
        The picture.
    scene : str, optional
        Which scene, or where it is now; else the one (or the first one) that the layer was made from.
    overwrite : bool
        Replace a picture that is there.

    Raises
    ------
    InputError
        The layer was not written by bimors, the scene is not found, or ``output`` is no PNG.
    OutputError
        The picture cannot be written.
    """
    if output.suffix.lower() != ".png":
        raise InputError(f"{output}: the picture is a PNG", f"-o {output.with_suffix('.png')}")
    provenance = read_provenance(layer)
    if "run" not in provenance:
        raise InputError(f"{layer}: not written by bimors classify", "give the .gpkg that it wrote")
    run = json.loads(provenance["run"])
    labels = Labels(tuple(Label(name, colour) for name, colour in json.loads(provenance["labels"]).items()))
    with open_scene(scene or _scene_path(layer, provenance)) as opened:
        polygons, found = _tiles(layer, run["layer"], opened)
        background = _background(opened, run)
    height, width = background.shape[:2]
    to_pixels = ~opened.info.transform
    scale = np.array([width / opened.info.width, height / opened.info.height])
    rings = [
        np.column_stack(to_pixels @ shapely.get_coordinates(part).T) * scale
        for polygon in polygons
        for part in shapely.get_parts(polygon)
    ]
    names = [
        name for polygon, name in zip(polygons, found, strict=True) for _ in range(len(shapely.get_parts(polygon)))
    ]
    picture = draw_quicklook(background, rings, names, labels, title=opened.info.name)
    with replacing(output, overwrite=overwrite) as built:
        picture.save(built, format="PNG")


def _scene_path(layer: Path, provenance: dict[str, str]) -> str:
    path = str(json.loads(provenance["scenes"])[0])
    for candidate in (path, str(layer.parent / Path(path).name)):
        if Path(candidate).exists():
            return candidate
    raise InputError(f"{layer}: its scene {path} is not there", "say where it is with --scene")


def _tiles(layer: Path, name: str, scene: Scene) -> tuple[npt.NDArray[Any], list[str | None]]:
    """Return the polygons of a scene's tiles in its own CRS, and their labels."""
    frame = read_layer(layer, name, ["scene", "label"])
    frame = frame[(frame["scene"] == scene.info.name) & frame.geometry.notna()]
    if not len(frame):
        raise InputError(f"{layer}: holds no tile of {scene.info.name}", "name another scene with --scene")
    polygons = frame.geometry.to_numpy()
    crs = CRS.from_wkt(frame.crs.to_wkt())
    if crs != scene.info.crs:
        polygons = reproject(polygons, crs, scene.info.crs)
    return polygons, [label if isinstance(label, str) else None for label in frame["label"]]


def _background(scene: Scene, run: dict[str, Any]) -> npt.NDArray[np.uint8]:
    """Read the scene decimated, with the bands and the stretch of the run: uint8 [h, w, 3]."""
    info = scene.info
    used = next((s for s in run["scenes"] if s["name"] == info.name), None)
    if used is None:
        bands = choose_bands(info)
        stretch = compute_stretch(scene.dataset, bands, parse_stretch("auto"))
    else:
        bands = choose_bands(info, tuple(used["bands"]))
        kind, low, high = used["stretch"]
        stretch = Stretch(kind, tuple(low), tuple(high))
    factor = min(1.0, LONGEST_SIDE / max(info.width, info.height))
    shape = (max(1, round(info.height * factor)), max(1, round(info.width * factor)))
    data, share = average_window(scene.dataset, bands, FILE_NODATA, Window(0, 0, info.width, info.height), shape)
    image = np.where(share > 0, stretch.apply(data), 255)
    return np.ascontiguousarray(image.transpose(1, 2, 0)).astype(np.uint8)
