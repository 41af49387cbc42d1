"""The preview image: the scene with its coloured tiles, a legend, a scale bar and a north arrow."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

from bimors_cli.labels import Labels
from bimors_cli.output.palette import NO_LABEL, colours
from bimors_cli.output.style import FILL_ALPHA, NO_LABEL_ALPHA, NO_LABEL_NAME, OUTLINE_ALPHA
from bimors_cli.results.scale_bar import scale_bar

# Lines of the legend: as many as fit next to the scene, in at most two columns, but at least this many in a column.
MIN_ENTRIES: Final = 16
MAX_COLUMNS: Final = 2
MAX_NAME: Final = 32
# A smaller scene is enlarged by an integer factor, so that its size fits the legend.
MIN_LONGER_SIDE: Final = 800
# Smaller tiles have no outline, which would cover them; pixels.
MIN_OUTLINED: Final = 8

_TEXT_COLOUR: Final = "#1f2328"
_SECONDARY_COLOUR: Final = "#59636e"
_LINE_COLOUR: Final = "#d0d7de"
_BACKGROUND: Final = "#ffffff"


@dataclass(frozen=True)
class MapNotes:
    """Scale bar, north arrow and CRS below the map.

    Attributes
    ----------
    metres_per_pixel : float or None
        Ground width of a pixel of the background at its centre; None omits the scale bar.
    north : float or None
        Degrees clockwise from the top; None omits the arrow.
    crs : str
        Name of the CRS.
    """

    metres_per_pixel: float | None = None
    north: float | None = None
    crs: str = ""


@dataclass(frozen=True)
class _Entry:
    """A line of the legend; the line "+n more" has no colour."""

    text: str
    count: int
    colour: str | None


def draw_preview(
    background: NDArray[np.uint8],
    polygons_px: Sequence[NDArray[Any]],
    labels: Sequence[str | None],
    spec_labels: Labels,
    *,
    title: str | None = None,
    notes: MapNotes | None = None,
) -> Image.Image:
    """Draw the tiles over the scene, half transparent in the colours of the layer's style, with a legend on the right.

    Parameters
    ----------
    background : ndarray of uint8, shape (h, w, 3)
        The scene in RGB, usually reduced.
    polygons_px : sequence of ndarray, each (N, 2)
        Corners of each tile as x, y in pixels of the background; (0, 0) is the outer corner of the first pixel.
    labels : sequence of str or None
        The label of each tile, in the same order; None, or what is not in ``spec_labels``, is drawn as "no label".
    spec_labels : Labels
        The classes with their colours.
    title : str, optional
        Text above the scene.
    notes : MapNotes, optional
        Scale bar, north arrow and CRS, below the scene.

    Returns
    -------
    PIL.Image.Image
        RGB.

    Raises
    ------
    ValueError
        The background is not uint8 (h, w, 3), or polygons and labels differ in number.
    """
    if background.dtype != np.uint8 or background.ndim != 3 or background.shape[2] != 3:
        raise ValueError(f"the background must be uint8 (h, w, 3), not {background.dtype} {background.shape}")
    if len(polygons_px) != len(labels):
        raise ValueError(f"{len(polygons_px)} polygons and {len(labels)} labels")
    palette = dict(zip(spec_labels.names, colours(spec_labels), strict=True))
    factor = max(1, MIN_LONGER_SIDE // max(background.shape[:2]))
    scene = _draw_scene(background, polygons_px, labels, palette, factor)
    size = min(30, max(15, round(max(scene.size) / 56)))
    fit = max(MIN_ENTRIES, (scene.height // _line(size)) - 1)
    entries = _legend_entries(labels, palette, fit * MAX_COLUMNS)
    font = font_for([title or "", notes.crs if notes else "", *(entry.text for entry in entries)], size)
    sheet = _Sheet(size, font)
    legend = sheet.legend(entries, fit)
    strip = sheet.notes(notes, scene.width, factor) if notes else None
    return sheet.compose(scene, legend, strip, title)


def _draw_scene(
    background: NDArray[np.uint8],
    polygons: Sequence[NDArray[Any]],
    labels: Sequence[str | None],
    palette: dict[str, str],
    factor: int,
) -> Image.Image:
    height, width, _ = background.shape
    scene = Image.fromarray(background).resize((width * factor, height * factor), Image.Resampling.NEAREST)
    # Drawn on a layer of its own and composed once: colours of overlapping tiles do not add up.
    overlay = Image.new("RGBA", scene.size)
    pen = ImageDraw.Draw(overlay)
    for polygon, label in zip(polygons, labels, strict=True):
        colour, alpha = (palette[label], FILL_ALPHA) if label in palette else (NO_LABEL, NO_LABEL_ALPHA)
        red, green, blue = ImageColor.getrgb(colour)[:3]
        # Pillow also fills the pixel at the end corner; a tile ends one pixel before the next one starts.
        corners = np.asarray(polygon, dtype=np.float64) * factor
        corners = np.where(corners >= corners.max(axis=0), corners - 1, corners)
        points = [(float(x), float(y)) for x, y in corners]
        outlined = np.ptp(corners, axis=0).min() >= MIN_OUTLINED
        outline = (red, green, blue, min(OUTLINE_ALPHA, alpha + 60)) if outlined else None
        pen.polygon(points, fill=(red, green, blue, alpha), outline=outline)
    return Image.alpha_composite(scene.convert("RGBA"), overlay).convert("RGB")


def _legend_entries(labels: Sequence[str | None], palette: dict[str, str], limit: int) -> list[_Entry]:
    """Return the labels that occur, the most frequent first; beyond ``limit`` lines, the sum of the others."""
    counts = Counter(label if label in palette else None for label in labels)
    without = counts.pop(None, 0)
    # Labels with equal counts stay in the user's order.
    used = sorted((name for name in palette if counts[name]), key=lambda name: -counts[name])
    entries = [_Entry(_shortened(name), counts[name], palette[name]) for name in used]
    room = limit - bool(without)
    if len(entries) > room:
        rest = entries[room - 1 :]
        entries[room - 1 :] = [_Entry(f"+{len(rest)} more", sum(entry.count for entry in rest), None)]
    if without:
        entries.append(_Entry(NO_LABEL_NAME, without, NO_LABEL))
    return entries


class _Sheet:
    """Draws the parts around the scene and composes the image."""

    def __init__(self, size: int, font: Font) -> None:
        self.size, self.font = size, font
        self.margin, self.line, self.gap = round(1.5 * size), _line(size), round(0.6 * size)

    def legend(self, entries: list[_Entry], fit: int) -> Image.Image | None:
        """Draw the legend in columns of ``fit`` lines, with the total below; None without entries."""
        if not entries:
            return None
        columns = [entries[start : start + fit] for start in range(0, len(entries), fit)]
        drawn = [self._column(column) for column in columns]
        width = sum(column.width for column in drawn) + self.margin * (len(drawn) - 1)
        height = max(column.height for column in drawn) + self.line
        sheet = Image.new("RGB", (width, height), _BACKGROUND)
        left = 0
        for column in drawn:
            sheet.paste(column, (left, 0))
            left += column.width + self.margin
        pen, top = ImageDraw.Draw(sheet), height - self.line
        pen.line((0, top, width, top), _LINE_COLOUR, width=max(1, self.size // 12))
        middle = top + self.line // 2
        pen.text((self.size + self.gap, middle), "tiles", _SECONDARY_COLOUR, self.font, anchor="lm")
        total = f"{sum(entry.count for entry in entries):,}"
        pen.text((width, middle), total, _SECONDARY_COLOUR, self.font, anchor="rm")
        return sheet

    def _column(self, entries: list[_Entry]) -> Image.Image:
        size, font = self.size, self.font
        text = max(font.getlength(entry.text) for entry in entries)
        count = max(font.getlength(f"{entry.count:,}") for entry in entries)
        width = math.ceil(size + self.gap + text + 1.5 * size + count)
        sheet = Image.new("RGB", (width, self.line * len(entries)), _BACKGROUND)
        pen = ImageDraw.Draw(sheet)
        for index, entry in enumerate(entries):
            middle = index * self.line + self.line // 2
            if entry.colour is not None:
                box = (0, middle - size // 2, size, middle + size - size // 2)
                pen.rounded_rectangle(box, radius=size // 5, fill=entry.colour, outline=_SECONDARY_COLOUR)
            ink = _SECONDARY_COLOUR if entry.colour in (None, NO_LABEL) else _TEXT_COLOUR
            pen.text((size + self.gap, middle), entry.text, ink, font, anchor="lm")
            pen.text((width, middle), f"{entry.count:,}", _SECONDARY_COLOUR, font, anchor="rm")
        return sheet

    def notes(self, notes: MapNotes, width: int, factor: int) -> Image.Image | None:
        """Draw scale bar, CRS and north arrow as one strip of this width; None without any of them."""
        if notes.metres_per_pixel is None and notes.north is None and not notes.crs:
            return None
        sheet = Image.new("RGB", (max(width, 14 * self.size), 2 * self.line), _BACKGROUND)
        pen, middle, left = ImageDraw.Draw(sheet), self.line, 0.0
        if notes.metres_per_pixel is not None:
            bar = scale_bar(notes.metres_per_pixel / factor, max(width, 14 * self.size) / 4)
            thick = max(2, self.size // 6)
            # Half dark, half light, as on a printed map.
            box = (0, middle - thick, round(bar.pixels) - 1, middle + thick)
            pen.rectangle(box, fill=_BACKGROUND, outline=_TEXT_COLOUR)
            pen.rectangle((box[0], box[1], round(bar.pixels / 2), box[3]), fill=_TEXT_COLOUR)
            pen.text((round(bar.pixels) + self.gap, middle), bar.text, _TEXT_COLOUR, self.font, anchor="lm")
            left = bar.pixels + self.gap + self.font.getlength(bar.text) + 2 * self.size
        right = float(sheet.width)
        if notes.north is not None:
            self._arrow(sheet, notes.north)
            right -= 3.4 * self.size
        room = right - left - self.gap
        if notes.crs and room > 4 * self.size:
            text = _fitted(notes.crs, self.font, room)
            pen.text((left, middle), text, _SECONDARY_COLOUR, self.font, anchor="lm")
        return sheet

    def _arrow(self, sheet: Image.Image, north: float) -> None:
        """Draw an arrow to the north, and an upright N next to it."""
        pen, size = ImageDraw.Draw(sheet), self.size
        x, y, reach, angle = sheet.width - 1.2 * size, self.line, 1.1 * size, math.radians(north)
        ahead, aside = (math.sin(angle), -math.cos(angle)), (math.cos(angle), math.sin(angle))

        def at(forward: float, sideways: float) -> tuple[float, float]:
            return (
                x + reach * (forward * ahead[0] + sideways * aside[0]),
                y + reach * (forward * ahead[1] + sideways * aside[1]),
            )

        pen.polygon([at(1, 0), at(-1, -0.62), at(-0.55, 0)], fill=_TEXT_COLOUR)
        pen.polygon([at(1, 0), at(-0.55, 0), at(-1, 0.62)], fill=_BACKGROUND, outline=_TEXT_COLOUR)
        pen.text((x - 1.6 * size, y), "N", _TEXT_COLOUR, self.font, anchor="mm")

    def compose(
        self, scene: Image.Image, legend: Image.Image | None, strip: Image.Image | None, title: str | None
    ) -> Image.Image:
        """Compose the image from its parts."""
        margin = self.margin
        top = margin + (self.line if title else 0)
        width = 2 * margin + max(scene.width, strip.width if strip else 0) + (legend.width + margin if legend else 0)
        below = strip.height if strip else margin
        height = max(top + scene.height + below, top + (legend.height if legend else 0) + margin)
        sheet = Image.new("RGB", (width, height), _BACKGROUND)
        pen = ImageDraw.Draw(sheet)
        if title:
            text = _fitted(title, self.font, width - 2 * margin)
            pen.text((margin, margin - self.gap // 2), text, _TEXT_COLOUR, self.font)
        sheet.paste(scene, (margin, top))
        pen.rectangle((margin - 1, top - 1, margin + scene.width, top + scene.height), outline=_LINE_COLOUR)
        if strip:
            sheet.paste(strip, (margin, top + scene.height + 1))
        if legend:
            sheet.paste(legend, (width - margin - legend.width, top))
        return sheet


def _line(size: int) -> int:
    return round(1.75 * size)


def _shortened(name: str) -> str:
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 3].rstrip() + "..."


def _fitted(text: str, font: Font, width: float) -> str:
    while font.getlength(text) > width and len(text) > 4:
        text = text[:-4].rstrip() + "..."
    return text


Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Pillow's own font has little more than ASCII. These are searched by name among the system's fonts: common ones of
# Linux, Windows and macOS, then the fonts for Chinese, Japanese and Korean.
_SYSTEM_FONTS: Final = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "LiberationSans-Regular.ttf",
    "arial.ttf",
    "Arial Unicode.ttf",
    "NotoSansCJK-Regular.ttc",
    "wqy-microhei.ttc",
    "msyh.ttc",
    "PingFang.ttc",
)


def font_for(texts: Iterable[str], size: float) -> Font:
    """Return Pillow's own font if it has every character of the texts, else the system's font that lacks the fewest."""
    characters = sorted({character for text in texts for character in text if not character.isspace()})
    best: Font = ImageFont.load_default(size)
    fewest = _missing(best, characters)
    for name in _SYSTEM_FONTS:
        if fewest == 0:
            break
        try:
            font = ImageFont.truetype(name, size)
        except OSError:
            continue
        missing = _missing(font, characters)
        if missing < fewest:
            best, fewest = font, missing
    return best


def _missing(font: Font, characters: list[str]) -> int:
    # A font draws the same box for every character that it lacks, including U+FFFF, which is not a character.
    box = bytes(font.getmask("\uffff"))
    return sum(bytes(font.getmask(character)) == box for character in characters)
