"""Reads the classifiers of an adapter that classifies by views."""

from __future__ import annotations

from typing import Final

from safetensors import SafetensorError
from safetensors.numpy import load_file

from bimors_cli.bundle.adapter import Adapter
from bimors_cli.errors import BundleError
from bimors_cli.fewshot.ensemble import Ensemble
from bimors_cli.fewshot.storage import read_ensemble
from bimors_cli.fewshot.unlikeness import Unlikeness

# Prefix of the arrays of a prompt learner, see `bimors_cli.pipeline.inference.view_prompts`.
LEARNER: Final = "learner/"


def read_adapter_ensemble(adapter: Adapter) -> tuple[Ensemble, dict[str, Unlikeness]]:
    """Read the ensemble of an adapter, and by view how unlike each other its examples are.

    Raises
    ------
    BundleError
        The weights are damaged, or of other views than the manifest says.
    """
    try:
        arrays = {name: array for name, array in load_file(adapter.weights).items() if not name.startswith(LEARNER)}
        ensemble, unlikeness = read_ensemble(arrays, len(adapter.labels))
    except (SafetensorError, KeyError, ValueError) as error:
        raise BundleError(f"{adapter.weights}: damaged: {error}") from error
    if adapter.views is None or not set(ensemble.views) <= set(adapter.views.names):
        raise BundleError(f"{adapter.weights}: damaged: other views than those of the manifest")
    return ensemble, unlikeness
