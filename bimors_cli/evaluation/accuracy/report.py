"""Console summary and result files of an accuracy assessment."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bimors_cli.evaluation.accuracy.assess import SCORES, Assessment
from bimors_cli.metrics.charts import confidence_reliability_diagram, confusion_matrix
from bimors_cli.metrics.scores import Proportion, most_confused
from bimors_cli.output.atomic import replacing_folder

PAGE = "map_check.md"
_CONFUSED: Final = 5
_NONE: Final = "-"
_BY_HAND: Final = (
    "these places were chosen by hand: accuracy of these places only; draw a sample with bimors sample for areas"
)


def lines(assessment: Assessment) -> Iterator[str]:
    """Yield the lines of the console summary."""
    scores, counts = assessment.scores, assessment.counts
    what = "points" if assessment.kind == "points" else "tiles"
    yield _sample_counts(assessment)
    yield f"  {'':22}  {'all samples':>28}  {'labelled samples':>28}"
    for name, both in _figures(assessment):
        yield f"  {name:22}  {both[0]:>28}  {both[1]:>28}"
    yield f"  {'coverage':22}  {_with_interval(scores.coverage):>28}"
    yield f"  {'calibration error':22}  {'':>28}  {_percentage_points(scores.labelled.calibration_error):>28}"
    width = max(5, *map(len, scores.labels))
    yield f"{'class':{width}}  {what:>7}  {'precision':>9}  {'recall':>6}  {'F1':>6}"
    for label, row in _classes(assessment):
        yield f"{label:{width}}  {row[0]:>7}  {row[1]:>9}  {row[2]:>6}  {row[3]:>6}"
    if confused := most_confused(scores.all_samples, _CONFUSED):
        yield "most confused: " + ", ".join(
            f"{reference} as {mapped} {number:,}" for reference, mapped, number in confused
        )
    if counts["unlabelled"]:
        yield "without a label: " + ", ".join(
            f"{reason or 'no reason recorded'} {number:,}" for reason, number in assessment.reasons.items()
        )
    yield from _remarks(assessment)
    yield _BY_HAND


def save_results(path: Path, assessment: Assessment, *, overwrite: bool) -> None:
    """Write a folder with the scores (``map_check.json``, ``map_check.md``) and their charts, whole or not at all.

    Raises
    ------
    OutputExistsError, InputError
        As `check_folder`.
    OutputError
        The folder cannot be written.
    """
    with replacing_folder(path, marker=SCORES, overwrite=overwrite) as built:
        _fill(built, assessment)


def _fill(folder: Path, assessment: Assessment) -> None:
    (folder / SCORES).write_text(
        json.dumps(assessment.as_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
    confusion_matrix(folder / "confusion.png", assessment.scores.all_samples)
    confidence_reliability_diagram(folder / "reliability.png", assessment.scores.confidence, assessment.scores.correct)
    (folder / PAGE).write_text("\n".join(_markdown(assessment)).rstrip() + "\n", encoding="utf-8")


def _markdown(assessment: Assessment) -> Iterator[str]:
    scores = assessment.scores
    what = "points" if assessment.kind == "points" else "tiles"
    yield f"# {Path(assessment.options.layer_file).name} against {Path(assessment.options.samples()[0]).name}"
    yield from ("", _sample_counts(assessment), "")
    yield from (f"| | all {what} with a reference class | those with a label |", "|---|---|---|")
    for name, both in _figures(assessment):
        yield f"| {name} | {both[0]} | {both[1]} |"
    yield f"| coverage | {_with_interval(scores.coverage)} | |"
    yield f"| calibration error | | {_percentage_points(scores.labelled.calibration_error)} |"
    yield from ("", _BY_HAND[0].upper() + _BY_HAND[1:] + ".")
    yield from ("", "In the first column a tile without a label counts as an error. The 95 % intervals assume")
    yield from ("independent samples; neighbouring tiles are correlated, so the real intervals are wider.", "")
    yield from ("## By class", "", f"| class | {what} | precision | recall | F1 |", "|---|---|---|---|---|")
    for label, row in _classes(assessment):
        yield f"| {_cell(label)} | " + " | ".join(row) + " |"
    if confused := most_confused(scores.all_samples, _CONFUSED):
        yield from ("", f"## Most confused\n\n| reference class | map class | {what} |", "|---|---|---|")
        for reference, mapped, number in confused:
            yield f"| {_cell(reference)} | {_cell(mapped)} | {number:,} |"
    if scores.hectares is not None:
        yield from (
            "",
            "## Area of these places",
            "",
            "Hectares of tiles with a reference class. Rows are reference classes, columns are map classes.",
            "",
        )
        yield "| | " + " | ".join(map(_cell, scores.all_samples.labels)) + " |"
        yield "|---|" + "---|" * len(scores.all_samples.labels)
        for label, areas in zip(scores.labels, scores.hectares, strict=True):
            if any(areas):
                yield f"| {_cell(label)} | " + " | ".join(f"{area:,.2f}" if area else "" for area in areas) + " |"
    if remarks := list(_remarks(assessment)):
        yield from ("", "## Remarks", "")
        yield from (f"- {remark}" for remark in remarks)
    yield from ("", "![Confusion matrix](confusion.png)", "", "![Reliability diagram](reliability.png)")


def _sample_counts(assessment: Assessment) -> str:
    counts = assessment.counts
    if assessment.kind == "points":
        return (
            f"points: {counts['samples']:,} in {counts['with_truth']:,} of {counts['tiles']:,} tiles, "
            f"{counts['points_outside']:,} outside all tiles"
        )
    return f"{counts['with_truth']:,} of {counts['tiles']:,} tiles have a reference class"


def _figures(assessment: Assessment) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the name of each score, its value for all samples, and for those with a label."""
    scores = assessment.scores
    all_samples, labelled = scores.all_samples, scores.labelled
    yield "accuracy", (_with_interval(all_samples.accuracy), _with_interval(labelled.accuracy))
    yield "balanced accuracy", (_percent(all_samples.balanced_accuracy), _percent(labelled.balanced_accuracy))
    if scores.hectares is not None:
        yield (
            "accuracy by area",
            (_percent(scores.area_weighted_accuracy), _percent(scores.area_weighted_accuracy_labelled)),
        )
    yield "macro F1", (_plain(all_samples.macro_f1), _plain(labelled.macro_f1))


