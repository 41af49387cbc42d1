"""Suggest which tiles of a layer to label next, and write them as a layer to correct."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bimors_cli.errors import InputError
from bimors_cli.fewshot.variance_reduction import MAX_KNOWN, Chosen, reduce_variance
from bimors_cli.options.suggest import SuggestOptions
from bimors_cli.output.atomic import check_target
from bimors_cli.output.image_features import read_features
from bimors_cli.results.classified_layer import ClassifiedLayer, read_classified_layer
from bimors_cli.results.covered_tiles import Features, covered_shares, read_features_of
from bimors_cli.results.layer_rows import LayerRows, read_rows
from bimors_cli.results.recorded_examples import example_sets
from bimors_cli.results.suggestions_file import Suggestion, write_suggestions
from bimors_cli.run_warnings import keeps_warnings, warn, warnings_so_far
from bimors_cli.scene.polygons import tile_polygons
from bimors_cli.scene.positions import earth_centred
from bimors_cli.steps import step

# In a larger layer a random part of the tiles is compared: their covariances with the tiles that stand for the map
# take 80 MB.
CANDIDATES: Final = 10_000
REFERENCE: Final = 1000

# Of a tile, under the polygons of examples: `finetune` learns from such a tile, without another --min-overlap.
_LEARNED: Final = 0.5
_DECIMALS: Final = 4

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SuggestSummary:
    """Tiles that were suggested.

    Attributes
    ----------
    path : Path
        The file with them.
    suggestions : tuple of Suggestion
        Best first.
    wanted : int
        How many were asked for.
    left : int
        Number of tiles that could be suggested.
    examples, excluded, corrected : int
        Number of tiles left out: those under ``--examples``, those under ``--exclude``, and those that the user
        corrected or checked in the layer; a tile may be counted more than once.
    warnings : tuple of str
        What the choice warned of.
    """

    path: Path
    suggestions: tuple[Suggestion, ...]
    wanted: int
    left: int
    examples: int
    excluded: int
    corrected: int
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the choice as JSON values."""
        return {
            "output": str(self.path),
            "suggestions": [asdict(one) for one in self.suggestions],
            "wanted": self.wanted,
            "left": self.left,
            "examples": self.examples,
            "excluded": self.excluded,
            "corrected": self.corrected,
            "warnings": list(self.warnings),
        }

    @property
    def labels(self) -> Mapping[str | None, int]:
        """How many tiles are suggested of each label of the map, most first; None for tiles without a label."""
        counts = Counter(one.label for one in self.suggestions)
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0] is None, item[0] or "")))


@keeps_warnings
def suggest(options: SuggestOptions, command: Sequence[str] = ("bimors_cli.suggest",)) -> SuggestSummary:
    """Choose the tiles of a layer whose labels say most of the whole map, and write them as a layer to correct.

    See `bimors_cli.fewshot.variance_reduction` for the choice, by the features that the layer holds. Left out are tiles
    without data, tiles that the user corrected or checked, the examples of the adapter that the layer records, and
    tiles under the features of ``options.examples`` and ``options.exclude``. What corrected and checked tiles and the
    examples show counts as known. The order of the rows has no effect.

    Raises
    ------
    InputError
        The file was not written by `classify`, or holds no features; two of its rows are one tile; no tile is left; the
        output exists.
    VectorError
        A file of examples or of tiles to exclude cannot be used.
    OutputError
        The output cannot be written.
    """
    options.check_required()
    check_target(options.path, overwrite=options.overwrite)
    layer = read_classified_layer(options.file, options.layer)
    next(read_features(layer.path, layer.name))  # raises for a layer without features before all rows are read
    with step(f"reading {layer.path.name}"):
        rows = read_rows(layer)
    if layer.run_key.get("adapter") is not None and layer.run.examples is None and not options.examples:
        warn(
            "%s does not record where the examples of its adapter are, so tiles like them may be suggested: "
            "give them with --examples FILE",
            layer.path,
        )
    with step("finding the tiles of the examples"):
        excluded = _shares(options.exclude, layer, rows) > 0
        share = np.maximum(_shares(options.examples, layer, rows), _recorded_shares(layer, rows))
    examples = share > 0
    # What must stay apart from training is not known either.
    known = ((share >= _LEARNED) | rows.corrected) & ~excluded & rows.with_data
    allowed = rows.with_data & ~examples & ~excluded & ~rows.corrected
    if not allowed.any():
        raise InputError(
            f"{layer.path}: no tile of layer {layer.name!r} is left to suggest", "exclude less, or classify a scene"
        )
    with step("choosing the tiles to label"):
        candidates, chosen = _choose(layer, rows, known, allowed, options)
    found = tuple(
        Suggestion(
            rank,
            rows.tile_ids[row],
            rows.scenes[rows.scene[row]].name,
            int(rows.row[row]),
            int(rows.col[row]),
            rows.labels[row],
            rows.confidence[row],
            rows.reasons[row],
            round(variance, _DECIMALS),
            round(gain, _DECIMALS),
        )
        for rank, (row, variance, gain) in enumerate(
            zip(candidates[chosen.rows].tolist(), chosen.variances.tolist(), chosen.reductions.tolist(), strict=True), 1
        )
    )
    write_suggestions(options.path, found, layer, command, overwrite=options.overwrite)
    return SuggestSummary(
        options.path,
        found,
        options.tiles,
        int(allowed.sum()),
        int((examples & rows.with_data).sum()),
        int((excluded & rows.with_data).sum()),
        int((rows.corrected & rows.with_data).sum()),
        warnings_so_far(),
    )


