"""The report: a layer over its scene as one page that a browser opens from the disk, without any network."""

from __future__ import annotations

import base64
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from bimors_cli.errors import BimorsError, OutputError
from bimors_cli.output.atomic import replacing
from bimors_cli.output.palette import NO_LABEL
from bimors_cli.output.style import FILL_ALPHA, NO_LABEL_ALPHA
from bimors_cli.results.layer_view import check_suffix
from bimors_cli.results.overview import Piece

# Of the overview, which is shown until a piece of the picture is decoded.
OVERVIEW_SIDE: Final = 2048
QUALITY: Final = 78  # of JPEG: some 0.2 to 0.35 bytes a pixel of an aerial picture
_HECTARE: Final = 10_000.0  # square metres
# One script on the page, in this order; the first one makes it strict.
_SCRIPTS: Final = ("pictures.js", "map_notes.js", "tile_map.js", "histogram.js", "report.js")


@dataclass(frozen=True)
class ReportClass:
    """A class of the layer: its name and ``#rrggbb``."""

    name: str
    colour: str


@dataclass(frozen=True)
class ReportTile:
    """What the page tells of a tile.

    Attributes
    ----------
    tile_id : str
        Its id.
    box : tuple of float
        Left, top, right, bottom in pixels of the picture.
    area : float
        Square metres; nan where it is not known.
    label : int or None
        Place among the classes; None where there is none.
    confidence : float or None
        0..1; None where there is no label, or where somebody corrected it.
    reason : str or None
        Why there is no label.
    runners_up : tuple of (str, float or None)
        Label and confidence, second best first.
    caption : str or None
        The captioner's sentence.
    corrected_from : str or None
        The label before it was corrected; empty where there was none, None for a tile that was not corrected.
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
    """What a page tells.

    Attributes
    ----------
    title : str
        The scene's name.
    size : tuple of float
        Width and height of the picture in pixels.
    metres_per_pixel, north : float or None
        As in `quicklook.MapNotes`.
    classes : tuple of ReportClass
        All classes that the tiles may have.
    tiles : tuple of ReportTile
        N tiles.
    missing : int
        How many tiles of the grid the layer does not hold.
    facts : tuple of (str, str)
        How the layer was made: name and value.
    notes : tuple of str
        What must be known to read the figures.
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


@dataclass(frozen=True)
class _Row:
    """A row of a table: a class or a reason, with its tiles and hectares."""

    place: int
    name: str
    colour: str
    count: int
    hectares: float


def write_report(path: Path, report: Report, pieces: Iterable[Piece], *, overwrite: bool) -> None:
    """Write the page; it appears whole or not at all.

    Parameters
    ----------
    path : Path
        The page.
    report : Report
        All but the picture.
    pieces : iterable of Piece
        The picture; one is in memory at a time.
    overwrite : bool
        Whether a page that is there may be replaced.

    Raises
    ------
    InputError
        ``path`` does not end in .html.
    OutputExistsError, OutputError
        As `atomic.replacing`. What ``pieces`` raises passes unchanged.
    """
    check_page_name(path)
    # Labels, captions and file names come from anywhere: the template escapes all but its own script, style and JPEG.
    environment = Environment(
        loader=PackageLoader("bimors_cli.results", "page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["hectares"] = _hectares
    environment.filters["count"] = lambda number: f"{number:,}"
    script, style = "\n".join(map(_page_file, _SCRIPTS)), _page_file("report.css")
    picture = _Embedded(report.size, pieces)
    stream = environment.get_template("report.html.j2").stream(
        report=report,
        rows=_class_rows(report),
        reasons=_reason_rows(report),
        labelled=sum(tile.label is not None for tile in report.tiles),
        corrected=sum(tile.corrected_from is not None for tile in report.tiles),
        hectares_known=not all(np.isnan(tile.area) for tile in report.tiles),
        decimals=hectare_decimals(report),
        opacity=round(100 * FILL_ALPHA / 255),
        data=_data(report),
        picture=picture,
        script=script,
        style=style,
        script_hash=_csp_hash(script),
        style_hash=_csp_hash(style),
    )
    stream.enable_buffering(64)
    with replacing(path, overwrite=overwrite) as built:
        try:
            with built.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(stream)
        except BimorsError:
            raise
        except OSError as error:
            raise OutputError(f"{path}: {error.strerror or error}", "is the disk full?") from error


def check_page_name(path: Path) -> None:
    """Raise InputError if the name of a file is not that of an HTML page."""
    check_suffix(path, (".html", ".htm"), "the report is an HTML page")


def hectare_decimals(report: Report) -> int:
    """Return the decimals for a column of hectares: fewer the more there is."""
    everything = float(np.nansum([tile.area for tile in report.tiles])) / _HECTARE
    return 0 if everything >= 1000 else 1 if everything >= 100 else 2 if everything >= 1 else 4


def _hectares(value: float, decimals: int) -> str:
    return "" if np.isnan(value) else f"{value:,.{decimals}f}"


class _Embedded:
    """The picture as the template takes it: pieces one by one, their boxes and the overview after them."""

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
            yield _jpeg(image)

    @property
    def overview(self) -> str:
        """The whole picture, small."""
        return _jpeg(self._overview)


def _jpeg(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=QUALITY, optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _data(report: Report) -> dict[str, Any]:
    """Return the tiles column by column, texts that repeat by their number: 20,000 tiles take 2 MB."""
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
        "runners": [[[number(name), share] for name, share in tile.runners_up] for tile in tiles],
        "caption": [number(tile.caption) for tile in tiles],
        "was": {place: tile.corrected_from for place, tile in enumerate(tiles) if tile.corrected_from is not None},
    }
    return {**data, "texts": list(texts)}


def _class_rows(report: Report) -> list[_Row]:
    """List the classes that occur, the most frequent first, then those that do not."""
    counts: Counter[int] = Counter()
    areas: dict[int, float] = {}
    for tile in report.tiles:
        if tile.label is not None:
            counts[tile.label] += 1
            areas[tile.label] = areas.get(tile.label, 0.0) + tile.area / _HECTARE
    rows = [
        _Row(place, entry.name, entry.colour, counts[place], areas.get(place, 0.0))
        for place, entry in enumerate(report.classes)
    ]
    return sorted(rows, key=lambda row: -row.count)


def _reason_rows(report: Report) -> list[_Row]:
    groups: dict[str, list[float]] = {}
    for tile in report.tiles:
        if tile.label is None:
            groups.setdefault(tile.reason or "not told", []).append(tile.area / _HECTARE)
    rows = [_Row(-1, name, NO_LABEL, len(areas), sum(areas)) for name, areas in groups.items()]
    return sorted(rows, key=lambda row: -row.count)


def _page_file(name: str) -> str:
    return (files("bimors_cli.results") / "page" / name).read_text(encoding="utf-8")


def _csp_hash(text: str) -> str:
    """Return the source expression by which a Content-Security-Policy lets in this text and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
