"""Report of a layer as one HTML page: its tiles, its classes, and how it was made."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pyproj import CRS

from bimors_cli.labels import Labels, match_names
from bimors_cli.options.view import ReportOptions
from bimors_cli.output.palette import NO_LABEL, colours
from bimors_cli.output.predictions import read_predictions
from bimors_cli.results.classified_layer import ClassifiedTiles
from bimors_cli.results.html_page import check_page_name
from bimors_cli.results.layer_view import LayerView, open_view, output_path
from bimors_cli.results.report_page import Report, ReportClass, ReportTile, write_report
from bimors_cli.run_warnings import keeps_warnings
from bimors_cli.scene.area import ground_areas
from bimors_cli.scene.grid import Grid
from bimors_cli.steps import step

# Pixels of the embedded image. With JPEG at 0.2 to 0.35 bytes a pixel, and a third more as base64, a page has at most
# 17 to 30 MB; 20,000 tiles are shown with 56 pixels a side.
MAX_PIXELS: Final = 64_000_000

_RANK: Final = re.compile(r"label_([0-9]+)")


@dataclass(frozen=True)
class MadeCaptions:
    """Captions that a bundle made for a page, by the id of the tile; None where the captioner failed."""

    bundle: str
    captions: Mapping[str, str | None]


@keeps_warnings
def report(options: ReportOptions, caption: Callable[[LayerView], MadeCaptions] | None = None) -> Path:
    """Write an HTML page that shows a layer that `classify` wrote, tile by tile, over its scene, and return its path.

    ``caption`` makes captions of some tiles, which replace those of the layer.

    Raises
    ------
    InputError
        The output does not end in .html; as `open_view`.
    OutputError
        The page cannot be written.
    """
    output = output_path(options, ".html")
    check_page_name(output)
    with open_view(options, output, pixels=MAX_PIXELS) as view:
        made = None if caption is None else caption(view)
        tiles, classes = _tiles(view, {} if made is None else made.captions)
        page = Report(
            title=view.recorded.name,
            size=view.overview.size,
            metres_per_pixel=view.ground.metres,
            north=view.ground.north,
            classes=classes,
            tiles=tiles,
            missing=len(view.recorded.grid) - len(np.unique(view.tiles.windows, axis=0)),
            facts=_facts(view),
            notes=_notes(view, made),
            warnings=view.layer.run.warnings or (),
        )
        with step(f"writing {output.name}"):
            write_report(output, page, view.pieces(), overwrite=options.overwrite)
    return output


def _tiles(
    view: LayerView, captions: Mapping[str, str | None]
) -> tuple[tuple[ReportTile, ...], tuple[ReportClass, ...]]:
    layer, found = view.layer, view.tiles
    labels, text = found.text["label"], found.text
    names = _all_names([label for label in labels if label], layer.labels)
    number = {name: index for index, name in enumerate(names)}
    palette = dict(zip(layer.labels.names, colours(layer.labels), strict=True))
    predicted = read_predictions(layer.path, layer.name)
    areas = _areas(found)
    boxes = view.overview.boxes(found.windows).tolist()
    runners_up = _runners_up(found)
    tiles = []
    for index, (tile_id, label) in enumerate(zip(text["tile_id"], labels, strict=True)):
        corrected_from = _corrected_from(predicted, tile_id, label)
        confidence = float(found.number["confidence"][index])
        is_predicted = label is not None and corrected_from is None and math.isfinite(confidence)
        tiles.append(
            ReportTile(
                tile_id=tile_id or "",
                box=boxes[index],
                area=float(areas[index]),
                label=None if label is None else number[_matching(label, names)],
                confidence=confidence if is_predicted else None,
                reason=None if label else text["reason"][index],
                runners_up=runners_up[index],
                caption=captions.get(tile_id or "", text["caption"][index]),
                corrected_from=corrected_from,
            )
        )
    return tuple(tiles), tuple(ReportClass(name, palette.get(name, NO_LABEL)) for name in names)


def _areas(found: ClassifiedTiles) -> npt.NDArray[np.float64]:
    if found.crs_wkt is None:
        return np.full(len(found.windows), np.nan)
    return ground_areas(found.polygons, CRS.from_wkt(found.crs_wkt))


def _all_names(typed: list[str], labels: Labels) -> tuple[str, ...]:
    """Return the labels of the run, then new ones that were typed into the layer."""
    added = dict.fromkeys(typed)
    found = dict(zip(added, match_names(list(added), labels.names), strict=True))
    new = [name for name in added if found[name] is None]
    first = match_names(new, new)
    return (*labels.names, *(new[index] for index in dict.fromkeys(first) if index is not None))


def _matching(label: str, names: tuple[str, ...]) -> str:
    """Return the name that is the same label, whatever its case and underscores."""
    if label in names:
        return label
    (index,) = match_names([label], names)
    if index is None:
        raise ValueError(f"{label!r} is not one of the names")
    return names[index]


def _corrected_from(predicted: dict[str, str | None] | None, tile_id: str | None, label: str | None) -> str | None:
    """Return the predicted label of a tile that was corrected; None if it was not, or no prediction is recorded."""
    if predicted is None or tile_id not in predicted:
        return None
    before = (predicted[tile_id] or "").strip()
    return None if before.casefold() == (label or "").casefold() else before


def _runners_up(found: ClassifiedTiles) -> list[tuple[tuple[str, float | None], ...]]:
    ranks = sorted(int(match[1]) for match in map(_RANK.fullmatch, found.text) if match)
    result: list[list[tuple[str, float | None]]] = [[] for _ in found.windows]
    unknown = np.full(len(found.windows), np.nan)
    for rank in ranks:
        confidences = found.number.get(f"confidence_{rank}", unknown).tolist()
        for runners, name, confidence in zip(result, found.text[f"label_{rank}"], confidences, strict=True):
            if name is not None:
                runners.append((name, confidence if math.isfinite(confidence) else None))
    return [tuple(runners) for runners in result]


def _facts(view: LayerView) -> tuple[tuple[str, str], ...]:
    layer, recorded, info = view.layer, view.recorded, view.scene.info
    run, key = layer.run, layer.run_key
    adapter = key.get("adapter") or {}
    pairs: list[tuple[str, object]] = [
        ("Command", run.command),
        ("Created", run.created),
        ("bimors", run.version),
        ("Bundle", run.bundle.get("name")),
        ("Bundle SHA-256", run.bundle.get("sha256")),
        ("Adapter", adapter.get("name") or "none"),
        ("Adapter SHA-256", adapter.get("sha256")),
        ("Head", key.get("head")),
        ("Captions", _captions(key.get("captions"))),
        ("Layer", f"{layer.name} in {layer.path.name}"),
        ("Scene", recorded.path),
        ("Scene size", f"{info.width:,} x {info.height:,} pixels"),
        ("Scene CRS", view.crs_name),
        ("Layer CRS", key.get("crs")),
        ("Bands", ", ".join(map(str, recorded.bands))),
        ("Stretch", recorded.stretch),
        ("Nodata", recorded.nodata),
        *_tiling(key, recorded.grid),
        ("Area of interest SHA-256", recorded.aoi_sha256),
        ("Minimum confidence", key.get("min confidence")),
    ]
    return tuple((name, str(value)) for name, value in pairs if value not in (None, ""))


def _captions(recorded: object) -> str:
    """Describe `bimors_cli.pipeline.caption_use.CaptionUse.row_key`."""
    if isinstance(recorded, Mapping):
        return f"of tiles with a confidence below {recorded.get('below')}, or without a label"
    if not isinstance(recorded, list):
        return "yes" if recorded else "no"
    return f"in {sum(map(bool, recorded))} of {len(recorded)} scenes" if any(recorded) else "for the labels only"


def _tiling(key: Mapping[str, Any], grid: Grid) -> list[tuple[str, object]]:
    size = f"{grid.tile_width} x {grid.tile_height} pixels"
    refined = ("Refinement", key.get("refine"))
    if key.get("vote"):
        tiles = f"{key.get('tile size')}, overlap {key.get('overlap')}"
        return [("Cell size", size), ("Tile size of the vote", tiles), refined]
    return [("Tile size", f"{size} ({key.get('tile size')})"), ("Overlap", key.get("overlap")), refined]


def _notes(view: LayerView, made: MadeCaptions | None) -> tuple[str, ...]:
    notes = []
    if made is not None:
        count = len(made.captions)
        captions = "The caption of 1 tile was" if count == 1 else f"The captions of {count:,} tiles were"
        notes.append(f"{captions} made for this page, by {made.bundle}.")
    recorded, scenes = view.recorded, view.layer.scenes
    if len(scenes) > 1:
        others = ", ".join(other.name for other in scenes if other.name != recorded.name)
        notes.append(f"The layer has {len(scenes)} scenes. This page shows {recorded.name}, not {others}.")
    if (recorded.grid.stride_x, recorded.grid.stride_y) != (recorded.grid.tile_width, recorded.grid.tile_height):
        notes.append("Tiles overlap: an area is counted once for each tile that covers it.")
    if view.overview.scale > 1:
        notes.append(f"The image is reduced: one pixel covers {view.overview.scale:.2f} pixels of the scene.")
    return tuple(notes)
