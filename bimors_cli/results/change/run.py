"""Compares two classified layers, and writes the changes as a layer."""

from __future__ import annotations

import csv
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS

from bimors_cli.errors import InputError
from bimors_cli.labels import Label, Labels, match_names
from bimors_cli.options.change import ChangeOptions
from bimors_cli.output.atomic import check_target, replacing
from bimors_cli.output.classified_schema import REAL, TEXT, make_frame
from bimors_cli.output.formats import GPKG, write_layer
from bimors_cli.output.layer_schema import TILE_COLUMNS, TileSchema
from bimors_cli.output.style import Style, change_probability_qml, change_qml
from bimors_cli.provenance import RunProvenance
from bimors_cli.refine.transitions import Transitions, fit_transitions, fitting_rows
from bimors_cli.results.change.answers import NONE, Answers, check_complete, read_answers
from bimors_cli.results.change.compare import differences
from bimors_cli.results.change.match import Matches, Placement, match_tiles, place_scenes
from bimors_cli.results.change.summary import ARROW, CHANGE, NO_CHANGE, STRATA, ChangeSummary
from bimors_cli.results.classified_layer import ClassifiedLayer, read_classified_layer
from bimors_cli.scene.area import ground_areas
from bimors_cli.scene.polygons import Polygons, reproject, tile_polygons

if TYPE_CHECKING:
    import geopandas

log = logging.getLogger("bimors")

LAYER: Final = "change"
_ROWS: Final = 20_000
_DECIMALS: Final = 4
# More expected change than this is more often another season, sensor or calibration than change.
_IMPLAUSIBLE: Final = 1 / 3
_COLOURS: Final = {CHANGE: "#d55e00", NO_CHANGE: "#d9d9d9"}
# What the record of a run says of columns that the layer of changes does not have.
_NOT_OF_CHANGE: Final = ("probabilities", "features", "novelty", "unlike examples", "top k", "synonyms", "priors")
# No frequency of a class that refined answers assume is below this.
_LEAST_FREQUENT: Final = 1e-4


@dataclass(frozen=True)
class _Compared:
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
class _Verdicts:
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


def change(options: ChangeOptions, command: Sequence[str] = ("bimors_cli.change",)) -> ChangeSummary:
    """Compare two layers that `classify` wrote, and write a layer of changes.

    See `bimors_cli.refine.transitions` for the equations. Scenes are opened, where they are found, to compare sensors
    and brightness; the tiles and answers come from the layers.

    Raises
    ------
    InputError
        A file was not written by `classify`; the labels differ; a layer does not hold the probabilities of all labels;
        the tiles are not on one grid; no tile has an answer at both dates; the output exists.
    OutputError
        The output cannot be written.
    """
    options.check_required()
    check_target(options.output, overwrite=options.overwrite)
    if options.matrix is not None:
        check_target(options.matrix, overwrite=options.overwrite)
    before, after = _read(options.before, options.layer_before), _read(options.after, options.layer_after)
    _check_labels(before, after)
    placements = place_scenes(before, after)
    warnings = differences(before, after, placements)
    for line in warnings:
        log.warning("%s", line)
    with tempfile.TemporaryDirectory(prefix=".bimors_change_", dir=options.output.resolve().parent) as folder:
        labels = before.labels.names
        first = read_answers(before, labels, Path(folder) / "before")
        second = read_answers(after, labels, Path(folder) / "after")
        matches = match_tiles(placements, (before, first), (after, second))
        compared = _Compared(before, after, first, second, matches, placements)
        model = _fit(compared)
        crs = CRS.from_user_input(before.run_key["crs"])
        verdicts = _judge(compared, model, crs, options.most_false)
        summary = _summarise(options, compared, model, verdicts, warnings)
        schema = _schema(compared, model, summary, crs, command)
        write_layer(options.output, _frames(compared, verdicts, schema, crs), GPKG, schema, overwrite=options.overwrite)
        # Windows removes no file that is mapped.
        del first, second, compared
    if options.matrix is not None:
        _write_matrix(options.matrix, summary, overwrite=options.overwrite)
    return summary


def _read(path: Path, name: str | None) -> ClassifiedLayer:
    layer = read_classified_layer(path, name)
    if layer.run.change is not None or layer.run.sample is not None:
        raise InputError(f"{path} is not a layer of labels", "give the .gpkg that bimors classify wrote")
    check_complete(layer)
    return layer


