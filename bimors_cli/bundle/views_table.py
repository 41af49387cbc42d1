"""Tables of the views that were tried for an adapter, from its metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

# Bands or views shown of a class.
_CARRIERS: Final = 3


def table_lines(candidates: Sequence[Mapping[str, Any]], title: str) -> Iterator[str]:
    """Format the sets of views that were tried, with a mark at the chosen one."""
    names = [" + ".join(candidate["views"]) for candidate in candidates]
    width = max(len(title) - 3, *map(len, names))
    yield f"{title:{width + 3}} {'right':>8} {'log loss':>9}"
    for name, candidate in zip(names, candidates, strict=True):
        mark = "*" if candidate["chosen"] else " "
        right = "-" if candidate["accuracy"] is None else f"{100 * candidate['accuracy']:.1f} %"
        loss = "-" if candidate["log_loss"] is None else f"{candidate['log_loss']:.3f}"
        yield f" {mark} {name:{width}} {right:>8} {loss:>9}"


def carrier_lines(carriers: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Iterator[str]:
    """Format what carries each class: bands alone, or views, with the area under the ROC curve."""
    yield "what separates a class from the others (area under the ROC curve, 50 is chance):"
    for name, found in carriers.items():
        best = list((found["bands"] or found["views"]).items())[:_CARRIERS]
        if best:
            yield f"   {name}: " + ", ".join(f"{what} {100 * area:.0f}" for what, area in best)
