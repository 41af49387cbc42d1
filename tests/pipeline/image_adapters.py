"""An adapter that classifies by the view ``image``, of made features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from bimors_cli.bundle.adapter import WEIGHTS, Adapter, write_adapter_manifest
from bimors_cli.bundle.adapter_views import AdapterViews
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.fewshot.ensemble import Ensemble
from bimors_cli.fewshot.folds import leave_groups_out
from bimors_cli.fewshot.label_sets import LeftOut
from bimors_cli.fewshot.storage import ensemble_arrays, left_out_arrays
from bimors_cli.fewshot.unlikeness import Unlikeness
from bimors_cli.fewshot.view_classifier import fit_view
from bimors_cli.pipeline.adapter_ensemble import LEFT_OUT

WIDTH = 32  # of the features of the tiny bundle


def write_image_adapter(
    folder: Path, bundle: Bundle, labels: Sequence[str], *, groups: int = 12, compares: bool = True
) -> Adapter:
    """Write an adapter of two examples a group; without ``compares`` it knows nothing of unlike tiles."""
    random = np.random.default_rng(0)
    group = np.repeat(np.arange(groups), 2)
    own = group % len(labels)
    values = random.normal(0, 1, (len(group), WIDTH)) + 3 * np.eye(WIDTH)[own]
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    folds = leave_groups_out([str(each) for each in group], own, 0)
    fitted = fit_view("features", values, own, np.ones(len(own)), len(labels), folds)
    view, left_out = fitted.classifier, LeftOut(fitted.left_out, own, group)
    unlike = {"image": Unlikeness.fit(values, own, folds)} if compares else {}
    folder.mkdir(exist_ok=True)
    arrays = ensemble_arrays(Ensemble({"image": view}, {"image": 1.0}), unlike)
    answers = {LEFT_OUT + name: array for name, array in left_out_arrays(left_out).items()}
    save_file({**arrays, **answers}, folder / WEIGHTS)
    return write_adapter_manifest(
        folder,
        bundle,
        name="images",
        head="views",
        labels=labels,
        temperature=1.0,
        training={},
        views=AdapterViews(("image",)),
    )
