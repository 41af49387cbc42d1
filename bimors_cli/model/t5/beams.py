"""Beam search: which sequences continue, which are finished, and the best of these.

The rules are those of transformers' ``generate`` (``GenerationMixin._beam_search`` of 5.x): from the 2 x beams best
continuations of an image, those of the first ``beams`` that end are finished, and the best ``beams`` of those that do
not end continue. Nothing is reordered: a step stores the parent and the token of each beam, and the caption is read
backwards along the parents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch

from bimors_cli.model.t5.settings import BeamSettings

# A score that no sequence has.
_NEVER = -1.0e9
# Largest number of words in a group of `top_words`; a power of two.
_GROUP = 16


@dataclass(frozen=True)
class Beams:
    """The search of B images after a step.

    Attributes
    ----------
    scores : torch.Tensor
        Sum of log probabilities of the sequences that continue, float32 [B, beams], the best first.
    tokens, parents : torch.Tensor
        Last token of each of them, and the beam of the previous step that it continues, int64 [B, beams].
    finished : torch.Tensor
        Scores of the best finished sequences, divided by the length penalty: float32 [B, beams].
    is_finished : torch.Tensor
        Which of these exist, bool [B, beams].
    origins : torch.Tensor
        Where they ended: (step x beams + beam) x words + token, int64 [B, beams].
    is_open : torch.Tensor
        Images whose unfinished sequences may become better than the finished ones, bool [B, 1].
    is_lost : torch.Tensor
        Images with a NaN among the scores of a step, bool [B].
    """

    scores: torch.Tensor
    tokens: torch.Tensor
    parents: torch.Tensor
    finished: torch.Tensor
    is_finished: torch.Tensor
    origins: torch.Tensor
    is_open: torch.Tensor
    is_lost: torch.Tensor

    def copy(self, images: int) -> Beams:
        """Return a copy of the first images' search."""
        return Beams(*(getattr(self, field.name)[:images].clone() for field in fields(self)))


def first_beams(images: int, settings: BeamSettings, device: torch.device) -> Beams:
    """Return the search of B images before its first step: one beam, the start token."""
    shape = (images, settings.beams)
    return Beams(
        scores=torch.zeros(images, 1, device=device),
        tokens=torch.full((images, 1), settings.start, device=device),
        parents=torch.zeros(images, 1, dtype=torch.int64, device=device),
        finished=torch.full(shape, _NEVER, device=device),
        is_finished=torch.zeros(shape, dtype=torch.bool, device=device),
        origins=torch.zeros(shape, dtype=torch.int64, device=device),
        is_open=torch.ones(images, 1, dtype=torch.bool, device=device),
        is_lost=torch.zeros(images, dtype=torch.bool, device=device),
    )


def advance(beams: Beams, logits: torch.Tensor, step: int, settings: BeamSettings) -> Beams:
    """Return the search after a step.

    Parameters
    ----------
    beams : Beams
        Before the step.
    logits : torch.Tensor
        Of the next words, float32 [B, present beams, words]; may be overwritten.
    step : int
        From 0.
    """
    words = logits.shape[2]
    logp = logits.log_softmax(-1)
    if step < settings.shortest:
        for end in settings.ends:
            logp[:, :, end] = -torch.inf
    values, beam, token = top_words(logp, beams.scores, settings.candidates)
    # torch.topk sorts NaN first, so a NaN among the scores is among the best.
    is_lost = beams.is_lost | values.isnan().any(dim=1)
    ends = _is_one_of(token, settings.ends) if step + 1 < settings.steps else torch.ones_like(token, dtype=torch.bool)

    going = torch.where(ends, values + _NEVER, values).topk(settings.beams)[1]
    scores = values.gather(1, going)

    best = slice(settings.beams)  # of the continuations; the others only replace those that end
    is_new = ends[:, best] & ~_are_complete(beams, settings)
    ended = torch.where(is_new, values[:, best] / (step + 1) ** settings.length_penalty, 2 * _NEVER)
    finished, kept = torch.cat((beams.finished, ended), 1).topk(settings.beams)
    is_finished = torch.cat((beams.is_finished, is_new), 1).gather(1, kept)
    origins = (step * settings.beams + beam[:, best]) * words + token[:, best]

    longest = settings.steps if settings.early_stopping == "never" and settings.length_penalty > 0 else step + 1
    worst = torch.where(is_finished.all(1, keepdim=True), finished[:, -1:], _NEVER)
    return Beams(
        scores=scores,
        tokens=token.gather(1, going),
        parents=beam.gather(1, going),
        finished=finished,
        is_finished=is_finished,
        origins=torch.cat((beams.origins, origins), 1).gather(1, kept),
        is_open=beams.is_open & (scores[:, :1] / longest**settings.length_penalty > worst),
        is_lost=is_lost,
    )


