"""Reads the classifiers of an adapter that classifies by views."""

from __future__ import annotations

from typing import Final

from safetensors import SafetensorError
from safetensors.numpy import load_file

from bimors_cli.bundle.adapter import Adapter
from bimors_cli.errors import BundleError
from bimors_cli.fewshot.ensemble import Ensemble
from bimors_cli.fewshot.label_sets import LeftOut
from bimors_cli.fewshot.storage import read_ensemble, read_left_out
from bimors_cli.fewshot.unlikeness import Unlikeness

# Prefix of the arrays of a prompt learner, see `bimors_cli.pipeline.inference.view_prompts`.
LEARNER: Final = "learner/"
# Prefix of the answers for left-out examples.
LEFT_OUT: Final = "left-out/"


def read_adapter_ensemble(adapter: Adapter) -> tuple[Ensemble, dict[str, Unlikeness]]:
    """Read the ensemble of an adapter, and by view how unlike each other its examples are.

    Raises
    ------
    BundleError
        The weights are damaged, or of other views than the manifest says.
    """
    try:
        stored = load_file(adapter.weights).items()
        arrays = {name: array for name, array in stored if not name.startswith((LEARNER, LEFT_OUT))}
        ensemble, unlikeness = read_ensemble(arrays, len(adapter.labels))
    except (SafetensorError, KeyError, ValueError) as error:
        raise BundleError(f"{adapter.weights}: damaged: {error}") from error
    if adapter.views is None or not set(ensemble.views) <= set(adapter.views.names):
        raise BundleError(f"{adapter.weights}: damaged: other views than those of the manifest")
    return ensemble, unlikeness


def read_adapter_left_out(adapter: Adapter) -> LeftOut | None:
    """Read the answers for examples that were left out; None for an adapter of a version that did not store them.

    Raises
    ------
    BundleError
        The weights are damaged.
    """
    try:
        stored = load_file(adapter.weights).items()
        arrays = {name.removeprefix(LEFT_OUT): array for name, array in stored if name.startswith(LEFT_OUT)}
        return read_left_out(arrays, len(adapter.labels)) if arrays else None
    except (SafetensorError, KeyError, ValueError) as error:
        raise BundleError(f"{adapter.weights}: damaged: {error}") from error
