"""Whether a scene is like the images that a bundle was trained on: pixel size, ground size and pixels of a tile."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.bundle.training_domain import Range, TrainingDomain
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.raster import SceneInfo
from bimors_cli.scene.size import ground_pixel_size

# Training shows random zooms of the images too, and the ends of a range are rounded.
TOLERANCE: Final = 1.5
# Accuracy of mini (zero-shot, input of 112 pixels) on 900 test images of RSICD that were reduced first: with 150 pixels
# a side 92.4 %, with 45 91.2 %, with 37, a third of the input, 86.2 %, with 28 71.2 %, with 16 25.7 %.
LEAST_PIXELS: Final = 1 / 3

# Most scenes that a message names.
_NAMED: Final = 2

Kind = Literal["pixel size", "tile size", "tile pixels"]


@dataclass(frozen=True)
class DomainWarning:
    """One respect in which a scene, or its tiles, are not like the training images.

    Attributes
    ----------
    kind : str
        ``pixel size`` and ``tile size`` on the ground, or ``tile pixels``: too few for the model's input.
    value : float
        What the scene has: metres, or pixels of the shorter side.
    trained : (float, float)
        Range that the bundle was trained on; for ``tile pixels`` from the smallest number that is enough.
    tile_size : int or None
        Number of pixels of a tile inside the domain; None if the scene is smaller.
    """

    kind: Kind
    value: float
    trained: Range
    tile_size: int | None


def check_domain(info: SceneInfo, grid: Grid, domain: TrainingDomain, image_size: int) -> tuple[DomainWarning, ...]:
    """Compare a scene and its tiles with the training images of a bundle.

    Parameters
    ----------
    info : SceneInfo
        The scene. Without a known pixel size on the ground, only the number of pixels is checked.
    grid : Grid
        Its tiles.
    domain : TrainingDomain
        What the bundle was trained on.
    image_size : int
        Side of the model's input in pixels.

    Returns
    -------
    tuple of DomainWarning
        What is outside, with a tolerance of `TOLERANCE`; empty for a scene inside the domain.
    """
    least = math.ceil(image_size * LEAST_PIXELS)
    outside: list[tuple[Kind, float, Range]] = []
    ground = ground_pixel_size(info)
    if ground is None:
        size = least
    else:
        pixel = math.sqrt(math.prod(ground))
        tile = pixel * math.sqrt(grid.tile_width * grid.tile_height)
        low, high = domain.tile_size_m
        size = max(least, math.ceil(low / pixel) if tile < high else math.floor(high / pixel))
        # Finer pixels are no problem as such: a tile is reduced to the model's input, as the training images were.
        if pixel > domain.pixel_size_m[1] * TOLERANCE:
            outside.append(("pixel size", pixel, domain.pixel_size_m))
        if not low / TOLERANCE <= tile <= high * TOLERANCE:
            outside.append(("tile size", tile, domain.tile_size_m))
    side = min(grid.tile_width, grid.tile_height)
    if side < least:
        outside.append(("tile pixels", side, (least, math.inf)))
    suggested = size if size <= max(info.width, info.height) else None
    return tuple(DomainWarning(*each, suggested) for each in outside)


def domain_message(
    scenes: Mapping[str, Sequence[DomainWarning]], bundle: str, expect: str, examples: str = ""
) -> str | None:
    """Describe in one line what is outside the training domain; None if nothing is.

    Parameters
    ----------
    scenes : mapping of str to sequence of DomainWarning
        By name of the scene what `check_domain` found; scenes inside the domain have none.
    bundle : str
        Name of the bundle.
    expect : str
        What to expect: ``poor labels``.
    examples : str
        What helps with pixels of another size.
    """
    outside = {name: found for name, found in scenes.items() if found}
    if not outside:
        return None
    by_kind: dict[Kind, list[DomainWarning]] = {}
    for warning in (warning for found in outside.values() for warning in found):
        by_kind.setdefault(warning.kind, []).append(warning)
    seen, trained, needs = [], [], ""
    for kind, what, images in (("pixel size", "pixels", "pixels"), ("tile size", "tiles", "images")):
        if kind in by_kind:
            seen.append(f"{what} of {_span([w.value for w in by_kind[kind]], _metres)}")
            trained.append(f"{images} of {_span(by_kind[kind][0].trained, _metres)}")
    if "tile pixels" in by_kind:
        seen.append(f"tiles of {_span([w.value for w in by_kind['tile pixels']], _pixels)}")
        needs = f"needs tiles of {_pixels(by_kind['tile pixels'][0].trained[0])} or more"
    if trained:
        needs = f"was trained on {' and '.join(trained)}" + (f", and {needs}" if needs else "")
    sizes = {warning.tile_size for found in outside.values() for warning in found}
    if "pixel size" in by_kind or None in sizes:
        advice = examples
    else:
        advice = f"; use --tile-size {sizes.pop()}" if len(sizes) == 1 else "; use another --tile-size"
    return f"{_names(list(outside), len(scenes))}: {', '.join(seen)}; {bundle} {needs}: expect {expect}{advice}"


def _names(outside: list[str], total: int) -> str:
    if len(outside) <= _NAMED:
        return " and ".join(outside)
    return f"all {total:,} scenes" if len(outside) == total else f"{len(outside):,} of {total:,} scenes"


def _span(values: Sequence[float], shown: Callable[[float], str]) -> str:
    """Write a range with its unit: ``30 m``, ``0.5 to 8 m``."""
    low, high = shown(min(values)), shown(max(values))
    if low == high:
        return high
    number, unit = low.rsplit(" ", 1)
    return f"{number if high.endswith(f' {unit}') else low} to {high}"


def _metres(value: float) -> str:
    number, unit = (value / 1000, "km") if value >= 10_000 else (value, "m")
    return f"{float(f'{number:.3g}'):,g} {unit}"


def _pixels(value: float) -> str:
    return f"{value:,g} pixels"


EXAMPLES: Final = " without examples; bimors finetune needs a few polygons"


def domain_facts(info: SceneInfo, grid: Grid, bundle: Bundle) -> tuple[dict[str, Any], str | None]:
    """Return what `bimors info` shows of the training domain, as JSON values, and the warning if there is one."""
    domain = bundle.training_domain
    found = () if domain is None else check_domain(info, grid, domain, bundle.image_size)
    facts = {
        "model": bundle.name,
        "model_pixel_size_m": None if domain is None else list(domain.pixel_size_m),
        "model_tile_size_m": None if domain is None else list(domain.tile_size_m),
        "in_training_domain": None if domain is None else not found,
        "outside_training_domain": [warning.kind for warning in found],
    }
    return facts, domain_message({info.name: found}, bundle.name, "poor labels", EXAMPLES)
