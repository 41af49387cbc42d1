"""Fits and chooses the views of an adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bimors_cli.fewshot.ensemble import Ensemble, Selection, select_views
from bimors_cli.fewshot.expected_accuracy import ExpectedAccuracy, expected_accuracy
from bimors_cli.fewshot.folds import Folds, leave_groups_out
from bimors_cli.fewshot.label_sets import LeftOut
from bimors_cli.fewshot.probabilities import Labels, class_weights
from bimors_cli.fewshot.scaling import Scaling
from bimors_cli.fewshot.unlikeness import Unlikeness
from bimors_cli.fewshot.view_classifier import ENOUGH, FittedView, fit_view
from bimors_cli.options.views import INPUT_PRICES, VIEWS
from bimors_cli.training.examples.base import Example
from bimors_cli.training.views.carriers import Carrier, band_carriers, view_carriers
from bimors_cli.training.views.collect import Values


@dataclass(frozen=True)
class Learned:
    """An ensemble, and what is known of it.

    Attributes
    ----------
    ensemble : Ensemble
        The chosen views.
    selection : Selection
        What was tried.
    expected : ExpectedAccuracy or None
        The accuracy to expect; None where no example can be left out.
    unlikeness : mapping of str to Unlikeness
        Of the first of the chosen views.
    views_of_class, bands_of_class : list of list of Carrier
        By class what carries it, best first.
    folds : Folds
        What was left out together.
    together : bool
        Examples that were drawn together were left out separately, as nearly all classes were drawn in one place: the
        figures are too optimistic.
    left_out : LeftOut
        The answers of the chosen views for left-out examples, for sets of labels.
    """

    ensemble: Ensemble
    selection: Selection
    expected: ExpectedAccuracy | None
    unlikeness: Mapping[str, Unlikeness]
    views_of_class: list[list[Carrier]]
    bands_of_class: list[list[Carrier]]
    folds: Folds
    together: bool
    left_out: LeftOut


def learn(
    views: Mapping[str, Values],
    examples: Sequence[Example],
    classes: int,
    start: Sequence[str],
    usual: Mapping[str, Values],
    band_of_number: tuple[str, ...] = (),
    seed: int = 1,
) -> Learned:
    """Fit every view, and choose.

    Parameters
    ----------
    views : mapping of str to float32 array [n, d]
        The views of the examples.
    examples : sequence of Example
        Their labels, weights and groups; an example without a group is one of its own.
    classes : int
        K, the number of classes.
    start : sequence of str
        The views to start with, see `select_views`.
    usual : mapping of str to float32 array [m, d]
        Statistics of tiles of the scenes, by which those of the examples are scaled.
    band_of_number : tuple of str
        The band of each number of the view ``bands``.
    seed : int
        Draws which groups are left out together.
    """
    labels = np.array([example.label for example in examples], np.intp)
    weights = class_weights(labels, np.array([example.weight for example in examples], np.float64), classes)
    groups, folds, together = _leave_out(examples, labels, seed)
    fitted: dict[str, FittedView] = {}
    for name, values in views.items():
        scaling = Scaling.of(usual[name].astype(np.float64)) if name in usual else None
        fitted[name] = fit_view(VIEWS[name].kind, values, labels, weights, classes, folds, scaling)
    inputs = {name: VIEWS[name].inputs for name in fitted}
    selection = select_views(fitted, inputs, INPUT_PRICES, start, labels, weights, folds, groups)
    chosen = selection.chosen
    ensemble = Ensemble(
        {name: fitted[name].classifier for name in chosen.views},
        dict(zip(chosen.views, chosen.weights, strict=True)),
    )
    first = next((name for name in chosen.views if VIEWS[name].kind != "answers"), None)
    unlikeness = {}
    if first is not None:
        scaled = fitted[first].classifier.scaled(views[first])
        unlikeness[first] = Unlikeness.fit(scaled, labels, folds, seed)
    bands: list[list[Carrier]] = [[] for _ in range(classes)]
    if "bands" in fitted and band_of_number:
        scaled = fitted["bands"].classifier.scaled(views["bands"])
        bands = band_carriers(scaled, band_of_number, labels, weights, classes, folds)
    return Learned(
        ensemble,
        selection,
        expected_accuracy(selection.left_out, labels, weights, folds, groups),
        unlikeness,
        view_carriers({name: view.left_out for name, view in fitted.items()}, labels, folds, classes),
        bands,
        folds,
        together,
        _left_out(selection, labels, folds, together),
    )


def _left_out(selection: Selection, labels: Labels, folds: Folds, together: bool) -> LeftOut:
    """Return the answers for the examples whose class has others when their fold is left out."""
    rows = folds.answered
    places = np.arange(len(rows)) if folds.group_of is None else folds.group_of
    return LeftOut(selection.left_out[rows], labels[rows], places[rows], together)


def _leave_out(examples: Sequence[Example], labels: Labels, seed: int) -> tuple[list[str], Folds, bool]:
    """Return the groups of examples, the folds, and whether they divide what was drawn together.

    Groups are what was drawn together (polygons); if the classes have only one of them each, blocks of neighbouring
    tiles; if they have only one of these, single examples.
    """
    alone = [f"\0{row}" for row in range(len(examples))]
    drawn = [example.group or own for example, own in zip(examples, alone, strict=True)]
    blocks = [example.spatial_block or own for example, own in zip(examples, alone, strict=True)]
    folds = leave_groups_out(drawn, labels, seed)
    if int(folds.answered.sum()) >= ENOUGH:
        return drawn, folds, False
    for groups in (blocks, alone):
        finer = leave_groups_out(groups, labels, seed)
        if int(finer.answered.sum()) >= ENOUGH:
            return groups, finer, True
    return drawn, folds, False
