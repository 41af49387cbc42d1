"""The HTML page of a report: one file that a browser opens from disk, without network access."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from bimors_cli.output.palette import NO_LABEL
from bimors_cli.output.style import FILL_ALPHA, NO_LABEL_ALPHA
from bimors_cli.results.html_page import base64_text, jpeg_bytes, write_page
from bimors_cli.results.overview import Piece

# Longer side of the overview, which is shown until a piece of the image is decoded.
OVERVIEW_SIDE: Final = 2048
_HECTARE: Final = 10_000.0  # square metres
_SCRIPTS: Final = ("pieces.js", "map_notes.js", "tile_map.js", "histogram.js", "report.js")


@dataclass(frozen=True)
class ReportClass:
    """A class of the layer: its name and ``#rrggbb``."""

    name: str
    colour: str


@dataclass(frozen=True)
class ReportTile:
    """What the page shows of a tile.

    Attributes
    ----------
    tile_id : str
        Id of the tile.
    box : tuple of float
        Left, top, right, bottom in pixels of the overview.
    area : float
        Square metres; nan if unknown.
    label : int or None
        Index of the class; None without a label.
    confidence : float or None
        0..1; None without a label, or if the label was corrected.
    reason : str or None
        Reason for a missing label.
    runners_up : tuple of (str, float or None)
        Label and confidence, second best first.
    caption : str or None
        Caption of the tile.
    corrected_from : str or None
        The predicted label of a corrected tile, empty if it had none; None for a tile that was not corrected.
    """

    tile_id: str
    box: tuple[float, float, float, float]
    area: float
    label: int | None
    confidence: float | None
    reason: str | None
    runners_up: tuple[tuple[str, float | None], ...]
    caption: str | None
    corrected_from: str | None


@dataclass(frozen=True)
class Report:
    """What a page shows.

    Attributes
    ----------
    title : str
        Name of the scene.
    size : tuple of float
        Width and height of the overview in pixels.
    metres_per_pixel, north : float or None
        As in `preview_image.MapNotes`.
    classes : tuple of ReportClass
        All classes of the layer.
    tiles : tuple of ReportTile
        Tiles in the layer.
    missing : int
        Number of tiles of the grid that are not in the layer.
    facts : tuple of (str, str)
        Provenance: name and value.
    notes : tuple of str
        Remarks on the figures.
    warnings : tuple of str
        What the run warned of.
    """

    title: str
    size: tuple[float, float]
    metres_per_pixel: float | None
    north: float | None
    classes: tuple[ReportClass, ...]
    tiles: tuple[ReportTile, ...]
    missing: int
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Row:
    """A row of a table: number (-1 for a reason) and name of a class, its tiles and hectares."""

    number: int
    name: str
    colour: str
    count: int
    hectares: float


def write_report(path: Path, report: Report, pieces: Iterable[Piece], *, overwrite: bool) -> None:
    """Write the page; the file is complete or not written at all.

    Parameters
    ----------
    path : Path
        The page.
    report : Report
        Everything but the image of the scene.
    pieces : iterable of Piece
        The image of the scene; one piece is in memory at a time.
    overwrite : bool
        Replace an existing page.

    Raises
    ------
    InputError, OutputExistsError, OutputError
        As `write_page`. Errors of ``pieces`` pass unchanged.
    """
    write_page(
        path,
        "report.html.j2",
        {
            "report": report,
            "rows": _class_rows(report),
            "reasons": _reason_rows(report),
            "labelled": sum(tile.label is not None for tile in report.tiles),
            "corrected": sum(tile.corrected_from is not None for tile in report.tiles),
            "hectares_known": not all(np.isnan(tile.area) for tile in report.tiles),
            "decimals": hectare_decimals(report),
            "opacity": round(100 * FILL_ALPHA / 255),
            "data": _data(report),
            "image": _EmbeddedImage(report.size, pieces),
        },
        scripts=_SCRIPTS,
        styles=("colours.css", "base.css", "report.css"),
        overwrite=overwrite,
        filters={"hectares": _hectares},
    )