def _check_labels(before: ClassifiedLayer, after: ClassifiedLayer) -> None:
    ours, theirs = before.labels.names, after.labels.names
    only = [name for name, found in zip(ours, match_names(ours, theirs), strict=True) if found is None]
    only += [name for name, found in zip(theirs, match_names(theirs, ours), strict=True) if found is None]
    if only or len(ours) != len(theirs):
        raise InputError(
            f"{before.path} and {after.path} have different labels: {', '.join(map(repr, only[:5]))} in one only",
            "classify both scenes with the same labels file",
        )


def _fit(compared: _Compared) -> Transitions:
    matches, first, second = compared.matches, compared.first, compared.second
    both = np.flatnonzero((matches.before != NONE) & (matches.after != NONE))
    sound = np.zeros(len(both), np.bool_)
    for part in _parts(len(both)):
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


def _judge(compared: _Compared, model: Transitions, crs: CRS, max_false: float) -> _Verdicts:
    matches, count = compared.matches, len(compared.before.labels)
    size = len(matches)
    change = np.full(size, np.nan, np.float32)
    stratum = np.full(size, NONE, np.int8)
    first, second = np.full(size, NONE, np.int16), np.full(size, NONE, np.int16)
    hectares, expected = np.zeros(size), np.zeros((count, count))
    import pyproj

    proj = pyproj.CRS.from_wkt(crs.to_wkt())
    for part in _parts(size):
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
    return _Verdicts(change, stratum, first, second, hectares, expected)


def _summarise(
    options: ChangeOptions,
    compared: _Compared,
    model: Transitions,
    verdicts: _Verdicts,
    warnings: tuple[str, ...],
) -> ChangeSummary:
    labels = compared.before.labels.names
    known = np.nan_to_num(verdicts.hectares)
    sizes = {name: verdicts.stratum == number for number, name in enumerate(STRATA)}
    called = np.zeros((len(labels), len(labels)))
    certain = sizes[CHANGE] | sizes[NO_CHANGE]
    np.add.at(called, (verdicts.first[certain], verdicts.second[certain]), known[certain])
    probability = verdicts.change.astype(np.float64)
    total, changed = float(verdicts.expected.sum()), float(verdicts.expected.sum() - np.trace(verdicts.expected))
    if changed > _IMPLAUSIBLE * total:
        line = (
            f"{changed / total:.0%} of the area is expected to have changed: check on a sample that this is not "
            "season, sensor or calibration"
        )
        log.warning("%s", line)
        warnings = (*warnings, line)
    return ChangeSummary(
        options.output,
        labels,
        {name: int(chosen.sum()) for name, chosen in sizes.items()},
        {name: float(known[chosen].sum()) for name, chosen in sizes.items()},
        int((verdicts.stratum == NONE).sum()),
        verdicts.expected,
        called,
        _mean(1 - probability[sizes[CHANGE]], known[sizes[CHANGE]]),
        _mean(probability[sizes[NO_CHANGE]], known[sizes[NO_CHANGE]]),
        model.shared,
        options.most_false,
        warnings,
    )


