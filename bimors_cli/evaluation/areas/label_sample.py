"""A page to label a sample in a browser, without anything that the map says of its tiles."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import pyproj
import shapely

from bimors_cli.errors import InputError
from bimors_cli.evaluation.areas.answers import answer_of
from bimors_cli.evaluation.areas.design import CANNOT_TELL
from bimors_cli.evaluation.areas.sample_file import Sample, find_sample, read_sample
from bimors_cli.labels import Label, Labels
from bimors_cli.options.view import ReportOptions
from bimors_cli.output.atomic import check_target
from bimors_cli.output.geopackage import read_layer
from bimors_cli.provenance import RecordedScene, RunProvenance, read_classify_run
from bimors_cli.results.classified_layer import ClassifiedLayer, check_not_scene, open_recorded_scene
from bimors_cli.results.html_page import check_page_name
from bimors_cli.results.label_page import LabelPage, LabelTile, side_of_images, write_label_page
from bimors_cli.results.layer_view import output_path
from bimors_cli.results.tile_images import TileImage, tile_images
from bimors_cli.run_warnings import keeps_warnings
from bimors_cli.scene.gdal import file_name
from bimors_cli.scene.grid import Tile

_RESTORE = "undo it in QGIS, or draw the sample again: bimors sample"


@keeps_warnings
def label_sample(options: ReportOptions) -> Path:
    """Write an HTML page to label a sample that `bimors sample` drew, and return its path.

    Each tile is shown with the ground around it, in the order of the layer, which is random. Labels of the map, strata
    and confidences are not in the page.

    Raises
    ------
    InputError
        The output does not end in .html or is a scene; a place or a reference in the layer is not valid; as
        `read_sample` and `open_recorded_scene`.
    OutputError
        The page cannot be written.
    """
    if options.caption_tiles:
        raise InputError("--caption-tile: the page of a sample shows no captions", "leave it out")
    output = output_path(options, ".html")
    check_page_name(output)
    check_target(output, overwrite=options.overwrite)
    path = options.layer_file
    sample = read_sample(path)
    name, _ = find_sample(path)
    if options.layer not in (None, name):
        raise InputError(f"--layer {options.layer}: the sample is layer {name!r}", "leave out --layer")
    run, scenes = read_classify_run(path, name)
    frame = read_layer(path, name, ["tile_id", "scene", "row", "col", "note"])
    places = _places(sample, frame, scenes)
    page = LabelPage(path.name, _identity(sample, run), sample.labels, CANNOT_TELL, _tiles(sample, frame))
    labels = Labels(tuple(map(Label, sample.labels)))
    layers = [ClassifiedLayer(path, name, run, labels, (one,), ()) for one in scenes if one.name in places]
    write_label_page(output, page, _images(layers, places, options, output), overwrite=options.overwrite)
    return output


def _tiles(sample: Sample, frame: geopandas.GeoDataFrame) -> tuple[LabelTile, ...]:
    notes = frame["note"].tolist() if "note" in frame else [None] * len(frame)
    return tuple(
        LabelTile(
            tile_id, str(scene), int(row), int(col), longitude, latitude,
            _reference(sample, reference), note.strip() if isinstance(note, str) else "",
        )
        for tile_id, scene, row, col, (longitude, latitude), reference, note in zip(
            sample.tile_ids, frame["scene"], frame["row"], frame["col"], _centres(frame).tolist(), sample.references,
            notes, strict=True,
        )
    )  # fmt: skip


def _reference(sample: Sample, text: str | None) -> str:
    answer = "" if text is None else answer_of(text, sample.labels)
    if answer is None:
        raise InputError(
            f"{sample.path}: the reference {text!r} is not a label of the map",
            f"use one of {', '.join(sample.labels[:20])} or {CANNOT_TELL}",
        )
    return answer


def _centres(frame: geopandas.GeoDataFrame) -> npt.NDArray[np.float64]:
    """Return longitude and latitude of the centres of tiles, WGS 84 [n, 2]."""
    centres = shapely.get_coordinates(shapely.centroid(frame.geometry.to_numpy()))
    to_degrees = pyproj.Transformer.from_crs(frame.crs, "EPSG:4326", always_xy=True)
    return np.stack(to_degrees.transform(centres[:, 0], centres[:, 1]), axis=1)


def _places(
    sample: Sample, frame: geopandas.GeoDataFrame, scenes: Sequence[RecordedScene]
) -> dict[str, list[tuple[int, Tile]]]:
    """Return number and window of the tiles of each scene, in the order of their windows."""
    grids = {scene.name: scene.grid for scene in scenes}
    found: dict[str, list[tuple[int, Tile]]] = {}
    for number, (tile_id, scene, row, col) in enumerate(
        zip(sample.tile_ids, frame["scene"], frame["row"], frame["col"], strict=True)
    ):
        try:
            tile = grids[scene].tile(int(row), int(col))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise InputError(
                f"{sample.path}: the tile {tile_id} has no place in a scene: {scene}, row {row}, column {col}", _RESTORE
            ) from error
        found.setdefault(scene, []).append((number, tile))
    return {scene: sorted(tiles, key=lambda each: (each[1].row, each[1].col)) for scene, tiles in found.items()}


def _images(
    layers: Sequence[ClassifiedLayer], places: dict[str, list[tuple[int, Tile]]], options: ReportOptions, output: Path
) -> Iterator[tuple[int, TileImage]]:
    """Yield number and image of each tile, one scene after the other; each layer has one scene."""
    side = side_of_images(sum(map(len, places.values())))
    given = options.scene
    if given is not None and len(layers) > 1 and file_name(given) not in places:
        raise InputError(f"--scene {given}: no tile is in it", f"the scenes are {', '.join(places)}")
    for layer in layers:
        name = layer.scenes[0].name
        is_given = given is not None and (len(layers) == 1 or file_name(given) == name)
        with open_recorded_scene(layer, given if is_given else None, options.allow_drivers) as (recorded, scene):
            check_not_scene(output, scene)
            numbers, windows = zip(*places[name], strict=True)
            yield from zip(numbers, tile_images(scene, recorded, windows, side), strict=True)


def _identity(sample: Sample, run: RunProvenance) -> str:
    """Return a short hash of what was drawn, and when; references do not change it."""
    drawn: list[Any] = [run.created, sorted((*sample.tile_ids, *sample.missing)), list(sample.labels)]
    return hashlib.sha256(json.dumps(drawn).encode()).hexdigest()[:16]
