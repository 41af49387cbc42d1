"""The page of `bimors info`: sections of aligned lines and tables, in 80 columns where there is no terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bimors_cli.pipeline.info import AdapterUse, ModelUse, SceneReport
from bimors_cli.scene.band_statistics import BandStatistics
from bimors_cli.scene.band_table import BandDescription
from bimors_cli.scene.describe import SceneDescription
from bimors_cli.scene.location import Location

PLAIN_WIDTH: Final = 80
WIDEST: Final = 110
_MOST_BANDS: Final = 24
_MOST_LABELS: Final = 12
_CLOSE: Final = 8  # columns of a table that are set closer
_LABEL_WIDTH: Final = 18
# Lengths of the CRS that differ more from those on the ground are shown in both.
_SCALE: Final = 0.005
# Masks of all floats and all palettes: shown where they mask a pixel.
_ALWAYS: Final = ("nan", "palette")

Lines = Iterable[tuple[str, str]]


def print_page(report: SceneReport, console: Console) -> None:
    """Print a report to a console; a file gets no spaces at the end of lines."""
    if console.is_terminal:
        _print(report, console)
        return
    with console.capture() as captured:
        _print(report, console)
    console.file.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _print(report: SceneReport, console: Console) -> None:
    scene = report.scene
    _section(console, "Scene", _scene_lines(scene))
    shown = _shown_bands(scene)
    _band_table(console, scene, shown)
    _statistics_table(console, scene, shown)
    _section(console, "Image", _image_lines(scene))
    _section(console, "Tiles", _tile_lines(scene))
    _section(console, f"Model {_printable(report.model.name)}", _model_lines(report.model))
    if report.adapter is not None:
        _section(console, f"Adapter {_printable(report.adapter.name)}", _adapter_lines(report.adapter))


def _heading(console: Console, text: str) -> None:
    console.print(Text(text, style="bold"))


def _section(console: Console, title: str, lines: Lines) -> None:
    _heading(console, title)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=_LABEL_WIDTH, no_wrap=True, style="cyan")
    table.add_column(overflow="fold")
    for label, value in lines:
        table.add_row(Text(label), Text(value))
    console.print(Padding(table, (0, 0, 1, 2), expand=False))


def _scene_lines(scene: SceneDescription) -> Iterator[tuple[str, str]]:
    info, place = scene.info, scene.location
    size = "" if info.size_bytes is None else f", {_bytes(info.size_bytes)}"
    yield "file", f"{_printable(info.name)}, {info.driver}{size}"
    dtypes = " and ".join(dict.fromkeys(info.dtypes))
    yield "size", f"{info.width:,} x {info.height:,} pixels, {_count(info.count, 'band')} of {dtypes}"
    if scene.sensor is not None:
        yield "sensor", _printable(f"{scene.sensor.title}, by {', '.join(scene.sensor.evidence)}")
    yield "overviews", ", ".join(map(str, info.overviews)) or "none"
    code = "" if place.crs_code is None else f" ({place.crs_code})"
    assumed = ", assumed" if info.crs_assumed else ""
    yield "CRS", f"{_printable(place.crs_name)}{code}{assumed}"
    left, bottom, right, top = (f"{value:.10g}" for value in place.bounds)
    yield "bounds", f"{left} {bottom} to {right} {top} {place.unit or ''}".rstrip()
    yield from _lonlat_lines(place)
    yield "pixel size", _pixel_size(place)
    if abs(place.rotation) > 1e-9:
        direction = "counterclockwise" if place.rotation > 0 else "clockwise"
        yield "rotation", f"{abs(place.rotation):.6g} degrees {direction}"
    elif info.transform.e > 0:
        yield "orientation", "the first row is in the south"
    if place.area_m2 is not None:
        yield "area", _area(place.area_m2)


def _lonlat_lines(place: Location) -> Iterator[tuple[str, str]]:
    if place.bounds_lonlat is None:
        yield "longitude, latitude", "unknown"
        return
    west, south, east, north = place.bounds_lonlat
    across = ", across the antimeridian" if west > east else ""
    places = _places((east - west) % 360 or 360)
    yield "longitude", f"{_degrees(west, 'EW', places)} to {_degrees(east, 'EW', places)}{across}"
    places = _places(north - south)
    yield "latitude", f"{_degrees(south, 'NS', places)} to {_degrees(north, 'NS', places)}"


def _places(extent: float) -> int:
    """Return the decimal places with which an extent in degrees has about three digits."""
    return min(8, max(1, 2 - math.floor(math.log10(extent)))) if extent > 0 else 8


def _degrees(value: float, letters: str, places: int) -> str:
    return f"{abs(value):.{places}f} {letters[value < 0]}"


def _pixel_size(place: Location) -> str:
    x, y = place.pixel_size
    text = f"{x:.7g} x {y:.7g} {place.unit or 'units'}"
    if place.unit_m is not None and place.unit_m != 1:
        text += f" = {_metres(x * place.unit_m, y * place.unit_m)}"
    if place.ground_pixel_m is None:
        return f"{text}; on the ground unknown"
    return f"{text}; on the ground {_metres(*place.ground_pixel_m, digits=4)}"


def _area(square_metres: float) -> str:
    if square_metres >= 1e6:
        return f"{float(f'{square_metres / 1e6:.4g}'):,.10g} km2"
    if square_metres >= 1e4:
        return f"{square_metres / 1e4:.4g} ha"
    return f"{square_metres:.4g} m2"


def _shown_bands(scene: SceneDescription) -> list[int]:
    """Return the positions of the bands that the tables show: the first ones, and those that are used."""
    count = scene.info.count
    if count <= _MOST_BANDS:
        return list(range(count))
    return sorted({*range(_MOST_BANDS), *(index - 1 for index in scene.bands.indexes)})


def _band_table(console: Console, scene: SceneDescription, shown: Sequence[int]) -> None:
    """Print what the file says of each band; columns that say nothing are left out."""
    bands = [scene.band_table[position] for position in shown]
    columns: dict[str, Callable[[BandDescription], str]] = {
        "description": lambda band: _printable(band.description),
        "name": lambda band: band.name or "",
        "colour": lambda band: "" if band.colour == "undefined" else band.colour,
        "nm": lambda band: "" if band.wavelength_nm is None else f"{band.wavelength_nm:.6g}",
        "scale": lambda band: "" if band.scale == 1 else f"{band.scale:.6g}",
        "offset": lambda band: "" if band.offset == 0 else f"{band.offset:.6g}",
        "unit": lambda band: _printable(band.unit),
        "nodata": lambda band: "" if band.nodata is None else f"{band.nodata:.6g}",
        "used as": lambda band: ", ".join(band.used_as),
    }
    _heading(console, "Bands")
    rows = {title: [text(band) for band in bands] for title, text in columns.items()}
    rows = {title: texts for title, texts in rows.items() if any(texts)}
    numbers = {"nm", "scale", "offset", "nodata"}
    _table(console, [str(band.index) for band in bands], rows, numbers)
    _cut(console, scene, shown)


def _statistics_table(console: Console, scene: SceneDescription, shown: Sequence[int]) -> None:
    sample = scene.sample
    if sample.exact:
        extent = f"all {sample.pixels:,} pixels"
    else:
        extent = f"a sample of {sample.pixels:,} pixels" + (" of the overviews" if scene.info.overviews else "")
    stored = any(band.scale != 1 or band.offset != 0 for band in scene.band_table)
    _heading(console, f"Statistics of {'stored values, ' if stored else ''}{extent}")
    columns: dict[str, Callable[[BandStatistics], str]] = {
        "minimum": lambda found: _number(found.minimum),
        "2 %": lambda found: _number(found.low),
        "mean": lambda found: _number(found.mean),
        "98 %": lambda found: _number(found.high),
        "maximum": lambda found: _number(found.maximum),
        "std. dev.": lambda found: _number(found.deviation),
        "valid": lambda found: _percent(found.valid_fraction),
    }
    found = [sample.bands[position] for position in shown]
    rows = {title: [text(each) for each in found] for title, text in columns.items()}
    _table(console, [str(position + 1) for position in shown], rows, set(rows))
    _cut(console, scene, shown)


def _table(console: Console, first: Sequence[str], columns: dict[str, list[str]], right: set[str]) -> None:
    space = 2 if len(columns) < _CLOSE else 1
    table = Table(box=None, padding=(0, space, 0, 0), pad_edge=False, header_style="cyan", show_edge=False)
    table.add_column(Text("band"), justify="right", no_wrap=True)
    for title, cells in columns.items():
        # A number is never cut.
        table.add_column(
            Text(title),
            justify="right" if title in right else "left",
            min_width=max(map(len, (title, *cells))) if title in right else len(title),
            overflow="ellipsis",
            no_wrap=True,
        )
    for row in zip(first, *columns.values(), strict=True):
        table.add_row(*map(Text, row))
    console.print(Padding(table, (0, 0, 0, 2), expand=False))


def _cut(console: Console, scene: SceneDescription, shown: Sequence[int]) -> None:
    left_out = scene.info.count - len(shown)
    if left_out:
        console.print(Text(f"  and {left_out:,} bands more: --json lists all"))
    console.print()


def _image_lines(scene: SceneDescription) -> Iterator[tuple[str, str]]:
    numbers = ", ".join(map(str, scene.bands.indexes))
    yield "bands", f"{numbers} as {', '.join(scene.channels)}"
    yield "stretch", str(scene.stretch)
    applied = [source for source in scene.masks if source.applied]
    shown = [source for source in applied if source.kind not in _ALWAYS or scene.valid_fraction_of(source) != 1]
    if not shown:
        yield "mask", "none"
    for source in shown:
        fraction = scene.valid_fraction_of(source)
        leaves = "" if fraction is None else f", leaves {_percent(fraction)} of the pixels"
        yield "mask", f"{_printable(source.text)}{leaves}"
    for source in scene.masks:
        if not source.applied:
            yield "mask not used", f"{_printable(source.text)}: {source.reason}"
    yield "valid", f"{_percent(scene.valid_fraction)} of the pixels"


def _tile_lines(scene: SceneDescription) -> Iterator[tuple[str, str]]:
    grid, pixel = scene.grid, scene.pixel_size_m
    size = f"{grid.tile_width} x {grid.tile_height} pixels"
    if pixel is not None:
        width, height = grid.tile_width * pixel[0], grid.tile_height * pixel[1]
        size += f", {_metres(width, height)}"
        scale = scene.ground_scale
        if scale is not None and abs(scale - 1) > _SCALE:
            size += f"; on the ground {_metres(width * scale, height * scale, digits=4)}"
    yield "tile size", size
    if (grid.stride_x, grid.stride_y) != (grid.tile_width, grid.tile_height):
        yield "stride", f"{grid.stride_x} x {grid.stride_y} pixels"
    yield "tiles", f"{len(grid):,}: {_count(grid.rows, 'row')}, {_count(grid.cols, 'column')}"


def _model_lines(model: ModelUse) -> Iterator[tuple[str, str]]:
    if model.inputs:
        yield "input", f"{', '.join(model.inputs)}; {model.image_size} pixels a side"
    if model.pixel_size_m is not None and model.tile_size_m is not None:
        pixel, tile = (f"{low:g} to {high:g} m" for low, high in (model.pixel_size_m, model.tile_size_m))
        yield "trained on", f"pixels of {pixel}, tiles of {tile}"
    if model.inside is None:
        yield "in training domain", "unknown: the model states none"
    else:
        yield "in training domain", "yes" if model.inside else f"no: {', '.join(model.outside)}"
    yield "captions", "yes" if model.captions else "no"
    if model.views:
        yield "views to finetune", ", ".join(model.views)


def _adapter_lines(adapter: AdapterUse) -> Iterator[tuple[str, str]]:
    labels = [_printable(label) for label in adapter.labels]
    more = f" and {len(labels) - _MOST_LABELS:,} more" if len(labels) > _MOST_LABELS else ""
    yield "head", adapter.head
    yield "labels", ", ".join(labels[:_MOST_LABELS]) + more
    yield "fits the scene", "yes" if adapter.problem is None else f"no: {_printable(adapter.problem)}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _metres(x: float, y: float, digits: int = 6) -> str:
    """Return two lengths: ``5 x 5 m``, ``20.05 x 20.05 km``."""
    unit, factor = ("km", 1000) if min(x, y) >= 10_000 else ("m", 1)
    shown = (f"{float(f'{value / factor:.{digits}g}'):,.10g}" for value in (x, y))
    return f"{' x '.join(shown)} {unit}"


def _number(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else "-"


def _percent(fraction: float) -> str:
    """Return a percentage of four digits; 100 % and 0 % are all and none."""
    if 0 < fraction < 0.0001:
        return "< 0.01 %"
    if 0.9999 < fraction < 1:
        return "> 99.99 %"
    return f"{100 * fraction:.4g} %"


def _bytes(size: int) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} bytes"


def _printable(text: str) -> str:
    """Replace control characters: texts of a file must not control the terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
