"""The console summary of the accuracy and areas that a sample gives."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bimors_cli.evaluation.areas.assess_sample import SampleAssessment
from bimors_cli.evaluation.areas.estimators import Estimate


def lines(found: SampleAssessment) -> Iterator[str]:
    """Yield the lines of the summary."""
    yield f"{found.finished:,} tiles with a reference, {found.design.method} sample"
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
    yield f"overall accuracy {_percent(found.overall)}"
    width = max(5, *(len(one.label) for one in found.classes))
    yield f"{'class':{width}}  {'mapped ha':>12}  {'estimated ha':>26}  {'users':>18}  {'producers':>18}"
    for one in found.classes:
        area = _plain(one.area_ha)
        yield (
            f"{one.label:{width}}  {one.mapped_ha:>12,.1f}  {area:>26}  {_percent(one.users):>18}  "
            f"{_percent(one.producers):>18}"
        )
    yield "± is half the width of a 95 % interval"
    if found.alone:
        yield (
            f"warning: one finished tile in the stratum {', '.join(found.alone)}: its variance is unknown; "
            "fill in the reference of another of its tiles"
        )
    if found.design.min_distance_m:
        yield "warning: tiles with a least distance are not drawn with equal probability: the estimates are approximate"


def _percent(value: Estimate) -> str:
    if math.isnan(value.value):
        return "-"
    half = "unknown" if math.isnan(value.se) else f"{100 * value.half_width:.1f}"
    return f"{100 * value.value:.1f} % ± {half}"


def _plain(value: Estimate) -> str:
    half = "unknown" if math.isnan(value.se) else f"{value.half_width:,.1f}"
    return f"{value.value:,.1f} ± {half}"