def _classes(assessment: Assessment) -> Iterator[tuple[str, tuple[str, str, str, str]]]:
    """Yield the scores of each class that the reference or the map has: samples, precision, recall, F1."""
    scores = assessment.scores.all_samples
    for index, label in enumerate(scores.labels[:-1]):
        recall, precision = scores.by_class[index], scores.precision[index]
        if recall.total or not math.isnan(precision):
            yield label, (f"{recall.total:,}", _percent(precision), _percent(recall.value), _plain(scores.f1[index]))


def _remarks(assessment: Assessment) -> Iterator[str]:
    counts = assessment.counts
    if unknown := ", ".join(map(repr, assessment.unknown_classes)):
        yield f"classes that are not labels of the layer, counted as errors: {unknown}"
    if counts["corrected"]:
        yield f"{counts['corrected']:,} tiles were edited by hand: the scores are not those of the model"
    if counts["features_without_class"]:
        yield f"{counts['features_without_class']:,} features without {assessment.options.field} were left out"
    if counts["features_repaired"]:
        yield f"{counts['features_repaired']:,} invalid geometries of the reference were repaired"


def _with_interval(proportion: Proportion) -> str:
    if not proportion.total:
        return _NONE
    low, high = proportion.interval
    return f"{100 * proportion.value:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def _percent(value: float | None) -> str:
    return _NONE if value is None or math.isnan(value) else f"{100 * value:.1f} %"


def _percentage_points(value: float) -> str:
    return _NONE if math.isnan(value) else f"{100 * value:.1f} points"


def _plain(value: float) -> str:
    return _NONE if math.isnan(value) else f"{value:.3f}"


def _cell(text: str) -> str:
    """Escape a label for a Markdown table."""
    return text.replace("|", "\\|")
