"""What is said and written of a checked map."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bimors_cli.evaluation.accuracy.assess import MapCheck
from bimors_cli.metrics.charts import confusion_matrix, reliability_of_answers
from bimors_cli.metrics.scores import Share, most_confused
from bimors_cli.output.atomic import replacing_folder

FIGURES, PAGE = "map_check.json", "map_check.md"
_CONFUSED: Final = 5
_NONE: Final = "-"


def lines(check: MapCheck) -> Iterator[str]:
    """Say it in lines."""
    scores, counts = check.scores, check.counts
    what = "points" if check.kind == "points" else "tiles"
    yield _basis(check)
    yield f"  {'':22}  {'no label is wrong':>28}  {'labelled only':>28}"
    for name, both in _figures(check):
        yield f"  {name:22}  {both[0]:>28}  {both[1]:>28}"
    yield f"  {'coverage':22}  {_share(scores.coverage):>28}"
    yield f"  {'calibration error':22}  {'':>28}  {_points(scores.labelled.calibration_error):>28}"
    width = max(5, *map(len, scores.labels))
    yield f"{'class':{width}}  {what:>7}  {'precision':>9}  {'recall':>6}  {'F1':>6}"
    for label, row in _classes(check):
        yield f"{label:{width}}  {row[0]:>7}  {row[1]:>9}  {row[2]:>6}  {row[3]:>6}"
    if confused := most_confused(scores.everything, _CONFUSED):
        yield "most confused: " + ", ".join(f"{truth} as {answer} {number:,}" for truth, answer, number in confused)
    if counts["unlabelled"]:
        yield "without a label: " + ", ".join(f"{reason} {number:,}" for reason, number in check.reasons.items())
    yield from _remarks(check)


def save_results(path: Path, check: MapCheck, *, overwrite: bool) -> None:
    """Write a folder with the figures (``map_check.json``, ``map_check.md``) and their charts, whole or not at all.

    Raises
    ------
    OutputExistsError, InputError
        As `check_folder`.
    OutputError
        The folder cannot be written.
    """
    with replacing_folder(path, marker=FIGURES, overwrite=overwrite) as built:
        _fill(built, check)


def _fill(folder: Path, check: MapCheck) -> None:
    (folder / FIGURES).write_text(
        json.dumps(check.as_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
    confusion_matrix(folder / "confusion.png", check.scores.everything)
    reliability_of_answers(folder / "reliability.png", check.scores.confidence, check.scores.right)
    (folder / PAGE).write_text("\n".join(_markdown(check)).rstrip() + "\n", encoding="utf-8")


def _markdown(check: MapCheck) -> Iterator[str]:
    scores = check.scores
    what = "points" if check.kind == "points" else "tiles"
    yield f"# {Path(check.options.layer_file).name} against {Path(check.options.samples()[0]).name}"
    yield from ("", _basis(check), "", f"| | all {what} with a truth | those with a label |", "|---|---|---|")
    for name, both in _figures(check):
        yield f"| {name} | {both[0]} | {both[1]} |"
    yield f"| coverage | {_share(scores.coverage)} | |"
    yield f"| calibration error | | {_points(scores.labelled.calibration_error)} |"
    yield from ("", "In the first column a tile without a label counts as wrong. Intervals of 95 % take samples for")
    yield from ("independent; neighbours are alike, so the truth is less certain than they say.", "")
    yield from ("## By class", "", f"| class | {what} | precision | recall | F1 |", "|---|---|---|---|---|")
    for label, row in _classes(check):
        yield f"| {_cell(label)} | " + " | ".join(row) + " |"
    if confused := most_confused(scores.everything, _CONFUSED):
        yield from ("", f"## Most confused\n\n| truth | answer | {what} |", "|---|---|---|")
        for truth, answer, number in confused:
            yield f"| {_cell(truth)} | {_cell(answer)} | {number:,} |"
    if scores.hectares is not None:
        yield from ("", "## Area", "", "Hectares of tiles: a row a true class, a column an answer.", "")
        yield "| | " + " | ".join(map(_cell, scores.everything.labels)) + " |"
        yield "|---|" + "---|" * len(scores.everything.labels)
        for label, areas in zip(scores.labels, scores.hectares, strict=True):
            if any(areas):
                yield f"| {_cell(label)} | " + " | ".join(f"{area:,.2f}" if area else "" for area in areas) + " |"
    if remarks := list(_remarks(check)):
        yield from ("", "## Remarks", "")
        yield from (f"- {remark}" for remark in remarks)
    yield from ("", "![Truth against answers](confusion.png)", "", "![Confidence against right](reliability.png)")


def _basis(check: MapCheck) -> str:
    counts = check.counts
    if check.kind == "points":
        return (
            f"points: {counts['samples']:,} in {counts['with_truth']:,} of {counts['tiles']:,} tiles, "
            f"{counts['points_outside']:,} in none"
        )
    return f"{counts['with_truth']:,} of {counts['tiles']:,} tiles have a truth, {counts['without_truth']:,} have none"


def _figures(check: MapCheck) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield each figure of all samples, and of those with a label."""
    scores = check.scores
    everything, labelled = scores.everything, scores.labelled
    yield "accuracy", (_share(everything.accuracy), _share(labelled.accuracy))
    yield "balanced accuracy", (_percent(everything.balanced_accuracy), _percent(labelled.balanced_accuracy))
    if scores.hectares is not None:
        yield (
            "accuracy by area",
            (_percent(scores.area_weighted_accuracy), _percent(scores.area_weighted_accuracy_labelled)),
        )
    yield "macro F1", (_plain(everything.macro_f1), _plain(labelled.macro_f1))
    yield "kappa", (_plain(everything.kappa), _plain(labelled.kappa))


def _classes(check: MapCheck) -> Iterator[tuple[str, tuple[str, str, str, str]]]:
    """Yield the figures of each class that is a truth or an answer: samples, precision, recall, F1."""
    found = check.scores.everything
    for place, label in enumerate(check.scores.labels):
        share, precision = found.by_class[place], found.precision[place]
        if share.of or not math.isnan(precision):
            yield label, (f"{share.of:,}", _percent(precision), _percent(share.value), _plain(found.f1[place]))


def _remarks(check: MapCheck) -> Iterator[str]:
    counts = check.counts
    if check.unknown:
        yield f"no label of the layer, so always wrong: {', '.join(map(repr, check.unknown))}"
    if counts["corrected"]:
        yield f"{counts['corrected']:,} tiles were corrected by hand: this is no test of the model"
    if counts["features_without_class"]:
        yield f"{counts['features_without_class']:,} features without a value of {check.options.field} are left out"
    if counts["features_repaired"]:
        yield f"{counts['features_repaired']:,} invalid geometries of the reference are repaired"


def _share(share: Share) -> str:
    if not share.of:
        return _NONE
    low, high = share.interval
    return f"{100 * share.value:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def _percent(value: float | None) -> str:
    return _NONE if value is None or math.isnan(value) else f"{100 * value:.1f} %"


def _points(value: float) -> str:
    return _NONE if math.isnan(value) else f"{100 * value:.1f} points"


def _plain(value: float) -> str:
    return _NONE if math.isnan(value) else f"{value:.3f}"


def _cell(text: str) -> str:
    """Write a label into a table, where a bar would end the cell."""
    return text.replace("|", "\\|")