def _shares(specs: Sequence[str], layer: ClassifiedLayer, rows: LayerRows) -> npt.NDArray[np.float64]:
    """Return how much of each tile lies under the features of the files, 0 to 1: the most of any file."""
    result = np.zeros(len(rows.tile_ids))
    for spec in specs:
        found = _covered(read_features_of(spec), rows)
        if not found.any():
            warn("%s: no tile of %s lies under its features: check its CRS", spec, layer.path)
        result = np.maximum(result, found)
    return result


def _recorded_shares(layer: ClassifiedLayer, rows: LayerRows) -> npt.NDArray[np.float64]:
    """Return how much of each tile lies under the examples of the adapter, as far as the layer records them, 0 to 1."""
    result = np.zeros(len(rows.tile_ids))
    for tiles in example_sets(layer.run.examples or (), layer.path):
        outlines = tile_polygons(tiles.grid.take(tiles.indices), tiles.transform)
        result = np.maximum(result, _covered(Features(str(layer.path), tiles.crs_wkt, outlines), rows))
    return result


def _covered(features: Features, rows: LayerRows) -> npt.NDArray[np.float64]:
    result = np.zeros(len(rows.tile_ids))
    for number, scene in enumerate(rows.scenes):
        own = np.flatnonzero(rows.scene == number)
        if len(own):
            result[own] = covered_shares(features, scene, rows.row[own] * scene.grid.cols + rows.col[own])
    return result


def _choose(
    layer: ClassifiedLayer, rows: LayerRows, known: Mask, allowed: Mask, options: SuggestOptions
) -> tuple[npt.NDArray[np.intp], Chosen]:
    """Return rows of candidates, and which of them were chosen."""
    # Rows are sorted by tile: the draw does not depend on their order in the file.
    order = np.random.default_rng(options.seed).permutation(len(rows.tile_ids))
    parts = [
        np.sort(order[chosen[order]][:count])
        for chosen, count in ((rows.with_data, REFERENCE), (allowed, CANDIDATES), (known, MAX_KNOWN))
    ]
    features = _read(layer, rows, np.unique(np.concatenate(parts)))
    reference, candidates, others = ([row for row in part.tolist() if row in features] for part in parts)
    if not candidates:
        raise InputError(
            f"{layer.path}: the tiles of layer {layer.name!r} have no image features",
            "run bimors classify with --keep-features again",
        )
    places = _places(rows, np.array(candidates, np.intp)) if options.min_distance else None
    chosen = reduce_variance(
        _stack(features, reference),
        _stack(features, candidates),
        _stack(features, others, len(features[candidates[0]])),
        options.tiles,
        places=places,
        min_distance=options.min_distance,
    )
    return np.array(candidates, np.intp), chosen


def _read(layer: ClassifiedLayer, rows: LayerRows, wanted: npt.NDArray[np.intp]) -> dict[int, npt.NDArray[Any]]:
    """Read the features of rows, one block of the file in memory at a time; rows without finite ones are missing."""
    row_of = {rows.tile_ids[row]: row for row in wanted.tolist()}
    found: dict[int, npt.NDArray[Any]] = {}
    for ids, vectors in read_features(layer.path, layer.name):
        mine = [(row_of[tile_id], place) for place, tile_id in enumerate(ids) if tile_id in row_of]
        found |= {row: vectors[place].copy() for row, place in mine if np.isfinite(vectors[place]).all()}
    return found


def _stack(features: Mapping[int, npt.NDArray[Any]], rows: Sequence[int], width: int = 0) -> npt.NDArray[np.float64]:
    """Return the features of rows, float64 [n, E]; ``width`` is E where there may be none."""
    return np.array([features[row] for row in rows], np.float64).reshape(len(rows), -1 if len(rows) else width)


def _places(rows: LayerRows, chosen: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Return the centres of tiles in metres from the centre of the Earth, float64 [n, 3]."""
    places = np.empty((len(chosen), 3))
    for number, scene in enumerate(rows.scenes):
        own = np.flatnonzero(rows.scene[chosen] == number)
        mine = chosen[own]
        tiles = scene.grid.take((rows.row[mine] * scene.grid.cols + rows.col[mine]).tolist())
        pixels = np.array([(t.x + t.width / 2, t.y + t.height / 2) for t in tiles], np.float64).reshape(-1, 2)
        to_map = np.array(scene.transform).reshape(3, 3)[:2]
        places[own] = earth_centred(pixels @ to_map[:, :2].T + to_map[:, 2], scene.crs_wkt)
    return places
