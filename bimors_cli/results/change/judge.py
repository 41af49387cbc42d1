"""What became of each tile, and how far the images are displaced."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyproj
from rasterio.crs import CRS

from bimors_cli.errors import InputError
from bimors_cli.labels import match_names
from bimors_cli.refine.displacement import displacement
from bimors_cli.refine.transitions import Transitions, fit_transitions, fitting_rows
from bimors_cli.results.change.answers import NONE, Answers
from bimors_cli.results.change.match import Matches, Placement, length_in_metres
from bimors_cli.results.classified_layer import ClassifiedLayer
from bimors_cli.scene.area import ground_areas
from bimors_cli.scene.polygons import Polygons, reproject, tile_polygons

_ROWS: Final = 20_000
# No frequency of a class that refined answers assume is below this.
_LEAST_FREQUENT: Final = 1e-4
# Displacements of images, in tiles, from which on they are reported, and so many tiles at most to find them. Measured
# on naip_2014 and naip_2018, tiles of 80 m, one of the images displaced by half a tile: 0.48 to 0.52; as they are: 0.
_DISPLACED: Final = 0.25
_SEARCHED: Final = 200_000


@dataclass(frozen=True)
class Compared:
    """Two layers, their answers, and which tiles of theirs show the same ground."""

    before: ClassifiedLayer
    after: ClassifiedLayer
    first: Answers
    second: Answers
    matches: Matches
    placements: tuple[Placement, ...]

    def polygons(self, rows: slice, crs: CRS) -> Polygons:
        """Return the polygons of some places, in the grid of the layer before."""
        found = np.full(len(range(*rows.indices(len(self.matches)))), None, object)
        scenes = self.matches.scene[rows]
        for number in np.unique(scenes).tolist():
            scene, chosen = self.before.scenes[number], scenes == number
            places = zip(self.matches.row[rows][chosen].tolist(), self.matches.col[rows][chosen].tolist(), strict=True)
            polygons = tile_polygons([scene.grid.tile(*place) for place in places], scene.transform)
            found[chosen] = reproject(polygons, CRS.from_wkt(scene.crs_wkt), crs)
        return found


@dataclass(frozen=True)
class Verdicts:
    """What became of M places; places that could not be compared have the stratum `NONE`.

    ``change`` float32 [M] is the probability of change, ``stratum`` int8 [M] an index of `STRATA`, ``first`` and
    ``second`` int16 [M] the labels before and after of the most probable transition of that kind.
    """

    change: npt.NDArray[np.float32]
    stratum: npt.NDArray[np.int8]
    first: npt.NDArray[np.int16]
    second: npt.NDArray[np.int16]
    hectares: npt.NDArray[np.float64]
    expected: npt.NDArray[np.float64]


def usable_places(compared: Compared) -> npt.NDArray[np.intp]:
    """Return the places with an answer in both layers.

    Raises
    ------
    InputError
        There is none.
    """
    matches, first, second = compared.matches, compared.first, compared.second
    both = np.flatnonzero((matches.before != NONE) & (matches.after != NONE))
    sound = np.zeros(len(both), np.bool_)
    for part in parts(len(both)):
        rows = both[part]
        sound[part] = np.isfinite(first.probabilities[matches.before[rows], 0]) & np.isfinite(
            second.probabilities[matches.after[rows], 0]
        )
    usable = both[sound]
    if not len(usable):
        raise InputError(
            f"{compared.before.path} and {compared.after.path}: no tile has an answer in both layers",
            "check nodata and --min-valid of both runs",
        )
    return usable


def fit(compared: Compared, usable: npt.NDArray[np.intp]) -> Transitions:
    """Fit the model to the answers at some places."""
    matches, first, second = compared.matches, compared.first, compared.second
    # Corrected labels have no errors, so they say nothing about errors that the answers share.
    by_model = usable[~(first.corrected[matches.before[usable]] | second.corrected[matches.after[usable]])]
    usable = by_model if len(by_model) else usable
    rows = usable[fitting_rows(len(usable), len(compared.before.labels))]
    ours, theirs = first.probabilities[matches.before[rows]], second.probabilities[matches.after[rows]]
    return fit_transitions(
        ours,
        theirs,
        _assumed(compared.before, ours, compared.before),
        _assumed(compared.after, theirs, compared.before),
    )


def _assumed(
    layer: ClassifiedLayer, probabilities: npt.NDArray[np.float32], order: ClassifiedLayer
) -> npt.NDArray[np.float64] | None:
    """Return the class frequencies that the answers of a layer assume: its priors, those of the refined map, or equal.

    Heads and adapters are fitted with classes of equal weight; `--refine` fits the frequencies to the map, where they
    are the means of the probabilities.
    """
    priors = layer.run_key.get("priors")
    if priors:
        at = match_names(order.labels.names, layer.labels.names)
        return np.array([priors[index] for index in at if index is not None], np.float64)
    if layer.run_key.get("refine") is None:
        return None
    frequency = np.maximum(probabilities.mean(axis=0, dtype=np.float64), _LEAST_FREQUENT)
    return np.asarray(frequency / frequency.sum(), np.float64)


def displaced(compared: Compared, usable: npt.NDArray[np.intp]) -> str | None:
    """Return a line about images that fit each other better at another place; None where they do not."""
    matches = compared.matches
    number = int(np.bincount(matches.scene[usable]).argmax())
    rows = usable[matches.scene[usable] == number]
    # In the order of the grid, so that the tiles of a part are neighbours.
    start = max(0, (len(rows) - _SEARCHED) // 2)
    rows = rows[start : start + _SEARCHED]
    right, down = displacement(
        compared.first.probabilities[matches.before[rows]],
        compared.second.probabilities[matches.after[rows]],
        matches.row[rows] - int(matches.row[rows].min()),
        matches.col[rows] - int(matches.col[rows].min()),
    )
    if max(abs(right), abs(down)) < _DISPLACED:
        return None
    scene = compared.before.scenes[number]
    metres = length_in_metres(scene, right, down)
    return (
        f"the second image seems displaced by {right:+.1f} tiles to the right and {down:+.1f} tiles down"
        f"{'' if metres is None else f', about {metres:,.3g} m'}: the tiles show different ground, which looks like "
        f"change; register it to {scene.name} and classify it again"
    )


def judge(compared: Compared, model: Transitions, crs: CRS, max_false: float) -> Verdicts:
    """Find what became of each tile: see `Verdicts`. Areas are of the polygons in a CRS."""
    matches, count = compared.matches, len(compared.before.labels)
    size = len(matches)
    change = np.full(size, np.nan, np.float32)
    stratum = np.full(size, NONE, np.int8)
    first, second = np.full(size, NONE, np.int16), np.full(size, NONE, np.int16)
    hectares, expected = np.zeros(size), np.zeros((count, count))
    proj = pyproj.CRS.from_wkt(crs.to_wkt())
    for part in parts(size):
        hectares[part] = ground_areas(compared.polygons(part, crs), proj) / 10_000
        places = np.arange(*part.indices(size))
        places = places[(matches.before[places] != NONE) & (matches.after[places] != NONE)]
        ours = compared.first.probabilities[matches.before[places]]
        theirs = compared.second.probabilities[matches.after[places]]
        certain = compared.first.corrected[matches.before[places]] | compared.second.corrected[matches.after[places]]
        sound = np.isfinite(ours[:, 0]) & np.isfinite(theirs[:, 0])
        for chosen, fitted in ((sound & ~certain, model), (sound & certain, model.independent())):
            at = places[chosen]
            pairs = fitted.pairs(ours[chosen], theirs[chosen])
            probability = pairs.change()
            kind = np.where(probability >= 1 - max_false, 0, np.where(probability <= max_false, 1, 2))
            changed, same = pairs.likeliest_change(), pairs.likeliest_class()
            differs = probability >= 0.5
            change[at], stratum[at] = probability, kind
            first[at], second[at] = np.where(differs, changed[0], same), np.where(differs, changed[1], same)
            expected += pairs.totals(np.nan_to_num(hectares[at]))
    return Verdicts(change, stratum, first, second, hectares, expected)


def parts(count: int) -> Iterator[slice]:
    """Split a number of places into blocks."""
    return (slice(start, min(start + _ROWS, count)) for start in range(0, count, _ROWS))