def _mean(values: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> float:
    total = float(weights.sum())
    return float((values * weights).sum()) / total if total else 0.0


def _schema(
    compared: _Compared, model: Transitions, summary: ChangeSummary, crs: CRS, command: Sequence[str]
) -> TileSchema:
    before, after = compared.before, compared.after
    run_key = {key: value for key, value in before.run_key.items() if key not in _NOT_OF_CHANGE}
    run = replace(
        RunProvenance.of_command(command),
        run_key={**run_key, "labels": [CHANGE, NO_CHANGE], "layer": LAYER},
        scene_paths=before.run.scene_paths,
        labels=_COLOURS,
        warnings=summary.warnings or None,
        change={
            "labels": list(summary.labels),
            "before": _record(before),
            "after": _record(after),
            "max_false": summary.max_false,
            "shared_errors": model.shared,
            "frequency": model.frequency.tolist(),
            "shift": [list(placement.shift) for placement in compared.placements],
        },
    )
    legend = [(one + ARROW + two, one, two) for one, two, _ in summary.transitions(summary.called)]
    colours = Labels(tuple(Label(item.name, item.colour) for item in before.labels.items))
    return TileSchema(
        LAYER,
        crs.to_wkt(),
        {
            **TILE_COLUMNS,
            "label": TEXT,
            "confidence": REAL,
            "reason": TEXT,
            "stratum": TEXT,
            "change_probability": REAL,
            "transition": TEXT,
            "label_before": TEXT,
            "confidence_before": REAL,
            "label_after": TEXT,
            "confidence_after": REAL,
            "caption": TEXT,
        },
        Style("changes", change_qml(colours, legend), "changes, by bimors"),
        run.to_metadata(),
        multipart=crs.is_geographic,
        other_styles=(Style("change probability", change_probability_qml(), "probability of change, by bimors"),),
    )


def _record(layer: ClassifiedLayer) -> dict[str, Any]:
    return {
        "path": str(layer.path.resolve()),
        "layer": layer.name,
        "created": layer.run.created,
        "scenes": [scene.name for scene in layer.scenes],
        "model": layer.run_key.get("model"),
        "adapter": layer.run_key.get("adapter"),
    }


def _frames(compared: _Compared, verdicts: _Verdicts, schema: TileSchema, crs: CRS) -> Iterator[geopandas.GeoDataFrame]:
    matches, names = compared.matches, compared.before.labels.names
    stems = [Path(scene.name).stem for scene in compared.before.scenes]
    for part in _parts(len(matches)):
        scene, row, col = (values[part].tolist() for values in (matches.scene, matches.row, matches.col))
        first = _side(compared.first, matches.before[part], names)
        second = _side(compared.second, matches.after[part], names)
        stratum, change = verdicts.stratum[part].tolist(), verdicts.change[part].astype(np.float64)
        kinds = [None if one == NONE else STRATA[one] for one in stratum]
        differs = change >= 0.5
        pairs = zip(verdicts.first[part].tolist(), verdicts.second[part].tolist(), strict=True)
        data: dict[str, Sequence[Any]] = {
            "tile_id": [f"{stems[one]}/{r}/{c}" for one, r, c in zip(scene, row, col, strict=True)],
            "scene": [compared.before.scenes[one].name for one in scene],
            "row": row,
            "col": col,
            "label": [
                None if kind is None else CHANGE if changed else NO_CHANGE
                for kind, changed in zip(kinds, differs.tolist(), strict=True)
            ],
            "confidence": np.round(np.where(differs, change, 1 - change), _DECIMALS).tolist(),
            "reason": [
                None if kind is not None else one or two or "nodata"
                for kind, one, two in zip(kinds, first.reasons, second.reasons, strict=True)
            ],
            "stratum": kinds,
            "change_probability": np.round(change, _DECIMALS).tolist(),
            "transition": [
                names[a] + ARROW + names[b] if kind == CHANGE else None
                for kind, (a, b) in zip(kinds, pairs, strict=True)
            ],
            "label_before": first.labels,
            "confidence_before": first.confidence,
            "label_after": second.labels,
            "confidence_after": second.confidence,
            "caption": [a + ARROW + b for a, b in zip(first.texts(), second.texts(), strict=True)],
        }
        yield make_frame(data, compared.polygons(part, crs), schema)


@dataclass(frozen=True)
class _Side:
    """What a layer shows at some places."""

    labels: list[str | None]
    confidence: list[float]
    reasons: list[str | None]

    def texts(self) -> list[str]:
        return [
            "no label" if label is None else label if sure != sure else f"{label} {100 * sure:.0f} %"
            for label, sure in zip(self.labels, self.confidence, strict=True)
        ]


def _side(answers: Answers, rows: npt.NDArray[np.int64], names: Sequence[str]) -> _Side:
    there = rows != NONE
    label = np.where(there, answers.label[rows], NONE)
    confidence = np.where(there & ~answers.corrected[rows], answers.confidence[rows], np.nan).astype(np.float64)
    reasons = answers.reason[rows]
    return _Side(
        [None if one == NONE else names[one] for one in label.tolist()],
        np.round(confidence, _DECIMALS).tolist(),
        [reason if is_there else "nodata" for reason, is_there in zip(reasons.tolist(), there.tolist(), strict=True)],
    )


def _write_matrix(path: Path, summary: ChangeSummary, *, overwrite: bool) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(summary.csv_rows())
    with replacing(path, overwrite=overwrite) as built:
        built.write_text(text.getvalue(), encoding="utf-8")


def _parts(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _ROWS, count)) for start in range(0, count, _ROWS))
