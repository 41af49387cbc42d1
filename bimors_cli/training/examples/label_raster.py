"""Examples from scenes and a label raster, such as a land cover map."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from bimors_cli.errors import InputError
from bimors_cli.options.class_names import ClassNames
from bimors_cli.options.scene import SceneOptions
from bimors_cli.output.label_raster import BANDS
from bimors_cli.pipeline.make_plan import plan_scenes
from bimors_cli.pipeline.plan import ScenePlan
from bimors_cli.provenance import lasting_path
from bimors_cli.run_warnings import warn
from bimors_cli.scene.around import footprint, format_bounds
from bimors_cli.scene.code_names import read_code_names
from bimors_cli.scene.gdal import shell_name
from bimors_cli.scene.raster import Scene, SceneInfo, open_scene
from bimors_cli.scene.transformation import warn_if_inexact
from bimors_cli.training.examples.base import Examples, class_labels
from bimors_cli.training.examples.scene_tiles import LabelledTile, TileImages, has_enough_data, tile_examples
from bimors_cli.training.examples.tile_codes import CodeClasses, tile_codes

_SMALLER: Final = "use a smaller --tile-size or a lower --min-overlap"
# Far below one pixel of any tile, far above rounding errors.
_EPSILON: Final = 1e-9

log = logging.getLogger("bimors")


def from_label_raster(
    scenes: Sequence[str],
    raster: str,
    *,
    image_size: int,
    options: SceneOptions | None = None,
    min_overlap: float = 0.5,
    names: ClassNames | None = None,
) -> Examples:
    """Take the tiles that mostly show one class of a label raster as examples, in the same grid as `classify`.

    The label of a tile is the class of most of its labelled pixels, if that class covers a fraction of at least
    `min_overlap` of all its pixels, see `tile_codes`. Pixels of nodata, and of codes without a name if other codes have
    one, are not labelled. Labels are the classes that tiles have, in the order of their codes; several codes may have
    one name. A group is a spatial block. Tiles with too little data are skipped.

    Parameters
    ----------
    scenes : sequence of str
        Rasters, as for `classify`.
    raster : str
        A raster with one band of class codes, or one that `classify --raster` wrote, whose first band holds them; in
        any CRS and resolution.
    image_size : int
        Pixels a side of the model's input.
    options : SceneOptions, optional
        Tiling, bands, stretch and nodata of the scenes.
    min_overlap : float
        The fraction of a tile that a class must cover, 0..1.
    names : ClassNames, optional
        The names of the codes; by default those in the raster, see `read_code_names`, else the codes themselves.

    Raises
    ------
    InputError
        As `plan_scenes`; the label raster cannot be opened, has several bands, or values that are not class codes; it
        does not overlap the scenes; no code has a name; the overlap is outside 0..1; there is one class only.
    ReadError
        Pixels of the label raster, or those that the stretch needs, cannot be read.
    """
    if not 0 <= min_overlap <= 1:
        raise InputError(f"--min-overlap {min_overlap}: must be between 0 and 1")
    how = options or SceneOptions()
    plans = plan_scenes(scenes, how)
    with open_scene(raster, assume_crs=how.assume_crs, allow_drivers=how.allow_drivers) as labels:
        info = labels.info
        _check_bands(info)
        name_of, origin = _names(labels, names)
        classes = CodeClasses(name_of)
        for plan in plans:
            warn_if_inexact(info.crs.to_wkt(), plan.info.crs.to_wkt(), footprint(plan.info).bounds)
        found = [tile_codes(labels, plan.info, plan.grid, classes) for plan in plans]
    _check_classes(classes, info, plans[0].info, origin)
    in_order = sorted(classes.numbers, key=lambda name: (classes.lowest[name], classes.numbers[name]))
    # Raises for one class only, before the classes without a tile are left out.
    class_labels(in_order, info.name, "give a label raster with another class, or name another code")
    chosen = [
        _usable(plan, label, (label >= 0) & (fraction >= min_overlap - _EPSILON), image_size, how.min_valid)
        for plan, (label, fraction) in zip(plans, found, strict=True)
    ]
    counts = np.bincount(
        np.concatenate([label[rows] for (label, _), rows in zip(found, chosen, strict=True)]),
        minlength=len(classes.numbers),
    )
    kept = [name for name in in_order if counts[classes.numbers[name]]]
    if len(kept) < 2:
        what = f"only the class {kept[0]!r}" if kept else "no class"
        raise InputError(f"{info.name}: {what} covers a fraction of {min_overlap:g} of any tile", _SMALLER)
    if len(kept) < len(in_order):
        missing = ", ".join(repr(name) for name in in_order if name not in kept)
        warn("%s: skipped classes that cover no tile enough: %s: %s", info.name, missing, _SMALLER)
    index_of = {classes.numbers[name]: i for i, name in enumerate(kept)}
    tiles = tuple(
        LabelledTile(number, int(index), index_of[int(label[index])])
        for number, ((label, _), rows) in enumerate(zip(found, chosen, strict=True))
        for index in rows
    )
    first = plans[0]
    return Examples(
        class_labels(kept, info.name, _SMALLER),
        tile_examples(plans, tiles),
        TileImages(plans, tiles, image_size),
        first.info.stem if len(plans) == 1 else info.stem,
        {
            "source": "label raster",
            "path": lasting_path(info.path),
            "class names": origin or "the codes",
            "scenes": ", ".join(plan.info.name for plan in plans),
            "tile": f"{first.grid.tile_width} x {first.grid.tile_height} px",
            "minimum overlap": f"{min_overlap:g}",
            "rule": "the class of most labelled pixels of a tile, which covers at least the minimum overlap",
            "tiles": ", ".join(f"{name} {counts[classes.numbers[name]]}" for name in kept),
        },
    )


def _check_bands(info: SceneInfo) -> None:
    if info.count != 1 and info.descriptions != BANDS:
        hint = f"take the band with the codes: gdal_translate -b 1 {shell_name(info.path)} codes.tif"
        raise InputError(f"{info.name} has {info.count} bands: a label raster has one band of class codes", hint)


def _names(labels: Scene, given: ClassNames | None) -> tuple[Callable[[int], str | None], str]:
    """Return a function from codes to names, and the origin of the names; empty for the codes themselves."""
    if given is not None:
        table = given.as_dict()
        return lambda code: table.get(str(code)), given.origin
    own, origin = read_code_names(labels.dataset)
    return (own.get, origin) if own else (str, "")


def _check_classes(classes: CodeClasses, info: SceneInfo, scene: SceneInfo, origin: str) -> None:
    """Raise InputError if no pixel has a class; warn about codes without a name."""
    codes = ", ".join(map(str, sorted(classes.unnamed)[:20]))
    if not classes.numbers and not classes.unnamed:
        hint = f"{scene.name} spans {_bounds(scene)}, the label raster {_bounds(info)}"
        raise InputError(f"{info.name}: no labelled pixel overlaps {scene.name}", hint)
    if not classes.numbers:
        raise InputError(
            f"{info.name}: none of its codes has a name ({origin})",
            f"the codes at the scenes are {codes}: name them with --class-names FILE",
        )
    if not origin:
        warn("%s: class codes without names: give --class-names FILE", info.name)
    elif classes.unnamed:
        warn("%s: skipped pixels of codes without a name: %s; add them to --class-names", info.name, codes)


def _bounds(info: SceneInfo) -> str:
    return f"{format_bounds(footprint(info).bounds)} in {info.crs.to_string()[:40]}"


def _usable(
    plan: ScenePlan, label: npt.NDArray[np.intp], enough: npt.NDArray[np.bool_], image_size: int, min_valid: float
) -> npt.NDArray[np.intp]:
    """Return the tiles of a scene that have a class and enough data."""
    rows = np.flatnonzero(enough)
    usable = rows[has_enough_data(plan, rows.tolist(), image_size, min_valid)]
    if len(usable) < len(rows):
        log.info("%s: skipped %d labelled tiles with too few valid pixels", plan.info.name, len(rows) - len(usable))
    return usable
