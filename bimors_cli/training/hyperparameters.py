"""Configuration of a trainable head and of its training, with default values."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class HeadConfig:
    """The head to train, and its initialization.

    Attributes
    ----------
    head : str
        A ``stored_name`` of `bimors_cli.options.heads.HEADS`.
    cache : bool
        Whether the logits of a Tip-Adapter cache are added to those of the head.
    tokens : int, optional
        Number of context tokens; None for as many as the context words of the bundle have.
    freeze_caption_projection, start_at_random, half : bool
        Deviations of the published implementation: the caption projection is random and not trained, the attention
        starts with random weights that change the prompt, and the learner is stored and trained in float16.
    """

    head: str
    cache: bool = False
    tokens: int | None = None
    freeze_caption_projection: bool = False
    start_at_random: bool = False
    half: bool = False


@dataclass(frozen=True)
class TrainConfig:
    """Hyperparameters of a training run. The defaults are those of the published implementation of BiMoRS.

    The learning rate is ``warm_rate`` in the warm-up epochs, then ``rate``, which falls to 0 along half a cosine.
    """

    epochs: int = 10
    rate: float = 0.009
    batch_size: int = 4
    seed: int = 1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warm_epochs: int = 1
    warm_rate: float = 1e-5

    def rate_in(self, epoch: int) -> float:
        """Learning rate of an epoch; epochs are counted from 0."""
        if epoch < self.warm_epochs:
            return self.warm_rate
        # As in the published schedule, the cosine runs over all epochs; the warm-up replaces the first of them.
        return 0.5 * self.rate * (1 + math.cos(math.pi * (epoch - self.warm_epochs) / max(1, self.epochs)))
