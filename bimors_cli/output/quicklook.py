"""The quick look: the scene with its coloured tiles and a legend, as one picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw

from bimors_cli.labels import Labels
from bimors_cli.output.fonts import Font, font_for
from bimors_cli.output.palette import NO_LABEL, colours
from bimors_cli.output.style import FILL_ALPHA, NO_LABEL_ALPHA, NO_LABEL_NAME, OUTLINE_ALPHA

MAX_ENTRIES: Final = 25
MAX_NAME: Final = 32
# A smaller scene is enlarged by a whole factor, so that the tiles and the legend go together.
MIN_LONGER_SIDE: Final = 800
# Below this the outlines would cover the tile; pixels.
MIN_OUTLINED: Final = 8

_INK: Final = "#1f2328"
_FAINT_INK: Final = "#6a737d"
_RULE: Final = "#d0d7de"
_PAPER: Final = "#ffffff"


@dataclass(frozen=True)
class _Entry:
    """A line of the legend; without a colour it is a remark."""

    text: str
    count: int
    colour: str | None


def draw_quicklook(
    background: NDArray[np.uint8],
    polygons_px: Sequence[NDArray[Any]],
    labels: Sequence[str | None],
    spec_labels: Labels,
    *,
    title: str | None = None,
) -> Image.Image:
    """Draw the tiles over the scene, half transparent in the colours of the layer's style, with a legend to the right.

    Parameters
    ----------
    background : ndarray of uint8, shape (h, w, 3)
        The scene in RGB, usually much reduced.
    polygons_px : sequence of ndarray, each (N, 2)
        Corners of each tile as x, y in pixels of the background; (0, 0) is the outer corner of the first pixel.
    labels : sequence of str or None
        The label of each tile, in the same order; None, or what is not in ``spec_labels``, is drawn as "no label".
    spec_labels : Labels
        The classes, for colours.
    title : str, optional
        One line above the scene.

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
        raise ValueError(f"a background of uint8 (h, w, 3) is wanted, not {background.dtype} {background.shape}")
    if len(polygons_px) != len(labels):
        raise ValueError(f"{len(polygons_px)} polygons, but {len(labels)} labels")
    palette = dict(zip(spec_labels.names, colours(spec_labels), strict=True))
    scene = _draw_scene(background, polygons_px, labels, palette)
    entries = _legend_entries(labels, palette)
    size = min(30, max(15, round(max(scene.size) / 56)))
    font = font_for([title or "", *(entry.text for entry in entries)], size)
    return _compose(scene, entries, title, font, size)


def _draw_scene(
    background: NDArray[np.uint8],
    polygons: Sequence[NDArray[Any]],
    labels: Sequence[str | None],
    palette: dict[str, str],
) -> Image.Image:
    height, width, _ = background.shape
    factor = max(1, MIN_LONGER_SIDE // max(height, width))
    scene = Image.fromarray(background).resize((width * factor, height * factor), Image.Resampling.NEAREST)
    # Drawn on a sheet of its own and laid over once: where tiles overlap the colour does not add up.
    sheet = Image.new("RGBA", scene.size)
    pen = ImageDraw.Draw(sheet)
    for polygon, label in zip(polygons, labels, strict=True):
        colour, alpha = (palette[label], FILL_ALPHA) if label in palette else (NO_LABEL, NO_LABEL_ALPHA)
        red, green, blue = ImageColor.getrgb(colour)[:3]
        # Pillow paints the pixel that a corner names; a tile ends one short of where the next one begins.
        corners = np.asarray(polygon, dtype=np.float64) * factor
        corners = np.where(corners >= corners.max(axis=0), corners - 1, corners)
        points = [(float(x), float(y)) for x, y in corners]
        outlined = np.ptp(corners, axis=0).min() >= MIN_OUTLINED
        outline = (red, green, blue, min(OUTLINE_ALPHA, alpha + 60)) if outlined else None
        pen.polygon(points, fill=(red, green, blue, alpha), outline=outline)
    return Image.alpha_composite(scene.convert("RGBA"), sheet).convert("RGB")


def _legend_entries(labels: Sequence[str | None], palette: dict[str, str]) -> list[_Entry]:
    counts = Counter(label if label in palette else None for label in labels)
    without = counts.pop(None, 0)
    # In the user's order where counts are equal: sorting keeps it.
    used = sorted((name for name in palette if counts[name]), key=lambda name: -counts[name])
    ranked = [_Entry(_shortened(name), counts[name], palette[name]) for name in used]
    entries = ranked[:MAX_ENTRIES]
    if rest := ranked[MAX_ENTRIES:]:
        entries.append(_Entry(f"+{len(rest)} more", sum(entry.count for entry in rest), None))
    if without:
        entries.append(_Entry(NO_LABEL_NAME, without, NO_LABEL))
    return entries


def _compose(scene: Image.Image, entries: list[_Entry], title: str | None, font: Font, size: int) -> Image.Image:
    margin, line, gap = round(1.5 * size), round(1.75 * size), round(0.6 * size)
    text_width = max((font.getlength(entry.text) for entry in entries), default=0)
    count_width = max((font.getlength(f"{entry.count:,}") for entry in entries), default=0)
    legend_width = round(size + gap + text_width + 2 * size + count_width) if entries else 0
    top = margin + (line if title else 0)
    width = margin + scene.width + (margin + legend_width if entries else 0) + margin
    height = max(top + scene.height, top + line * (len(entries) + 1)) + margin
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    if title:
        pen.text((margin, margin - gap // 2), _fitted(title, font, width - 2 * margin), _INK, font)
    sheet.paste(scene, (margin, top))
    pen.rectangle((margin - 1, top - 1, margin + scene.width, top + scene.height), outline=_RULE)
    left, right = margin + scene.width + margin, width - margin
    for index, entry in enumerate(entries):
        middle = top + index * line + size // 2
        if entry.colour is not None:
            box = (left, middle - size // 2, left + size, middle + size - size // 2)
            pen.rounded_rectangle(box, radius=size // 5, fill=entry.colour, outline=_FAINT_INK)
        ink = _FAINT_INK if entry.colour in (None, NO_LABEL) else _INK
        pen.text((left + size + gap, middle), entry.text, ink, font, anchor="lm")
        pen.text((right, middle), f"{entry.count:,}", _FAINT_INK, font, anchor="rm")
    if entries:
        middle = top + len(entries) * line + size // 2
        pen.line((left, middle - line // 2, right, middle - line // 2), _RULE)
        pen.text((left + size + gap, middle), "tiles", _FAINT_INK, font, anchor="lm")
        pen.text((right, middle), f"{sum(entry.count for entry in entries):,}", _FAINT_INK, font, anchor="rm")
    return sheet


def _shortened(name: str) -> str:
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 3].rstrip() + "..."


def _fitted(text: str, font: Font, width: float) -> str:
    while font.getlength(text) > width and len(text) > 4:
        text = text[:-4].rstrip() + "..."
    return text