def are_complete(beams: Beams, settings: BeamSettings) -> torch.Tensor:
    """Return which images have their caption: bool [B]. Further steps do not change it."""
    return _are_complete(beams, settings)[:, 0]


def _are_complete(beams: Beams, settings: BeamSettings) -> torch.Tensor:
    closed = ~beams.is_open
    return closed | beams.is_finished.all(1, keepdim=True) if settings.early_stopping is True else closed


def top_words(logp: torch.Tensor, scores: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the best continuations of each image.

    The best ``count`` words are in the ``count`` groups with the best maxima, so that only these are sorted: maxima are
    one quick pass, and sorting all words of all beams takes several times as long.

    Parameters
    ----------
    logp : torch.Tensor
        Log probabilities of the next words, float32 [B, beams, words].
    scores : torch.Tensor
        Of the beams, float32 [B, beams].
    count : int
        At most ``words``.

    Returns
    -------
    values, beam, word : torch.Tensor
        float32 and int64 [B, count], the best first. NaN is sorted before all numbers.
    """
    words = logp.shape[2]
    # Group g has the words g, g + groups, g + 2 groups, ...
    maxima, groups = logp, words
    while groups % 2 == 0 and words // groups < _GROUP:
        groups //= 2
        maxima = torch.maximum(maxima[..., :groups], maxima[..., groups:])
    size = words // groups
    maxima = (maxima + scores[..., None]).flatten(1)
    chosen = maxima.topk(min(count, maxima.shape[1]), sorted=False)[1]
    beam, group = chosen // groups, chosen % groups
    word = group[..., None] + torch.arange(0, words, groups, device=logp.device)
    found = logp.flatten(1).gather(1, (beam[..., None] * words + word).flatten(1)).view(word.shape)
    values, order = (found + scores.gather(1, beam)[..., None]).flatten(1).topk(count)
    return values, beam.gather(1, order // size), word.flatten(1).gather(1, order)


def read_captions(steps: Sequence[Beams], settings: BeamSettings, words: int) -> torch.Tensor:
    """Return the tokens of the best finished sequence of each image, without the start token.

    Parameters
    ----------
    steps : sequence of Beams
        After each step; the last is of the last step, or all images are complete.
    settings : BeamSettings
        Of the search.
    words : int
        Size of the vocabulary.

    Returns
    -------
    torch.Tensor
        int64 [B, steps] on the CPU; ``settings.fill`` follows the end of a caption.
    """
    tokens, parents = torch.stack([torch.stack((step.tokens, step.parents)) for step in steps], 1).cpu()
    origin = steps[-1].origins[:, :1].cpu()
    token, beam, last = origin % words, origin // words % settings.beams, origin // words // settings.beams
    captions = torch.full((len(origin), len(steps)), settings.fill)
    for step in reversed(range(len(steps))):
        column = captions[:, step : step + 1]
        column.copy_(torch.where(last == step, token, torch.where(last > step, tokens[step].gather(1, beam), column)))
        beam = torch.where(last > step, parents[step].gather(1, beam), beam)
    return captions


def _is_one_of(token: torch.Tensor, ends: Sequence[int]) -> torch.Tensor:
    found = token == ends[0]
    for end in ends[1:]:
        found |= token == end
    return found
