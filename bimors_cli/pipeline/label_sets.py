"""The sets of labels of a run: whether its adapter can keep the promised coverage, and the rule that makes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from bimors_cli.bundle.adapter import Adapter
from bimors_cli.errors import InputError
from bimors_cli.fewshot.label_sets import (
    LabelSets,
    LeftOut,
    empty_rate,
    fit_label_sets,
    largest_coverage,
    places_needed,
)
from bimors_cli.fewshot.probabilities import merged
from bimors_cli.labels import match_labels
from bimors_cli.model.priors import apply_priors
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.pipeline.adapter_ensemble import read_adapter_ensemble, read_adapter_left_out
from bimors_cli.pipeline.plan import Plan

_HINT: Final = "add --adapter DIR, of an adapter that bimors finetune --head auto wrote"
_ROUNDING: Final = 1e-9


def make_label_sets(
    options: ClassifyOptions, adapter: Adapter | None, priors: Sequence[float] = ()
) -> LabelSets | None:
    """Return the rule that makes the sets of a run; None without ``--coverage``.

    The answers for left-out examples become probabilities of the user's labels as those of the tiles do, with the
    priors of the run. Examples of classes that are not among these labels do not take part.

    Raises
    ------
    InputError
        There is no adapter, it does not classify by views, it was written by an earlier version, or its examples are in
        too few places for this coverage.
    BundleError
        The weights of the adapter are damaged.
    """
    if options.coverage is None:
        return None
    if adapter is None or adapter.views is None:
        who = "without an adapter there are none" if adapter is None else f"the adapter {adapter.name} has none"
        raise InputError(f"--coverage needs answers for examples that were left out: {who}", _HINT)
    left_out = read_adapter_left_out(adapter)
    if left_out is None:
        raise InputError(
            f"--coverage: the adapter {adapter.name} does not store the answers for its left-out examples",
            "run bimors finetune again",
        )
    columns = match_labels(options.labels, adapter.labels)
    label_of = np.full(len(adapter.labels), -1)
    for label, some in enumerate(columns):
        label_of[list(some)] = label
    labels = label_of[left_out.labels]
    rows = labels >= 0
    known = np.array([bool(some) for some in columns])
    if rows.any():
        probabilities = apply_priors(merged(left_out.log_p[rows], columns), priors)
        empty = _empty_rate(options.coverage, options.unlike_examples, adapter)
        sets = fit_label_sets(probabilities, labels[rows], left_out.places[rows], known, options.coverage, empty)
        if sets is not None:
            return sets
    places = len(np.unique(left_out.places[rows]))
    raise _too_few(options.coverage, options.unlike_examples or 0.0, adapter, places)


def coverage_warnings(plan: Plan) -> list[str]:
    """Return lines about what ``--coverage`` cannot promise; empty without it."""
    sets, found = plan.label_sets, []
    if sets is None or plan.adapter is None:
        return []
    left_out = read_adapter_left_out(plan.adapter)
    if left_out is not None and left_out.together:
        found.append(
            f"--coverage {_percent(sets.coverage)}: the classes of the adapter {plan.adapter.name} were drawn in one "
            "place each: fewer sets than promised will hold the true label elsewhere; draw each class in several places"
        )
    if sets.unproven:
        names = ", ".join(plan.options.labels.names[label] for label in sets.unproven)
        found.append(
            f"--coverage {_percent(sets.coverage)} is not promised for tiles of {names}: all examples are in one "
            "place; draw it in several places"
        )
    return found


def promise_lines(sets: LabelSets, names: tuple[str, ...]) -> tuple[str, ...]:
    """Say what a run promises of its sets, and what that rests on."""
    basis = f"from {sets.examples:,} examples in {sets.places:,} places"
    lines = [f"coverage: {_percent(sets.coverage)} promised, {basis}"]
    alone = ", ".join(names[label] for label in sets.alone)
    together = ", ".join(names[label] for label in sets.together)
    if alone:
        lines.append(f"  for each of: {alone}")
    if together:
        lines.append(f"  together, in the proportions of the examples, as each has too few places: {together}")
    if not sets.empty_rate:
        needed = places_needed((1 - sets.coverage) / 4)
        lines.append(f"  no set is empty: that a tile is unlike all examples would need {needed:,} places")
    return tuple(lines)


def possible_coverage(left_out: LeftOut, names: tuple[str, ...]) -> str | None:
    """Say which coverage an adapter can promise, by the places of its examples; None where none could be left out."""
    if not left_out.num_places:
        return None
    by_label = ", ".join(f"{name} {count:,}" for name, count in zip(names, left_out.places_by_label(), strict=True))
    most = _percent_down(largest_coverage(left_out.num_places))
    return f"up to {most} % coverage, from {len(left_out.labels):,} examples in places: {by_label}"


def _empty_rate(coverage: float, asked: float | None, adapter: Adapter) -> float:
    views = read_adapter_ensemble(adapter)[1].values()
    if asked is not None or not views:
        return asked or 0.0
    # Each of several views may give a false alarm, see `ViewTileClassifier.unlike`.
    return empty_rate(1 - coverage, max(view.least_rate for view in views) * len(views))


def _too_few(coverage: float, unlike: float, adapter: Adapter, places: int) -> InputError:
    needed = places_needed(1 - coverage - unlike)
    less = f" with --unlike-examples {unlike:g}" if unlike else ""
    most = _percent_down(largest_coverage(places) - unlike) if places else 0
    return InputError(
        f"--coverage {_percent(coverage)}{less} needs examples in {needed:,} places (polygons, or blocks "
        f"of neighbouring tiles); the adapter {adapter.name} has left-out examples in {places:,} places",
        (f"use --coverage {most}% or less, or " if most > 0 else "")
        + f"draw examples in {needed - places:,} more places and run bimors finetune again",
    )


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _percent_down(share: float) -> int:
    return math.floor(100 * share + _ROUNDING)
