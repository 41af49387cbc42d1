"""Linear probe: one affine map from the image feature to the labels that it was trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from bimors_cli.errors import LabelsError
from bimors_cli.labels import Labels
from bimors_cli.model.heads.base import Head, HeadFeatures, HeadInit, HeadSetup, max_over_synonyms


class LinearLearner(nn.Module):
    """W sqrt(E) f + b for normalised image features f.

    The entries of a normalised feature are about 1 / sqrt(E); the root scales them to the range that learning rates of
    linear layers assume. Without it the probe hardly changes in the epochs that prompts need (measured on WHU-RS19, 16
    shots: cross-entropy 2.6 instead of 0.05). It is initialised with zeros: all labels are equally probable.

    Parameters
    ----------
    image : int
        E, the width of the image feature.
    classes : int
        K, the number of labels.
    """

    def __init__(self, image: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(image, classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, image_feature: torch.Tensor) -> torch.Tensor:
        """Logits [B, K] of normalised image features [B, E]."""
        out: torch.Tensor = self.linear(image_feature * math.sqrt(self.linear.in_features))
        return out


class LinearHead(Head):
    """Logits of the probe for the user's labels, all of which it was trained on.

    Parameters
    ----------
    labels : Labels
        The user's labels.
    learner : LinearLearner
        The trained probe.
    columns : sequence of sequence of int
        The indices of each label among the learner's outputs, see `bimors_cli.labels.match_labels`; of several outputs
        the largest counts.

    Raises
    ------
    LabelsError
        The probe was not trained on some of the labels; the message names them.
    """

    def __init__(self, labels: Labels, learner: LinearLearner, columns: Sequence[Sequence[int]]) -> None:
        unknown = [repr(name) for name, some in zip(labels.names, columns, strict=True) if not some]
        if unknown:
            shown = ", ".join(unknown[:5]) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
            raise LabelsError(
                f"{labels.source}: a linear adapter classifies only into labels that it was trained on, not {shown}",
                "remove these labels, or use an adapter with another head",
            )
        self._learner = learner
        self._columns = torch.tensor([column for some in columns for column in some])
        self._label_of_column = [label for label, some in enumerate(columns) for _ in some]

    def logits(self, features: HeadFeatures) -> torch.Tensor:
        outputs: torch.Tensor = self._learner(features.image_feature.to(self._learner.linear.weight.dtype))
        logits = outputs[:, self._columns.to(outputs.device)]
        labels = self._label_of_column
        count = labels[-1] + 1
        return logits if len(labels) == count else max_over_synonyms(logits, labels, count)


def make_learner(init: HeadInit) -> LinearLearner:
    """Return an untrained learner."""
    return LinearLearner(init.feature_width, init.classes)


def make_head(setup: HeadSetup) -> LinearHead:
    """Return the head for the user's labels."""
    return LinearHead(setup.labels, setup.learner, setup.columns)
