"""The zero-shot head: plain CLIP, nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from bimors_cli.labels import Labels
from bimors_cli.model.clip import Clip
from bimors_cli.model.heads.base import Head, HeadFeatures, cosine_logits


class ZeroShotHead(Head):
    """Cosine between the image feature and the text feature of "a photo of a LABEL."; the text is encoded once.

    With several templates a name's text feature is the mean over them, normalised, as in CLIP's own evaluation
    (Radford et al. 2021, arXiv 2103.00020, section 3.1.4).

    Parameters
    ----------
    clip : Clip
        The frozen CLIP.
    labels : Labels
        K labels.
    templates : sequence of str
        At least one text with ``{}`` as the placeholder of the name.

    Raises
    ------
    LabelsError, InputError
        A label or a template is too long for the text tower.
    """

    def __init__(self, clip: Clip, labels: Labels, templates: Sequence[str]) -> None:
        self._clip = clip
        self._labels = labels
        prompts = clip.prompts(labels, templates)
        if len(templates) == 1:
            text = clip.encode_text(prompts)
        else:
            each = clip.encode_short_text(prompts).unflatten(0, (-1, len(templates)))
            text = functional.normalize(each.mean(dim=1), dim=-1)
        self._text = text.unsqueeze(0)

    def logits(self, features: HeadFeatures) -> torch.Tensor:
        return cosine_logits(self._clip, self._labels, features, self._text)
