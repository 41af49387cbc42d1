"""Compares two classified layers, and writes the changes as a layer."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS

from bimors_cli.errors import InputError
from bimors_cli.labels import match_names
from bimors_cli.options.change import ChangeOptions
from bimors_cli.output.atomic import check_target, replacing
from bimors_cli.output.formats import GPKG, write_layer
from bimors_cli.refine.transitions import Transitions
from bimors_cli.results.change.answers import NONE, check_complete, read_answers
from bimors_cli.results.change.compare import differences
from bimors_cli.results.change.judge import Compared, Verdicts, displaced, fit, judge, usable_places
from bimors_cli.results.change.layer import change_frames, change_schema
from bimors_cli.results.change.match import match_tiles, place_scenes
from bimors_cli.results.change.summary import CHANGE, NO_CHANGE, STRATA, ChangeSummary
from bimors_cli.results.classified_layer import ClassifiedLayer, read_classified_layer
from bimors_cli.run_warnings import keeps_warnings, warn, warnings_so_far
from bimors_cli.steps import step

# More expected change than this is more often another season, sensor or calibration than change.
_IMPLAUSIBLE: Final = 1 / 3


@keeps_warnings
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
    for line in differences(before, after, placements):
        warn(line)
    with tempfile.TemporaryDirectory(prefix=".bimors_change_", dir=options.output.resolve().parent) as folder:
        labels = before.labels.names
        with step(f"reading {before.path.name}"):
            first = read_answers(before, labels, Path(folder) / "before")
        with step(f"reading {after.path.name}"):
            second = read_answers(after, labels, Path(folder) / "after")
        with step(f"comparing {before.path.name} and {after.path.name}"):
            matches = match_tiles(placements, (before, first), (after, second))
            compared = Compared(before, after, first, second, matches, placements)
            usable = usable_places(compared)
            moved = displaced(compared, usable)
        if moved is not None:
            warn(moved)
        crs = CRS.from_user_input(before.run_key["crs"])
        with step("computing the probabilities of change"):
            model = fit(compared, usable)
            verdicts = judge(compared, model, crs, options.most_false)
        summary = _summarise(options, compared, model, verdicts)
        schema = change_schema(compared, model, summary, crs, command)
        with step(f"writing {options.output.name}"):
            write_layer(
                options.output,
                change_frames(compared, verdicts, schema, crs),
                GPKG,
                schema,
                overwrite=options.overwrite,
            )
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


def _summarise(
    options: ChangeOptions,
    compared: Compared,
    model: Transitions,
    verdicts: Verdicts,
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
        warn(
            f"{changed / total:.0%} of the area is expected to have changed: check on a sample that this is not "
            "season, sensor or calibration"
        )
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
        warnings_so_far(),
    )


def _mean(values: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> float:
    total = float(weights.sum())
    return float((values * weights).sum()) / total if total else 0.0


def _write_matrix(path: Path, summary: ChangeSummary, *, overwrite: bool) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(summary.csv_rows())
    with replacing(path, overwrite=overwrite) as built:
        built.write_text(text.getvalue(), encoding="utf-8")