def hectare_decimals(report: Report) -> int:
    """Return the number of decimals of a column of hectares, by the total area."""
    total = float(np.nansum([tile.area for tile in report.tiles])) / _HECTARE
    return 0 if total >= 1000 else 1 if total >= 100 else 2 if total >= 1 else 4


def _hectares(value: float, decimals: int) -> str:
    return "" if np.isnan(value) else f"{value:,.{decimals}f}"


class _EmbeddedImage:
    """The image of the scene for the template: iterate over the pieces, then use their boxes and the overview."""

    def __init__(self, size: tuple[float, float], pieces: Iterable[Piece]) -> None:
        self._pieces = pieces
        shrink = min(1.0, OVERVIEW_SIDE / max(size))
        self._scale = shrink
        self._overview = Image.new("RGB", tuple(max(1, round(side * shrink)) for side in size))  # type: ignore[arg-type]
        self.boxes: list[list[float]] = []

    def __iter__(self) -> Iterator[str]:
        for piece in self._pieces:
            image = Image.fromarray(piece.image)
            self.boxes.append([round(value, 3) for value in piece.box])
            left, top, right, bottom = (round(value * self._scale) for value in piece.box)
            if right > left and bottom > top:
                small = image.resize((right - left, bottom - top), Image.Resampling.BOX)
                self._overview.paste(small, (left, top))
            yield base64_text(jpeg_bytes(image))

    @property
    def overview(self) -> str:
        """The whole image, reduced, as JPEG."""
        return base64_text(jpeg_bytes(self._overview))


def _data(report: Report) -> dict[str, Any]:
    """Return the tiles column by column, repeated texts by their number: 20,000 tiles take 2 MB."""
    tiles = report.tiles
    texts: dict[str, int] = {}

    def number(text: str | None) -> int:
        return -1 if text is None else texts.setdefault(text, len(texts))

    data = {
        "width": report.size[0],
        "height": report.size[1],
        "metres": report.metres_per_pixel,
        "north": report.north,
        "classes": [[entry.name, entry.colour] for entry in report.classes],
        "none": [NO_LABEL, NO_LABEL_ALPHA / 255],
        "alpha": FILL_ALPHA / 255,
        "id": [tile.tile_id for tile in tiles],
        "box": [[round(value, 2) for value in tile.box] for tile in tiles],
        "area": [None if np.isnan(tile.area) else round(tile.area / _HECTARE, 6) for tile in tiles],
        "label": [-1 if tile.label is None else tile.label for tile in tiles],
        "confidence": [tile.confidence for tile in tiles],
        "reason": [number(tile.reason) for tile in tiles],
        "runners": [[[number(name), confidence] for name, confidence in tile.runners_up] for tile in tiles],
        "caption": [number(tile.caption) for tile in tiles],
        "was": {index: tile.corrected_from for index, tile in enumerate(tiles) if tile.corrected_from is not None},
    }
    return {**data, "texts": list(texts)}


def _class_rows(report: Report) -> list[_Row]:
    """Return a row for each class, the most frequent first."""
    counts: Counter[int] = Counter()
    areas: dict[int, float] = {}
    for tile in report.tiles:
        if tile.label is not None:
            counts[tile.label] += 1
            areas[tile.label] = areas.get(tile.label, 0.0) + tile.area / _HECTARE
    rows = [
        _Row(number, entry.name, entry.colour, counts[number], areas.get(number, 0.0))
        for number, entry in enumerate(report.classes)
    ]
    return sorted(rows, key=lambda row: -row.count)


def _reason_rows(report: Report) -> list[_Row]:
    groups: dict[str, list[float]] = {}
    for tile in report.tiles:
        if tile.label is None:
            groups.setdefault(tile.reason or "unknown", []).append(tile.area / _HECTARE)
    rows = [_Row(-1, name, NO_LABEL, len(areas), sum(areas)) for name, areas in groups.items()]
    return sorted(rows, key=lambda row: -row.count)
