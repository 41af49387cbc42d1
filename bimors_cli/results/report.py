"""A report of a layer: what it says of each tile, of each class, and how it was made, as one page."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pyproj import CRS

from bimors_cli.labels import Labels, match_names
from bimors_cli.output.atomic import check_target
from bimors_cli.output.palette import NO_LABEL, colours
from bimors_cli.output.predictions import read_predictions
from bimors_cli.provenance import RecordedScene
from bimors_cli.results.classified_layer import (
    ClassifiedLayer,
    ClassifiedTiles,
    check_not_scene,
    open_used,
    read_classified_layer,
    read_tiles,
)
from bimors_cli.results.overview import Overview, measure_ground
from bimors_cli.results.report_page import Report, ReportClass, ReportPiece, ReportTile, check_page_name, write_report
from bimors_cli.scene.area import ground_areas
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.raster import Scene

# Of the embedded picture. With JPEG at some 0.2 to 0.35 bytes a pixel, and a third more as text, a page has 17 to 30 MB
# at the most; 20,000 tiles are shown with 56 pixels a side.
MAX_PIXELS: Final = 64_000_000

_RANK: Final = re.compile(r"label_([0-9]+)")


def report(
    layer_file: Path,
    output: Path,
    *,
    scene: str | None = None,
    layer: str | None = None,
    allow_drivers: Sequence[str] = (),
    overwrite: bool = False,
) -> None:
    """Write a page that shows a layer that `classify` wrote, tile by tile, over its scene.

    Parameters
    ----------
    layer_file : Path
        A GeoPackage.
    output : Path
        The page.
    scene : str, optional
        Which scene, or where it is now; else the one (or the first one) that the layer was made from.
    layer : str, optional
        Which layer, where the file has several.
    allow_drivers : sequence of str
        GDAL's drivers to try beside the usual ones.
    overwrite : bool
        Replace a page that is there.

    Raises
    ------
    InputError
        The layer was not written by bimors, the scene is not found or another one, or ``output`` is no HTML page.
    OutputError
        The page cannot be written.
    """
    check_page_name(output)
    check_target(output, overwrite=overwrite)
    result = read_classified_layer(layer_file, layer)
    with open_used(result, scene, allow_drivers) as (used, opened):
        check_not_scene(output, opened)
        found = read_tiles(result, used)
        picture = Overview.within(opened.info, pixels=MAX_PIXELS)
        ground = measure_ground(picture)
        tiles, classes = _tiles(result, found, picture)
        page = Report(
            title=used.name,
            size=picture.size,
            metres_per_pixel=ground.metres,
            north=ground.north,
            classes=classes,
            tiles=tiles,
            absent=len(used.grid) - len(np.unique(found.windows, axis=0)),
            facts=_facts(result, used, opened),
            notes=_notes(result, used, picture),
        )
        write_report(output, page, _pieces(picture, opened, used), overwrite=overwrite)


def _pieces(picture: Overview, scene: Scene, used: RecordedScene) -> Iterator[ReportPiece]:
    for piece in picture.pieces(scene, used):
        yield ReportPiece(piece.box, piece.image)


def _tiles(
    result: ClassifiedLayer, found: ClassifiedTiles, picture: Overview
) -> tuple[tuple[ReportTile, ...], tuple[ReportClass, ...]]:
    labels, text = found.text["label"], found.text
    names = _all_names([label for label in labels if label], result.labels)
    number = {name: place for place, name in enumerate(names)}
    palette = dict(zip(result.labels.names, colours(result.labels), strict=True))
    predicted = read_predictions(result.path, result.layer)
    areas = _areas(found)
    boxes = picture.boxes(found.windows).tolist()
    runners_up = _runners_up(found)
    tiles = []
    for place, (tile_id, label) in enumerate(zip(text["tile_id"], labels, strict=True)):
        was = _before(predicted, tile_id, label)
        confidence = float(found.number["confidence"][place])
        sure = label is not None and was is None and math.isfinite(confidence)
        tiles.append(
            ReportTile(
                tile_id=tile_id or "",
                box=boxes[place],
                area=float(areas[place]),
                label=None if label is None else number[_same(label, names)],
                confidence=confidence if sure else None,
                reason=None if label else text["reason"][place],
                runners_up=runners_up[place],
                caption=text["caption"][place],
                was=was,
            )
        )
    return tuple(tiles), tuple(ReportClass(name, palette.get(name, NO_LABEL)) for name in names)


def _areas(found: ClassifiedTiles) -> npt.NDArray[np.float64]:
    if found.crs_wkt is None:
        return np.full(len(found.windows), np.nan)
    return ground_areas(found.polygons, CRS.from_wkt(found.crs_wkt))


def _all_names(typed: list[str], labels: Labels) -> tuple[str, ...]:
    """Return the labels of the run, then what was typed since."""
    added = dict.fromkeys(typed)
    found = dict(zip(added, match_names(list(added), labels.names), strict=True))
    new = [name for name in added if found[name] is None]
    first = match_names(new, new)
    return (*labels.names, *(new[place] for place in dict.fromkeys(first) if place is not None))


def _same(label: str, names: tuple[str, ...]) -> str:
    """Return the one among the names that is read like a label."""
    if label in names:
        return label
    (place,) = match_names([label], names)
    if place is None:
        raise ValueError(f"{label!r} is none of the names")
    return names[place]


def _before(predicted: dict[str, str | None] | None, tile_id: str | None, label: str | None) -> str | None:
    """Return what a tile was before somebody corrected it, None where nobody did or the file does not say."""
    if predicted is None or tile_id not in predicted:
        return None
    before = (predicted[tile_id] or "").strip()
    return None if before.casefold() == (label or "").casefold() else before


def _runners_up(found: ClassifiedTiles) -> list[tuple[tuple[str, float | None], ...]]:
    ranks = sorted(int(match[1]) for match in map(_RANK.fullmatch, found.text) if match)
    result: list[list[tuple[str, float | None]]] = [[] for _ in found.windows]
    unknown = np.full(len(found.windows), np.nan)
    for rank in ranks:
        shares = found.number.get(f"confidence_{rank}", unknown).tolist()
        for place, (name, share) in enumerate(zip(found.text[f"label_{rank}"], shares, strict=True)):
            if name is not None:
                result[place].append((name, share if math.isfinite(share) else None))
    return [tuple(runners) for runners in result]


def _facts(result: ClassifiedLayer, used: RecordedScene, scene: Scene) -> tuple[tuple[str, str], ...]:
    run, info, grid = result.run, scene.info, used.grid
    code = info.crs.to_epsg()
    adapter = run.get("adapter") or {}
    model = run.get("model") or {}
    pairs: list[tuple[str, object]] = [
        ("Command", result.provenance.get("command")),
        ("Made", result.provenance.get("created")),
        ("bimors", result.provenance.get("version")),
        ("Bundle", model.get("name")),
        ("Bundle SHA-256", model.get("sha256")),
        ("Adapter", adapter.get("name") or "none"),
        ("Adapter SHA-256", adapter.get("sha256")),
        ("Head", run.get("head")),
        ("Captions", "yes" if run.get("captions") else "no"),
        ("Layer", f"{result.layer} of {result.path.name}"),
        ("Scene", used.path),
        ("Scene pixels", f"{info.width:,} x {info.height:,}"),
        ("Scene CRS", f"EPSG:{code}" if code else CRS.from_wkt(info.crs.to_wkt()).name),
        ("Layer CRS", run.get("crs")),
        ("Bands", ", ".join(map(str, used.bands))),
        ("Stretch", used.stretch),
        ("Nodata", used.nodata),
        *_tiling(run, grid),
        ("Area of interest SHA-256", next((s.get("aoi") for s in run["scenes"] if s["name"] == used.name), None)),
        ("Least confidence for a label", run.get("min confidence")),
    ]
    return tuple((name, str(value)) for name, value in pairs if value not in (None, ""))


def _tiling(run: Mapping[str, Any], grid: Grid) -> list[tuple[str, object]]:
    size = f"{grid.tile_width} x {grid.tile_height} pixels"
    settled = ("Labels refined over all tiles", run.get("refine"))
    if run.get("vote"):
        by = f"tiles of {run.get('tile size')}, overlapping by {run.get('overlap')}"
        return [("Cell", size), ("Cells voted on by", by), settled]
    return [("Tile", f"{size} ({run.get('tile size')})"), ("Overlap", run.get("overlap")), settled]


def _notes(result: ClassifiedLayer, used: RecordedScene, picture: Overview) -> tuple[str, ...]:
    notes = []
    if len(result.scenes) > 1:
        others = ", ".join(other.name for other in result.scenes if other.name != used.name)
        notes.append(f"The layer is of {len(result.scenes)} scenes. This page is of {used.name}; left out: {others}.")
    if (used.grid.stride_x, used.grid.stride_y) != (used.grid.tile_width, used.grid.tile_height):
        notes.append("Tiles overlap: areas are counted once for each tile that covers them.")
    if picture.scale > 1:
        notes.append(f"The picture is reduced: one of its pixels stands for {picture.scale:.2f} of the scene.")
    return tuple(notes)
