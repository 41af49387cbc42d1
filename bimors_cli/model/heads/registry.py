"""The heads that can be trained, in one table: how each one's learner begins, and how it answers.

A learner is the module with what is trained; its ``state_dict`` is an adapter's weights. Any learner may have a cache
as its child ``cache``, whose logits are then added to the head's own:

    learner.add_module("cache", Cache.of(features, target, classes))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from bimors_cli.labels import Labels, match_labels
from bimors_cli.model.clip import Clip
from bimors_cli.model.evidence import FrozenModels
from bimors_cli.model.heads.base import Head
from bimors_cli.model.heads.bimors import BimorsHead, PromptLearner, PromptLearnerWidths
from bimors_cli.model.heads.cocoop import CocoopHead, CocoopLearner
from bimors_cli.model.heads.coop import CoopHead, CoopLearner
from bimors_cli.model.heads.linear_probe import LinearHead, LinearLearner
from bimors_cli.model.heads.tip_adapter import TipAdapterCache, TipAdapterHead
from bimors_cli.model.heads.zero_shot import ZeroShotHead

# CoOp's, for context tokens that start without a word.
WORDLESS_STD = 0.02


@dataclass(frozen=True)
class HeadInit:
    """What a new learner follows from: ``words`` that the prompt begins with, ``tokens`` of context, K ``classes``."""

    models: FrozenModels
    words: str
    tokens: int | None
    classes: int

    def context(self) -> torch.Tensor:
        """Token embeddings [M, D] of the words: their last M tokens, or all of them behind random ones."""
        words = self.models.clip.embed_words(self.words).cpu()
        tokens = len(words) if self.tokens is None else self.tokens
        if tokens < 1:
            raise ValueError(f"{tokens} context tokens; at least 1")
        missing = max(0, tokens - len(words))
        wordless = WORDLESS_STD * torch.randn(missing, words.shape[1])
        return torch.cat((wordless, words[len(words) + missing - tokens :]))


@dataclass(frozen=True)
class HeadEntry:
    """A kind of head: ``begin`` makes its learner, ``answer`` the head.

    ``answer`` takes CLIP, the user's labels, the learner, the words that the zero-shot prompt begins with, and the
    places of the labels among those trained on.
    """

    begin: Callable[[HeadInit], nn.Module]
    answer: Callable[[Clip, Labels, Any, str, Sequence[Sequence[int]]], Head]


HEADS: Mapping[str, HeadEntry] = {
    "bimors": HeadEntry(
        lambda start: _prompt_learner(start),
        lambda clip, labels, learner, words, known: BimorsHead(clip, labels, learner),
    ),
    "coop": HeadEntry(
        lambda start: CoopLearner(start.context()),
        lambda clip, labels, learner, words, known: CoopHead(clip, labels, learner),
    ),
    "cocoop": HeadEntry(
        lambda start: CocoopLearner(start.context(), _image_width(start.models)),
        lambda clip, labels, learner, words, known: CocoopHead(clip, labels, learner),
    ),
    "cache": HeadEntry(  # nothing but the cache is learned, on top of zero-shot with the words that others begin with
        lambda start: nn.Module(),
        lambda clip, labels, learner, words, known: ZeroShotHead(clip, labels, [f"{words} {{}}."]),
    ),
    "linear": HeadEntry(
        lambda start: LinearLearner(_image_width(start.models), start.classes),
        lambda clip, labels, learner, words, known: LinearHead(labels, learner, known),
    ),
}


def make_learner(
    head: str, models: FrozenModels, words: str, *, classes: int, tokens: int | None = None, seed: int = 0
) -> nn.Module:
    """Make an untrained learner, in float32 on the models' device.

    Parameters
    ----------
    head : str
        A key of `HEADS`. The learner of ``cache`` is empty: give it its cache.
    models : FrozenModels
        Their widths shape it.
    words : str
        The words that a prompt begins with, ``a photo of a``; the context starts as their token embeddings.
    classes : int
        K, the number of labels.
    tokens : int, optional
        M, the number of context tokens, if not that of the words: fewer are the last of them; what is more stands
        before them and is random, as in CoOp.
    seed : int
        Of what starts random; torch's own generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        learner = HEADS[head].begin(HeadInit(models, words, tokens, classes))
    return learner.to(models.device)


def empty_cache(models: FrozenModels, examples: int, classes: int) -> TipAdapterCache:
    """Return a cache of zeros, to be loaded."""
    shape = torch.zeros(examples, _image_width(models)), torch.zeros(examples, classes)
    return TipAdapterCache(*shape).to(models.device)


def make_head(head: str, clip: Clip, labels: Labels, learner: nn.Module, *, words: str, trained: Sequence[str]) -> Head:
    """Make the head that answers with a learner for the user's labels.

    Parameters
    ----------
    head : str
        A key of `HEADS`.
    clip : Clip
        The frozen CLIP.
    labels : Labels
        The user's.
    learner : nn.Module
        Of `make_learner` with this head; gradients flow to it.
    words : str
        As for `make_learner`.
    trained : sequence of str
        The labels that the learner was trained on, in its order.

    Raises
    ------
    LabelsError
        A label is too long for the text tower, or the head cannot answer with labels that it was not trained on.
    BundleError
        The text tower cannot take learned prompts.
    """
    known = match_labels(labels, trained)
    answer = HEADS[head].answer(clip, labels, learner, words, known)
    cache = dict(learner.named_children()).get("cache")
    if isinstance(cache, TipAdapterCache):
        return TipAdapterHead(answer, cache, known)
    if head == "cache":
        raise ValueError("the head cache needs a learner with a cache")
    return answer


def count_trained(module: nn.Module) -> int:
    """Count the numbers that training changes."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _prompt_learner(start: HeadInit) -> PromptLearner:
    context = start.context()
    widths = PromptLearnerWidths(
        context=len(context),
        text=context.shape[1],
        patch=start.models.clip.patch_width,
        caption=start.models.caption_encoder.width,
    )
    return PromptLearner(widths, context)


def _image_width(models: FrozenModels) -> int:
    """E; image and text features have one width."""
    return models.clip.read(["a"]).shape[1]
