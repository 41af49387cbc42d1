"""The beam search of a batch: the decoder's steps, and which of its rows each beam sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch.nn import functional as F

from bimors_cli.model.t5.beams import Beams, advance, are_complete, first_beams
from bimors_cli.model.t5.decoder import Caches, T5Decoder
from bimors_cli.model.t5.settings import BeamSettings

# To learn whether all images are complete, the CPU has to wait for a GPU: it asks after every so many steps.
_STEPS_BETWEEN_CHECKS: Final = 4


@dataclass(frozen=True)
class Progress:
    """The search after a step. ``visible`` is 0 for the ancestors of a beam and minus infinity for the other rows of
    its image, [B, beams, rows].
    """

    beams: Beams
    visible: torch.Tensor


class T5Search:
    """The search with one decoder; holds no state of a batch.

    Parameters
    ----------
    decoder : T5Decoder
        The decoder.
    settings : BeamSettings
        Of the search.
    """

    def __init__(self, decoder: T5Decoder, settings: BeamSettings) -> None:
        self.decoder = decoder
        self.settings = settings
        self._distances = decoder.distances(settings.steps, settings.beams)
        own = torch.full((settings.beams, settings.beams), -torch.inf, dtype=decoder.dtype, device=decoder.device)
        self._own_row = own.fill_diagonal_(0)

    def run(self, states: torch.Tensor) -> list[Beams]:
        """Return the search after each step, for the encoder's output [B, S, D]."""
        images, length, _ = states.shape
        caches = self.new_caches(images, length)
        progress = self.start(states, caches)
        steps: list[Beams] = []
        while not self.is_over(steps):
            progress = self.step(progress, caches, len(steps))
            steps.append(progress.beams)
        return steps

    def new_caches(self, images: int, length: int) -> Caches:
        """Return caches for B images and S states of the encoder; their content is undefined."""
        return self.decoder.new_caches(images, self.settings.beams, self.settings.steps, length)

    def start(self, states: torch.Tensor, caches: Caches) -> Progress:
        """Store the encoder's output [B, S, D]; return the search before the first step."""
        self.decoder.encode(states, caches)
        images = len(states)
        return Progress(first_beams(images, self.settings, states.device), states.new_zeros(images, 1, 1))

    def step(self, progress: Progress, caches: Caches, step: int) -> Progress:
        """Return the search after a step; ``step`` counts from 0."""
        beams, visible = progress.beams, progress.visible
        if step > 0:
            images, before, rows = visible.shape
            parents = beams.parents + torch.arange(0, images * before, before, device=visible.device)[:, None]
            inherited = F.embedding(parents, visible.view(-1, rows))
            visible = torch.cat((inherited, self._own_row.expand(images, -1, -1)), 2)
        bias = visible[:, None] + self._distances[step][:, None]
        logits = self.decoder.step(beams.tokens, bias, caches, step)
        return Progress(advance(beams, logits, step, self.settings), visible)

    def is_over(self, steps: Sequence[Beams]) -> bool:
        """Return whether further steps would not change a caption; on a GPU this is found out a few steps late."""
        count = len(steps)
        if count in (0, self.settings.steps):
            return count > 0
        if self.decoder.device.type != "cpu" and count % _STEPS_BETWEEN_CHECKS:
            return False
        return bool(are_complete(steps[-1], self.settings).all())
