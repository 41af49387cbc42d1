"""Draw a probability sample of the tiles of a map, for reference labels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from bimors_cli.errors import InputError
from bimors_cli.evaluation.areas.allocate import equally, expected_se, in_proportion, tiles_for
from bimors_cli.evaluation.areas.companions import write_csv, write_kml
from bimors_cli.evaluation.areas.design import MappedClass, SampleDesign, Stratum
from bimors_cli.evaluation.areas.draw import Indices, draw_grid, draw_strata
from bimors_cli.evaluation.areas.neighbours import neighbours
from bimors_cli.evaluation.areas.places import WGS84, centres
from bimors_cli.evaluation.areas.population import Population, read_population
from bimors_cli.evaluation.areas.sample_file import DrawnTiles, write_sample
from bimors_cli.options.sample import DEFAULT_SE, STRATIFIED, SampleOptions
from bimors_cli.output.atomic import check_target
from bimors_cli.output.style import NO_LABEL_NAME
from bimors_cli.results.classified_layer import ClassifiedLayer, read_classified_layer
from bimors_cli.run_warnings import keeps_warnings, warn, warnings_so_far
from bimors_cli.scene.positions import earth_centred
from bimors_cli.steps import step

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
        Number of tiles that were to be drawn; with a least distance and on a grid it may be another.
    examples, excluded : int
        Number of tiles that could not be drawn as they share ground with examples of the adapter, and of the others
        that a file excluded.
    expected_se : float
        Standard error that the overall accuracy will have if the user's accuracies are those to expect.
    warnings : tuple of str
        What the draw warned of.
    """

    path: Path
    design: SampleDesign
    wanted: int
    examples: int
    excluded: int
    expected_se: float
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the draw as JSON values; areas are in hectares."""
        return {
            "output": str(self.path),
            "drawn": self.drawn,
            "wanted": self.wanted,
            "examples": self.examples,
            "excluded": self.excluded,
            "expected_se": self.expected_se,
            "design": self.design.to_json(),
            "warnings": list(self.warnings),
        }

    @property
    def drawn(self) -> int:
        """Number of tiles in the sample."""
        return sum(one.drawn for one in self.design.strata)


@keeps_warnings
def sample(options: SampleOptions, command: Sequence[str] = ("bimors_cli.sample",)) -> SampleSummary:
    """Draw a sample of a layer that `classify` wrote, and write it.

    Raises
    ------
    InputError
        The file was not written by `classify`, or a column, a stratum or the file to exclude cannot be used; no tile
        is left to draw, or none of a stratum was drawn; the output exists.
    OutputError
        The output cannot be written.
    """
    options.check_required()
    for path in options.outputs:
        check_target(path, overwrite=options.overwrite)
    layer = read_classified_layer(options.file, options.layer)
    with step(f"reading {layer.path.name}"):
        tiles = read_population(layer, options.by, options.exclude)
    names, strata = _strata(layer, tiles, options)
    sizes = np.bincount(strata, minlength=len(names)).tolist()
    counts = _counts(names, sizes, options)
    with step("drawing the tiles"):
        drawn = _draw(tiles, strata, counts, options)
    per_stratum = np.bincount(strata[drawn], minlength=len(names)).tolist()
    _check_drawn(names, sizes, per_stratum, options)
    areas = np.bincount(strata, tiles.hectares, len(names)).tolist()
    design = SampleDesign(
        options.design,  # type: ignore[arg-type]  # checked against the choices
        options.by if options.design == STRATIFIED else None,
        tuple(Stratum(*values) for values in zip(names, sizes, areas, per_stratum, strict=True)),
        _mapped(tiles),
        tiles.examples + tiles.excluded,
        options.seed,
        options.min_distance,
        tuple(one.to_json() for one in tiles.left_out),
    )
    found = _drawn_tiles(tiles, drawn, [names[stratum] for stratum in strata[drawn]])
    shown = {"show_label": options.show_label, "overwrite": options.overwrite}
    with step(f"writing {options.path.name}"):
        write_sample(
            options.path,
            found,
            design,
            source=layer.run,
            command=command,
            crs_wkt=tiles.crs.to_wkt(),
            context=neighbours(tiles.grid, tiles.frame.iloc[drawn]),
            **shown,
        )
    if options.csv is not None:
        write_csv(options.csv, found, tiles.crs, **shown)
    if options.kml is not None:
        write_kml(options.kml, found, tiles.crs, **shown)
    se = expected_se(sizes, per_stratum, options.expected(names))
    return SampleSummary(options.path, design, sum(counts), tiles.examples, tiles.excluded, se, warnings_so_far())


def _mapped(tiles: Population) -> tuple[MappedClass, ...]:
    counts = Counter(tiles.labels)
    areas: dict[str | None, list[float]] = {label: [] for label in counts}
    for label, area in zip(tiles.labels, tiles.hectares.tolist(), strict=True):
        areas[label].append(area)
    in_order = sorted(counts, key=lambda label: (label is None, label or ""))
    return tuple(MappedClass(label, counts[label], math.fsum(areas[label])) for label in in_order)


def _drawn_tiles(tiles: Population, drawn: Indices, strata: Iterable[str]) -> DrawnTiles:
    frame = tiles.frame.iloc[drawn]
    return DrawnTiles(
        tuple(map(str, frame["tile_id"])),
        tuple(map(str, frame["scene"])),
        tuple(map(int, frame["row"])),
        tuple(map(int, frame["col"])),
        tiles.polygons[drawn],
        tuple(tiles.labels[row] for row in drawn),
        tuple(strata),
        tiles.hectares[drawn],
    )


def _strata(layer: ClassifiedLayer, tiles: Population, options: SampleOptions) -> tuple[tuple[str, ...], Indices]:
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
    for option, named in (("--size", given), ("--expect", dict(options.expect).keys() - {""})):
        for name in named:
            if name not in names:
                raise InputError(f"{option} {name}: no stratum has this name", f"the strata are {', '.join(names)}")
    if options.per_class is not None:
        counts = equally(sizes, options.per_class)
    else:
        total = options.tiles or tiles_for(options.target_se or DEFAULT_SE, sizes, options.expected(names))
        counts = in_proportion(sizes, total, options.least if options.design == STRATIFIED else 1)
    return tuple(min(size, given.get(name, count)) for name, size, count in zip(names, sizes, counts, strict=True))


def _draw(tiles: Population, strata: Indices, counts: Sequence[int], options: SampleOptions) -> Indices:
    random = np.random.default_rng(options.seed)
    if options.design == "systematic":
        rows, cols = (tiles.frame[name].to_numpy().astype(np.intp) for name in ("row", "col"))
        return draw_grid(rows, cols, counts[0], random)
    places = earth_centred(centres(tiles.polygons, tiles.crs), WGS84) if options.min_distance else None
    return draw_strata(strata, counts, random, places, options.min_distance)


def _check_drawn(names: Sequence[str], sizes: Sequence[int], drawn: Sequence[int], options: SampleOptions) -> None:
    """Refuse a sample without a tile of a stratum, and warn of a stratum with one: its variance stays unknown."""
    for name, size, count in zip(names, sizes, drawn, strict=True):
        if size and not count:
            if options.design == "systematic":
                raise InputError("the grid of --design systematic has no tile", "use another --seed, or a larger -n")
            raise InputError(
                f"--min-distance {options.min_distance:g} left no tile of the stratum {name!r} ({size:,} tiles): "
                "the areas could not be estimated",
                "use a smaller --min-distance, or another --seed",
            )
    alone = [name for name, size, count in zip(names, sizes, drawn, strict=True) if count == 1 < size]
    if alone:
        warn(
            "one tile only is drawn of %s: no standard error can be estimated, draw at least 2 of each stratum",
            ", ".join(alone),
        )
