"""Draw a probability sample of the tiles of a map, for reference labels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyogrio
import pyproj
import shapely

from bimors_cli.errors import InputError, VectorError
from bimors_cli.evaluation.areas.allocate import equally, in_proportion, tiles_for
from bimors_cli.evaluation.areas.design import MappedClass, SampleDesign, Stratum
from bimors_cli.evaluation.areas.draw import Indices, draw_grid, draw_strata
from bimors_cli.evaluation.areas.sample_file import DrawnTiles, write_sample
from bimors_cli.options.sample import DEFAULT_SE, STRATIFIED, SampleOptions
from bimors_cli.output.atomic import check_target
from bimors_cli.output.geopackage import read_layer
from bimors_cli.output.style import NO_LABEL_NAME
from bimors_cli.pipeline.tile_result import EMPTY, RETRIED
from bimors_cli.results.classified_layer import ClassifiedLayer, read_classified_layer
from bimors_cli.scene.area import ground_areas
from bimors_cli.scene.polygons import Polygons
from bimors_cli.scene.positions import earth_centred
from bimors_cli.scene.vector import Extent, find_layer, one_line, reproject_around

# Whose pixels no model has seen.
_NO_DATA: Final = EMPTY | RETRIED
_ALL: Final = "all"
NO_STRATUM: Final = f"({NO_LABEL_NAME})"


@dataclass(frozen=True)
class SampleSummary:
    """A sample that was drawn.

    Attributes
    ----------
    path : Path
        Its file.
    design : SampleDesign
        How it was drawn.
    wanted : int
        Number of tiles that were to be drawn; with a least distance more than there are.
    adapter : bool
        Whether the map was made with an adapter, whose examples may be in the sample.
    """

    path: Path
    design: SampleDesign
    wanted: int
    adapter: bool

    @property
    def drawn(self) -> int:
        """Number of tiles in the sample."""
        return sum(one.drawn for one in self.design.strata)


@dataclass(frozen=True)
class _Population:
    """The tiles that may be drawn, sorted by their ids, so that the order of the file has no effect."""

    frame: Any
    polygons: Polygons
    crs: pyproj.CRS
    hectares: npt.NDArray[np.float64]
    labels: list[str | None]
    excluded: int


def sample(options: SampleOptions, command: Sequence[str] = ("bimors_cli.sample",)) -> SampleSummary:
    """Draw a sample of a layer that `classify` wrote, and write it.

    Raises
    ------
    InputError
        The file was not written by `classify`, or a column, a stratum or the file to exclude cannot be used; no tile
        is left to draw; the output exists.
    OutputError
        The output cannot be written.
    """
    options.check_required()
    check_target(options.path, overwrite=options.overwrite)
    layer = read_classified_layer(options.file, options.layer)
    tiles = _population(layer, options)
    names, strata = _strata(layer, tiles, options)
    sizes = np.bincount(strata, minlength=len(names)).tolist()
    counts = _counts(names, sizes, options)
    drawn = _draw(tiles, strata, counts, options)
    if not len(drawn):
        raise InputError("the grid of --design systematic hit no tile", "use another --seed, or a larger --tiles")
    per_stratum = np.bincount(strata[drawn], minlength=len(names)).tolist()
    areas = np.bincount(strata, tiles.hectares, len(names)).tolist()
    classes = Counter(tiles.labels)
    class_areas = {
        label: math.fsum(h for h, of in zip(tiles.hectares.tolist(), tiles.labels, strict=True) if of == label)
        for label in classes
    }
    design = SampleDesign(
        options.design,  # type: ignore[arg-type]  # checked against the choices
        options.by if options.design == STRATIFIED else None,
        tuple(Stratum(*values) for values in zip(names, sizes, areas, per_stratum, strict=True)),
        tuple(
            MappedClass(label, classes[label], class_areas[label])
            for label in sorted(classes, key=lambda label: (label is None, label or ""))
        ),
        tiles.excluded,
        options.seed,
        options.min_distance,
    )
    frame = tiles.frame.iloc[drawn]
    found = DrawnTiles(
        tuple(map(str, frame["tile_id"])),
        tuple(map(str, frame["scene"])),
        tuple(map(int, frame["row"])),
        tuple(map(int, frame["col"])),
        tiles.polygons[drawn],
        tuple(tiles.labels[row] for row in drawn),
        tuple(names[strata[row]] for row in drawn),
        tiles.hectares[drawn],
    )
    write_sample(
        options.path,
        found,
        design,
        source=layer.run,
        command=command,
        crs_wkt=tiles.crs.to_wkt(),
        show_label=options.show_label,
        overwrite=options.overwrite,
    )
    wanted = sum(counts) if options.min_distance else len(drawn)
    return SampleSummary(options.path, design, wanted, layer.run_key.get("adapter") is not None)


def _population(layer: ClassifiedLayer, options: SampleOptions) -> _Population:
    names = dict.fromkeys(["tile_id", "scene", "row", "col", "label", "reason", options.by])
    frame = read_layer(layer.path, layer.name, list(names))
    if options.by not in frame:
        raise InputError(f"{layer.path}: layer {layer.name!r} has no column {options.by}", "choose another --by")
    if frame.crs is None:
        raise InputError(f"{layer.path}: layer {layer.name!r} has no CRS", "classify again")
    if frame["tile_id"].isna().any() or frame["tile_id"].duplicated().any():
        raise InputError(f"{layer.path}: a tile has no tile_id, or one of another tile", "delete the tiles in question")
    has_data = ~(frame["label"].isna() & frame["reason"].isin(_NO_DATA)) & ~frame.geometry.isna()
    frame = frame[has_data].sort_values("tile_id", ignore_index=True)
    crs = pyproj.CRS.from_user_input(frame.crs)
    excluded = np.zeros(len(frame), np.bool_)
    if options.exclude is not None and len(frame):
        excluded = _excluded(options.exclude, layer, frame.geometry.to_numpy(), crs)
    frame = frame[~excluded]
    if not len(frame):
        raise InputError(f"{layer.path}: layer {layer.name!r} has no tile to draw", "give a layer of tiles with data")
    polygons: Polygons = frame.geometry.to_numpy()
    labels = [value.strip() or None if isinstance(value, str) else None for value in frame["label"].tolist()]
    return _Population(frame, polygons, crs, ground_areas(polygons, crs) / 10_000, labels, int(excluded.sum()))


def _excluded(spec: str, layer: ClassifiedLayer, tiles: Polygons, crs: pyproj.CRS) -> npt.NDArray[np.bool_]:
    """Tell which tiles intersect a feature of a vector file, bool [n]."""
    path, name = find_layer(spec)
    try:
        meta, _, wkb, _ = pyogrio.raw.read(path, layer=name, columns=[], force_2d=True)
        if meta["crs"] is None:
            raise VectorError(f"{path} has no CRS", "assign one: ogr2ogr -a_srs EPSG:... features.gpkg FILE")
        features = shapely.make_valid(shapely.from_wkb(wkb[[one is not None for one in wkb]]))
        left, bottom, right, top = shapely.total_bounds(tiles)
        extent = Extent("layer", layer.path.name, crs.to_wkt(), (left, bottom, right, top))
        tree = shapely.STRtree(reproject_around(features, meta["crs"], extent, path))
        result = np.zeros(len(tiles), np.bool_)
        result[tree.query(tiles, predicate="intersects")[0]] = True
    except (pyogrio.errors.DataSourceError, shapely.errors.ShapelyError) as error:
        raise VectorError(
            f"{path} cannot be read: {one_line(error)}", "repair it in QGIS with Fix geometries"
        ) from error
    return result


def _strata(layer: ClassifiedLayer, tiles: _Population, options: SampleOptions) -> tuple[tuple[str, ...], Indices]:
    """Return the names of the strata, and the stratum of each tile."""
    if options.design != STRATIFIED:
        return (_ALL,), np.zeros(len(tiles.frame), np.intp)
    values = [_name(value, options.by) for value in tiles.frame[options.by].tolist()]
    order = {name: place for place, name in enumerate(layer.labels.names)}
    names = sorted(set(values), key=lambda name: (name == NO_STRATUM, order.get(name, len(order)), name))
    index = {name: place for place, name in enumerate(names)}
    return tuple(names), np.array([index[value] for value in values], np.intp)


def _name(value: Any, column: str) -> str:
    if value is None or value != value or (isinstance(value, str) and not value.strip()):
        return NO_STRATUM
    if isinstance(value, str):
        return value.strip()
    # A column of whole numbers with a null is read as floats.
    if not isinstance(value, int | float) or value != int(value):
        raise InputError(f"--by {column}: {value!r} has neither texts nor whole numbers", "choose a column of classes")
    return str(int(value))


def _counts(names: Sequence[str], sizes: Sequence[int], options: SampleOptions) -> tuple[int, ...]:
    given = options.sizes()
    for name in given:
        if name not in names:
            raise InputError(f"--size {name}: no stratum has this name", f"the strata are {', '.join(names)}")
    if options.per_class is not None:
        counts = equally(sizes, options.per_class)
    else:
        total = options.tiles or tiles_for(options.target_se or DEFAULT_SE, options.expect)
        counts = in_proportion(sizes, total, options.least if options.design == STRATIFIED else 1)
    return tuple(min(size, given.get(name, count)) for name, size, count in zip(names, sizes, counts, strict=True))


def _draw(tiles: _Population, strata: Indices, counts: Sequence[int], options: SampleOptions) -> Indices:
    random = np.random.default_rng(options.seed)
    if options.design == "systematic":
        rows, cols = (tiles.frame[name].to_numpy().astype(np.intp) for name in ("row", "col"))
        return draw_grid(rows, cols, counts[0], random)
    places = None
    if options.min_distance:
        places = earth_centred(shapely.get_coordinates(shapely.centroid(tiles.polygons)), tiles.crs.to_wkt())
    return draw_strata(strata, counts, random, places, options.min_distance)
