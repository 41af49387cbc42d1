"""An ensemble as named arrays, as an adapter stores it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from bimors_cli.fewshot.ensemble import Ensemble
from bimors_cli.fewshot.gda import Gda
from bimors_cli.fewshot.kernel_ridge import Kernel, KernelRidge
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
        found[f"{name}.unlikeness.weights"] = unlike.weights
    return found


def read_ensemble(arrays: Mapping[str, npt.NDArray[np.float64]]) -> tuple[Ensemble, dict[str, Unlikeness]]:
    """Make an ensemble of the arrays of `ensemble_arrays`.

    Raises
    ------
    KeyError
        An array is missing.
    ValueError
        The arrays of a view do not fit together.
    """
    names = [name.removesuffix(".weight") for name in arrays if name.endswith(".weight")]
    names.sort()
    views = {name: _read_view(_parts(arrays, f"{name}.")) for name in names}
    unlike = {}
    for name in names:
        parts = _parts(arrays, f"{name}.unlikeness.")
        if parts:
            unlike[name] = _read_unlikeness(parts)
    return Ensemble(views, {name: float(arrays[f"{name}.weight"]) for name in names}), unlike


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
        scaling = Scaling(parts["scaling.centre"], parts["scaling.scale"])
    members: list[Member] = []
    if f"{_ANSWERS}.temperature" in parts:
        members.append(Member(None, float(parts[f"{_ANSWERS}.temperature"])))
    if f"{_GDA}.weights" in parts:
        gda = Gda(parts[f"{_GDA}.weights"], parts[f"{_GDA}.bias"])
        if gda.weights.ndim != 2 or gda.bias.shape != gda.weights.shape[1:]:
            raise ValueError("the discriminant analysis has arrays of different sizes")
        members.append(Member(gda, float(parts[f"{_GDA}.temperature"])))
    for kernel in _KERNELS:
        if f"{kernel}.coefficients" in parts:
            coefficients, centres = parts[f"{kernel}.coefficients"], parts["centres"]
            if len(coefficients) != len(centres):
                raise ValueError("the kernel ridge has arrays of different sizes")
            ridge = KernelRidge(kernel, centres, coefficients, float(parts[f"{kernel}.bandwidth"]))
            members.append(Member(ridge, float(parts[f"{kernel}.temperature"])))
    if not members:
        raise KeyError("a view without a classifier")
    return ViewClassifier(scaling, tuple(members), float(parts["temperature"]))


def _read_unlikeness(parts: Mapping[str, npt.NDArray[np.float64]]) -> Unlikeness:
    scores, weights = parts["scores"], parts["weights"]
    if scores.shape != weights.shape:
        raise ValueError("the unlikeness has arrays of different sizes")
    return Unlikeness(parts["centres"], float(parts["bandwidth"]), scores, weights)


def _parts(arrays: Mapping[str, npt.NDArray[np.float64]], prefix: str) -> dict[str, npt.NDArray[np.float64]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
