"""Which head is trained and how: the numbers, and what they are by default."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class HeadConfig:
    """Which head learns, and what it begins with.

    Attributes
    ----------
    head : str
        A ``stored_name`` of `bimors_cli.options.heads.HEADS`.
    cache : bool
        Whether a cache's logits are added to its own.
    tokens : int, optional
        Context tokens, if not as many as the bundle's words have.
    freeze_caption_projection, start_at_random, half : bool
        As in the published implementation: the caption projection stays random, the attention adds something before it
        has learned anything, the learner is kept and trained in float16.
    """

    head: str
    cache: bool = False
    tokens: int | None = None
    freeze_caption_projection: bool = False
    start_at_random: bool = False
    half: bool = False


@dataclass(frozen=True)
class TrainConfig:
    """One training run. The defaults are those of the published implementation of BiMoRS.

    ``rate`` is reached after the warm-up epochs at ``warm_rate`` and falls to nothing along half a cosine.
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
        """Learning rate of an epoch, counted from 0."""
        if epoch < self.warm_epochs:
            return self.warm_rate
        # As in the official schedule the cosine runs over all epochs, of which the warm-up hides the first.
        return 0.5 * self.rate * (1 + math.cos(math.pi * (epoch - self.warm_epochs) / max(1, self.epochs)))
