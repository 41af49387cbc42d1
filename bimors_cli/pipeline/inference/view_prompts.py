"""The prompts among the views of an adapter: a prompt learner, stored with the classifiers of the views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file
from torch import nn

from bimors_cli.bundle.adapter import Adapter
from bimors_cli.errors import BundleError
from bimors_cli.labels import Labels
from bimors_cli.model.frozen_models import FrozenModels
from bimors_cli.model.heads.base import Head
from bimors_cli.model.heads.registry import make_head, make_learner
from bimors_cli.pipeline.adapter_ensemble import LEARNER

# The head whose answer is the view `prompts`.
PROMPTS_HEAD: Final = "bimors"


def learner_arrays(state: Mapping[str, torch.Tensor]) -> dict[str, NDArray[np.float32]]:
    """Return the parameters of a prompt learner as an adapter stores them."""
    return {f"{LEARNER}{name}": value.detach().float().cpu().numpy() for name, value in state.items()}


def prompts_head(models: FrozenModels, labels: Labels, learner: nn.Module) -> Head:
    """Make the head of a learner for the labels that it was trained on.

    Raises
    ------
    LabelsError
        A label is too long for the text tower.
    BundleError
        The text tower cannot take learned prompts.
    """
    return make_head(
        PROMPTS_HEAD, models.clip, labels, learner, words=models.bundle.context, trained=list(labels.names)
    )


def load_prompts(adapter: Adapter, models: FrozenModels, labels: Labels) -> Head:
    """Load the prompts of an adapter, for the labels of its training.

    Raises
    ------
    LabelsError
        As `prompts_head`.
    BundleError
        The weights are damaged, or do not match the bundle.
    """
    try:
        state = {
            name.removeprefix(LEARNER): torch.from_numpy(array)
            for name, array in load_file(adapter.weights).items()
            if name.startswith(LEARNER)
        }
        learner = make_learner(PROMPTS_HEAD, models, models.bundle.context, classes=len(labels))
        learner.load_state_dict(state, strict=True)
    except (SafetensorError, RuntimeError, TypeError, ValueError, KeyError) as error:
        why = str(error).splitlines()[-1].strip()
        raise BundleError(f"{adapter.weights}: does not match the bundle: {why}") from error
    return prompts_head(models, labels, learner.eval().requires_grad_(False))
