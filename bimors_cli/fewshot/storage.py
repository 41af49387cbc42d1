"""An ensemble as named arrays, as an adapter stores it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bimors_cli.fewshot.ensemble import Ensemble
from bimors_cli.fewshot.gda import Gda
from bimors_cli.fewshot.kernel_ridge import Kernel, KernelRidge
from bimors_cli.fewshot.label_sets import LeftOut
from bimors_cli.fewshot.scaling import Scaling
from bimors_cli.fewshot.unlikeness import Unlikeness
from bimors_cli.fewshot.view_classifier import Member, ViewClassifier

_KERNELS: tuple[Kernel, ...] = ("gaussian", "laplace")
_GDA, _ANSWERS = "gda", "answers"

Arrays = dict[str, npt.NDArray[np.float64]]


def ensemble_arrays(ensemble: Ensemble, unlikeness: Mapping[str, Unlikeness]) -> Arrays:
    """Return the arrays of an ensemble, and of the unlikeness of views, by name: ``VIEW.PART``."""
    found: Arrays = {}
    for name, view in ensemble.views.items():
        found |= {f"{name}.{part}": np.asarray(value, np.float64) for part, value in _view_arrays(view)}
        found[f"{name}.weight"] = np.asarray(ensemble.weights[name], np.float64)
    for name, unlike in unlikeness.items():
        found[f"{name}.unlikeness.centres"] = unlike.centres
        found[f"{name}.unlikeness.bandwidth"] = np.asarray(unlike.bandwidth, np.float64)
        found[f"{name}.unlikeness.scores"] = unlike.scores
        if unlike.shares is not None:
            found[f"{name}.unlikeness.shares"] = unlike.shares
    return found


def read_ensemble(
    arrays: Mapping[str, npt.NDArray[np.float64]], classes: int | None = None
) -> tuple[Ensemble, dict[str, Unlikeness]]:
    """Make an ensemble of the arrays of `ensemble_arrays`, for so many classes if that is known.

    Raises
    ------
    KeyError
        An array is missing.
    ValueError
        The arrays of a view do not fit together.
    """
    names = sorted(name.removesuffix(".weight") for name in arrays if name.endswith(".weight"))
    if not names:
        raise KeyError("no views")
    views = {name: _read_view(_parts(arrays, f"{name}.")) for name in names}
    counts = {count for view in views.values() for count in _classes(view)}
    if len(counts) > 1 or (classes is not None and counts - {classes}):
        raise ValueError("the classifiers have different numbers of classes")
    unlike = {}
    for name in names:
        parts = _parts(arrays, f"{name}.unlikeness.")
        if parts:
            scores, centres = _array(parts["scores"], 1), _array(parts["centres"], 2)
            if {centres.shape[1]} != _widths(views[name]):
                raise ValueError("the unlikeness of a view has another number of values")
            shares = _array(parts["shares"], 1, *scores.shape) if "shares" in parts else None
            unlike[name] = Unlikeness(centres, _positive(parts["bandwidth"]), scores, shares)
    return Ensemble(views, {name: _number(arrays[f"{name}.weight"]) for name in names}), unlike


def left_out_arrays(left_out: LeftOut) -> dict[str, npt.NDArray[Any]]:
    """Return the answers for left-out examples as arrays by name."""
    return {
        "log_probabilities": left_out.log_p.astype(np.float32),
        "labels": left_out.labels.astype(np.int64),
        "places": left_out.places.astype(np.int64),
        "together": np.asarray(int(left_out.together), np.int64),
    }


def read_left_out(arrays: Mapping[str, npt.NDArray[Any]], classes: int) -> LeftOut:
    """Make answers of the arrays of `left_out_arrays`, for so many classes.

    Raises
    ------
    KeyError
        An array is missing.
    ValueError
        The arrays do not fit together, or to the classes.
    """
    log_p = _array(arrays["log_probabilities"], 2)
    labels, places = (_array(arrays[name], 1, len(log_p)).astype(np.intp) for name in ("labels", "places"))
    if log_p.shape[1] != classes or not ((labels >= 0) & (labels < classes)).all():
        raise ValueError("the answers for left-out examples are of other classes")
    return LeftOut(log_p, labels, places, bool(_number(arrays["together"])))


def _view_arrays(view: ViewClassifier) -> Iterator[tuple[str, npt.NDArray[np.float64] | float]]:
    yield "temperature", view.temperature
    if view.scaling is not None:
        yield "scaling.centre", view.scaling.centre
        yield "scaling.scale", view.scaling.scale
    for member in view.members:
        head = member.head
        if head is None:
            yield f"{_ANSWERS}.temperature", member.temperature
        elif isinstance(head, Gda):
            yield f"{_GDA}.weights", head.weights
            yield f"{_GDA}.bias", head.bias
            yield f"{_GDA}.temperature", member.temperature
        else:
            # Both kernels have the same centres: stored once.
            yield "centres", head.centres
            yield f"{head.kernel}.coefficients", head.coefficients
            yield f"{head.kernel}.bandwidth", head.bandwidth
            yield f"{head.kernel}.temperature", member.temperature


def _read_view(parts: Mapping[str, npt.NDArray[np.float64]]) -> ViewClassifier:
    scaling = None
    if "scaling.centre" in parts:
        centre = _array(parts["scaling.centre"], 1)
        scaling = Scaling(centre, _array(parts["scaling.scale"], 1, *centre.shape))
        if (scaling.scale <= 0).any():
            raise ValueError("a scale is not positive")
    members: list[Member] = []
    if f"{_ANSWERS}.temperature" in parts:
        members.append(Member(None, _positive(parts[f"{_ANSWERS}.temperature"])))
    if f"{_GDA}.weights" in parts:
        weights = _array(parts[f"{_GDA}.weights"], 2)
        gda = Gda(weights, _array(parts[f"{_GDA}.bias"], 1, weights.shape[1]))
        members.append(Member(gda, _positive(parts[f"{_GDA}.temperature"])))
    for kernel in _KERNELS:
        if f"{kernel}.coefficients" in parts:
            centres = _array(parts["centres"], 2)
            coefficients = _array(parts[f"{kernel}.coefficients"], 2, len(centres))
            ridge = KernelRidge(kernel, centres, coefficients, _positive(parts[f"{kernel}.bandwidth"]))
            members.append(Member(ridge, _positive(parts[f"{kernel}.temperature"])))
    if not members:
        raise KeyError("a view without a classifier")
    view = ViewClassifier(scaling, tuple(members), _positive(parts["temperature"]))
    if len(_widths(view)) > 1:
        raise ValueError("the classifiers of a view have different numbers of values")
    return view


def _widths(view: ViewClassifier) -> set[int]:
    heads = [member.head for member in view.members]
    found = {len(head.weights) for head in heads if isinstance(head, Gda)}
    found |= {head.centres.shape[1] for head in heads if isinstance(head, KernelRidge)}
    return found if view.scaling is None else {*found, len(view.scaling.centre)}


def _classes(view: ViewClassifier) -> Iterator[int]:
    for member in view.members:
        if member.head is not None:
            yield (member.head.weights if isinstance(member.head, Gda) else member.head.coefficients).shape[1]


def _array(value: npt.NDArray[np.float64], dimensions: int, *shape: int) -> npt.NDArray[np.float64]:
    """Return an array whose shape starts so."""
    if value.ndim != dimensions or value.shape[: len(shape)] != shape:
        raise ValueError(f"an array has the shape {value.shape}")
    if not np.isfinite(value).all():
        raise ValueError("an array has infinite or NaN numbers")
    return value


def _number(value: npt.NDArray[np.float64]) -> float:
    return float(_array(value, 0))


def _positive(value: npt.NDArray[np.float64]) -> float:
    number = _number(value)
    if number <= 0:
        raise ValueError(f"{number} is not positive")
    return number


def _parts(arrays: Mapping[str, npt.NDArray[np.float64]], prefix: str) -> dict[str, npt.NDArray[np.float64]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
