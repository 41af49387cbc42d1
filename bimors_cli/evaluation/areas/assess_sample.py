"""Accuracy and areas of a map from a probability sample whose references were filled in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bimors_cli.errors import InputError
from bimors_cli.evaluation.areas.answers import with_answers
from bimors_cli.evaluation.areas.assessment import ClassEstimates, SampleAssessment, StratumCounts
from bimors_cli.evaluation.areas.design import CANNOT_TELL, SampleDesign
from bimors_cli.evaluation.areas.estimators import StratifiedSample, estimate_areas
from bimors_cli.evaluation.areas.moved_tiles import check_places
from bimors_cli.evaluation.areas.newer_map import NewerMap, read_newer_map
from bimors_cli.evaluation.areas.report import doubts
from bimors_cli.evaluation.areas.sample_file import Sample, find_sample, read_sample
from bimors_cli.labels import match_names, normalized_name
from bimors_cli.output.geopackage import read_layer
from bimors_cli.provenance import RecordedScene, warnings_of_layer
from bimors_cli.run_warnings import keeps_warnings, warn, warnings_so_far

Indices = npt.NDArray[np.intp]
_RESTORE = "undo it in QGIS, or draw the sample again: bimors sample"


@keeps_warnings
def assess_sample(
    path: Path, layer_file: Path | None = None, layer: str | None = None, answers: Sequence[Path] = ()
) -> SampleAssessment:
    """Estimate accuracy and areas from a sample that `bimors sample` drew.

    Tiles without a class in the reference are left out: the estimates hold if they are not harder than the others. The
    strata are always those of the draw, whatever map is assessed.

    Parameters
    ----------
    path : Path
        The sample.
    layer_file, layer : Path, str, optional
        A newer map of the same tiles, which is assessed instead of the one that the sample was drawn from, and its
        layer, if the file has several.
    answers : sequence of Path
        Files of references, see `bimors_cli.evaluation.areas.answers.with_answers`.

    Raises
    ------
    InputError
        As `read_sample`, `with_answers`, `check_places` and `read_newer_map`; a reference is not a label; no tile is
        finished, or none of a stratum.
    """
    sample = with_answers(read_sample(path), answers)
    scenes = _check_places(path)
    newer = None if layer_file is None else _read_newer(layer_file, layer, sample, scenes)
    for text in warnings_of_layer(path, find_sample(path)[1]) if newer is None else newer.warnings:
        warn(text)
    labels = _labels(sample, newer)
    reference = _classes(sample, labels)
    finished = reference >= 0
    design = sample.design
    names = [one.name for one in design.strata]
    strata = np.array([names.index(name) for name in sample.strata], np.intp)[finished]
    counts = np.bincount(strata, minlength=len(names)).tolist()
    _check_strata(sample, counts)
    now = sample.mapped if newer is None else [newer.mapped[tile_id] for tile_id in sample.tile_ids]
    mapped, truth = _indices(now, labels)[finished], reference[finished]
    drawn = StratifiedSample(
        sample.hectares[finished],
        strata,
        np.array([one.tiles for one in design.strata], np.float64),
        np.array([one.hectares for one in design.strata], np.float64),
    )
    found = estimate_areas(mapped, truth, drawn, len(labels), _known_none(sample, newer, labels))
    hectares, of_map = float(drawn.totals.sum()), _mapped_hectares(design, newer, labels)
    pairs = Counter(zip(mapped.tolist(), truth.tolist(), strict=True))
    columns = range(len(labels))
    assessment = SampleAssessment(
        path,
        design,
        layer_file,
        hectares,
        found.overall,
        tuple(
            ClassEstimates(
                label, of_map[index], found.proportions[index].scaled(hectares), found.users[index],
                found.producers[index],
            )
            for index, label in enumerate(labels)
        ),
        tuple(tuple(pairs[row, col] for col in columns) for row in (*columns, -1)),
        tuple(map(tuple, found.confusion.tolist())),
        tuple(StratumCounts(*pair) for pair in zip(design.strata, counts, strict=True)),
        sum(text is None for text in sample.references),
        sum(_is_cannot_tell(text) for text in sample.references),
        len(sample.missing),
    )  # fmt: skip
    for text in doubts(assessment):
        warn(text)
    return replace(assessment, warnings=warnings_so_far())


def _check_places(path: Path) -> tuple[RecordedScene, ...] | None:
    """Check that no tile of a sample was moved, and return the scenes; None if its map records no grid."""
    layer, run = find_sample(path)
    if "scenes" not in (run.run_key or {}):
        return None
    try:
        scenes = run.recorded_scenes()
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: the record of the scenes is damaged: {error!r}", "draw the sample again") from error
    frame = read_layer(path, layer, ["tile_id", "scene", "row", "col"])
    check_places(path, layer, frame, scenes, _RESTORE)
    return scenes


def _read_newer(path: Path, layer: str | None, sample: Sample, scenes: tuple[RecordedScene, ...] | None) -> NewerMap:
    if scenes is None:
        raise InputError(f"{sample.path}: it records no scenes to compare with {path}", "draw a sample of that map")
    return read_newer_map(path, layer, sample, scenes)


def _labels(sample: Sample, newer: NewerMap | None) -> tuple[str, ...]:
    """Return the labels of the run, then others of the map, some of which were typed in; equal names once."""
    of_map = [one.label for one in sample.design.mapped] if newer is None else [*newer.labels, *newer.tiles]
    names = [*sample.labels, *(label for label in of_map if label is not None)]
    return tuple(names[index] for index in dict.fromkeys(match_names(names, names)) if index is not None)


def _indices(names: Sequence[str | None], labels: Sequence[str]) -> Indices:
    """Return the index of each name in the labels; -1 for None and for other names."""
    different = [name for name in dict.fromkeys(names) if name is not None]
    found = dict(zip(different, match_names(different, labels), strict=True))
    indices = [None if name is None else found[name] for name in names]
    return np.array([-1 if index is None else index for index in indices], np.intp)


def _known_none(sample: Sample, newer: NewerMap | None, labels: Sequence[str]) -> npt.NDArray[np.bool_] | None:
    """Tell which strata are known to have no tile of a class of the map, bool [H, K]: all others, if they are classes.

    A newer map has the same classes if the drawn tiles have, and as many tiles of each.
    """
    design = sample.design
    if design.column != "label":
        return None
    if newer is not None:
        same_drawn = [newer.mapped[tile_id] for tile_id in sample.tile_ids] == list(sample.mapped)
        if not same_drawn or dict(newer.tiles) != {one.label: one.tiles for one in design.mapped}:
            return None
    strata = _indices([one.name for one in design.strata], labels)
    found: npt.NDArray[np.bool_] = strata[:, None] != np.arange(len(labels))
    return found


def _mapped_hectares(design: SampleDesign, newer: NewerMap | None, labels: Sequence[str]) -> list[float]:
    """Return the area that the map gives each label; NaN where it is unknown."""
    if newer is not None and not newer.hectares:
        return [float("nan")] * len(labels)
    areas = {one.label: one.hectares for one in design.mapped} if newer is None else newer.hectares
    found = [0.0] * len(labels)
    for index, area in zip(_indices(list(areas), labels).tolist(), areas.values(), strict=True):
        if index >= 0:
            found[index] += area
    return found


def _is_cannot_tell(text: str | None) -> bool:
    return text is not None and normalized_name(text) == normalized_name(CANNOT_TELL)


def _classes(sample: Sample, labels: Sequence[str]) -> Indices:
    """Return the index of each reference among the labels [n]; -1 for none and for `CANNOT_TELL`."""
    given = [None if _is_cannot_tell(text) else text for text in sample.references]
    found = _indices(given, labels)
    for text, index in zip(given, found.tolist(), strict=True):
        if text is not None and index < 0:
            raise InputError(
                f"{sample.path}: the reference {text!r} is not a label of the map",
                f"use one of {', '.join(labels[:20])} or {CANNOT_TELL}",
            )
    return found


def _check_strata(sample: Sample, counts: Sequence[int]) -> None:
    if not sum(counts):
        raise InputError(f"{sample.path}: no tile has a reference", "fill in the column reference, in QGIS for example")
    for stratum, count in zip(sample.design.strata, counts, strict=True):
        if stratum.tiles and not count:
            raise InputError(
                f"{sample.path}: no tile of the stratum {stratum.name!r} ({stratum.tiles:,} tiles) has a reference: "
                "the areas cannot be estimated",
                "fill in the reference of at least two of its tiles, or draw another sample with bimors sample",
            )
