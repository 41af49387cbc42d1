"""A linear probe: one affine map from the image feature to the labels that it was trained on, and to no others."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from bimors_cli.errors import LabelsError
from bimors_cli.labels import Labels
from bimors_cli.model.heads.base import Head, HeadFeatures, max_over_synonyms


class LinearLearner(nn.Module):
    """W sqrt(E) f + b for normalised image features f.

    A normalised feature's entries are about 1 / sqrt(E); the root brings them to the size that learning rates for a
    linear layer are made for. Without it the probe hardly moves in the epochs that prompts need (measured on WHU-RS19,
    16 shots: cross-entropy 2.6 instead of 0.05). It starts at zero: every label alike.

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
    """The probe's answer for the user's labels, all of which it must know.

    Parameters
    ----------
    labels : Labels
        Of the user.
    learner : LinearLearner
        The trained probe.
    places : sequence of sequence of int
        The places of each label among the learner's rows, see `bimors_cli.labels.match_labels`; of several the
        row that answers loudest counts.

    Raises
    ------
    LabelsError
        The probe was not trained on some of the labels; they are named.
    """

    def __init__(self, labels: Labels, learner: LinearLearner, places: Sequence[Sequence[int]]) -> None:
        unknown = [repr(name) for name, some in zip(labels.names, places, strict=True) if not some]
        if unknown:
            shown = ", ".join(unknown[:5]) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
            raise LabelsError(
                f"{labels.source}: a linear adapter answers only with labels that it was trained on, not {shown}",
                "leave them out, or use an adapter with another head",
            )
        self._learner = learner
        self._rows = torch.tensor([place for some in places for place in some])
        self._owners = [owner for owner, some in enumerate(places) for _ in some]

    def answer(self, gist: HeadFeatures) -> torch.Tensor:
        answer: torch.Tensor = self._learner(gist.image_feature.to(self._learner.linear.weight.dtype))
        rows = answer[:, self._rows.to(answer.device)]
        count = self._owners[-1] + 1
        return rows if len(self._owners) == count else max_over_synonyms(rows, self._owners, count)
