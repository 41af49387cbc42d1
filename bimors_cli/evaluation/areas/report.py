"""The figures of a sample as text: sentences and tables, for the console and the page."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bimors_cli.evaluation.areas.assessment import SampleAssessment
from bimors_cli.evaluation.areas.estimators import Estimate
from bimors_cli.output.style import NO_LABEL_NAME

AREA_COLUMNS = ("class", "mapped ha", "estimated ha", "user's accuracy", "producer's accuracy")
_UNKNOWN = "unknown"
_NONE = "-"


def lines(found: SampleAssessment) -> Iterator[str]:
    """Yield the lines of the summary."""
    yield from facts(found)
    rows = [AREA_COLUMNS, *area_rows(found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(AREA_COLUMNS))]
    for label, *cells in rows:
        numbers = (f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        yield f"{label:{widths[0]}}  {'  '.join(numbers)}"
    yield "in brackets: 95 % intervals"


def facts(found: SampleAssessment) -> Iterator[str]:
    """Yield what was assessed, from how many tiles, and the overall accuracy."""
    yield f"{found.finished:,} tiles with a reference, {found.design.method} sample of {found.hectares:,.1f} ha"
    if found.layer_file is not None:
        yield f"map: {found.layer_file}, in the strata of the draw"
    if left := [
        f"{count:,} {what}"
        for count, what in (
            (found.unfinished, "without a reference"),
            (found.cannot_tell, "of unclear class"),
            (found.deleted, "deleted from the layer"),
        )
        if count
    ]:
        yield f"left out: {', '.join(left)}; the estimates hold if these are not harder than the others"
    yield f"overall accuracy {percent(found.overall)}"


def area_rows(found: SampleAssessment) -> list[tuple[str, ...]]:
    """Return the cells of `AREA_COLUMNS`, a row a class."""
    decimals = 1 if found.hectares >= 10 else 4
    return [
        (
            one.label,
            _UNKNOWN if math.isnan(one.mapped_ha) else f"{one.mapped_ha:,.{decimals}f}",
            _hectares(one.area_ha, decimals),
            percent(one.users),
            percent(one.producers),
        )
        for one in found.classes
    ]


def confusion_rows(found: SampleAssessment) -> list[tuple[str, ...]]:
    """Return rows of the confusion matrix: class of the map, then for each reference class tiles and percent of area.

    A class without tiles has an empty cell. The first row has the names.
    """
    labels = [one.label for one in found.classes]
    rows = [("map \\ reference", *labels)]
    for name, counts, parts in zip([*labels, NO_LABEL_NAME], found.confusion, found.proportions, strict=True):
        cells = (f"{n:,} ({100 * part:.2f} %)" if n else "" for n, part in zip(counts, parts, strict=True))
        rows.append((name, *cells))
    return rows


def doubts(found: SampleAssessment) -> Iterator[str]:
    """Yield what makes the figures doubtful, and what to do."""
    if found.alone:
        yield (
            f"one finished tile in the stratum {', '.join(found.alone)}: its variance is unknown; "
            "fill in the reference of another of its tiles"
        )
    if found.design.min_distance_m:
        yield "tiles with a least distance are not drawn with equal probability: the estimates are approximate"
    if found.design.method == "systematic":
        yield "the intervals of a systematic sample are those of a random one: they are rather too wide"
    if any(math.isnan(one.mapped_ha) for one in found.classes):
        yield (
            f"mapped areas are unknown: the sample does not record which {found.design.excluded:,} tiles "
            "bimors sample left out of the draw"
        )
    for one in found.strata:
        if 1 < one.finished < min(10, one.stratum.tiles):
            yield f"only {one.finished} finished tiles in the stratum {one.stratum.name}: use 50 or more"


def percent(value: Estimate) -> str:
    """Return an accuracy with its interval in percent."""
    if math.isnan(value.value):
        return _NONE
    if math.isnan(value.se):
        return f"{100 * value.value:.1f} % ({_UNKNOWN})"
    return f"{100 * value.value:.1f} % ({100 * value.low:.1f} to {100 * value.high:.1f})"


def _hectares(value: Estimate, decimals: int) -> str:
    if math.isnan(value.se):
        return f"{value.value:,.{decimals}f} ({_UNKNOWN})"
    return f"{value.value:,.{decimals}f} ({value.low:,.{decimals}f} to {value.high:,.{decimals}f})"
