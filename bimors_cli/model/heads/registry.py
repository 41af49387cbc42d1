"""Heads and learners by name: the rows of `bimors_cli.options.heads.HEADS` resolved to code.

A learner is the module that is trained; its ``state_dict`` is an adapter's weights. Any learner can have a Tip-Adapter
cache as its child ``cache``, whose logits are added to those of the head:

    learner.add_module("cache", TipAdapterCache.of(features, target, classes))
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from bimors_cli.labels import Labels, match_labels
from bimors_cli.model.clip import Clip
from bimors_cli.model.frozen_models import FrozenModels
from bimors_cli.model.heads.base import Head, HeadInit, HeadSetup
from bimors_cli.model.heads.tip_adapter import TipAdapterCache, TipAdapterHead
from bimors_cli.options.heads import find_head


def make_learner(
    head: str, models: FrozenModels, words: str, *, classes: int, tokens: int | None = None, seed: int = 0
) -> nn.Module:
    """Make an untrained learner, in float32 on the models' device.

    Parameters
    ----------
    head : str
        A name of `bimors_cli.options.heads.HEADS`. The learner of ``tip-adapter`` is empty: add its cache.
    models : FrozenModels
        Their sizes shape it.
    words : str
        The words that a prompt begins with, ``a photo of a``; their token embeddings initialise the context.
    classes : int
        K, the number of labels.
    tokens : int, optional
        M, the number of context tokens, by default that of the words. Fewer tokens are the last ones of the words;
        additional ones stand before them and are random, as in CoOp.
    seed : int
        Seed of random initialisation; the state of torch's own generator is restored.

    Raises
    ------
    KeyError
        No head has that name.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        learner: nn.Module = find_head(head).load("make_learner")(HeadInit(models, words, tokens, classes))
    return learner.to(models.device)


def make_head(head: str, clip: Clip, labels: Labels, learner: nn.Module, *, words: str, trained: Sequence[str]) -> Head:
    """Make the head that classifies into the user's labels with a learner.

    Parameters
    ----------
    head : str
        A name of `bimors_cli.options.heads.HEADS`.
    clip : Clip
        The frozen CLIP.
    labels : Labels
        The user's labels.
    learner : nn.Module
        From `make_learner` with the same head; gradients flow to it.
    words : str
        As for `make_learner`.
    trained : sequence of str
        The labels that the learner was trained on, in its order.

    Raises
    ------
    KeyError
        No head has that name.
    LabelsError
        A label is too long for the text tower, or the head cannot classify into labels that it was not trained on.
    BundleError
        The text tower cannot take learned prompts.
    """
    entry = find_head(head)
    columns = match_labels(labels, trained)
    base: Head = entry.load("make_head")(HeadSetup(clip, labels, learner, words, columns))
    cache = dict(learner.named_children()).get("cache")
    if isinstance(cache, TipAdapterCache):
        return TipAdapterHead(base, cache, columns)
    if entry.needs_tip_adapter:
        raise ValueError(f"the head {entry.name} needs a learner with a cache")
    return base


def count_trained(module: nn.Module) -> int:
    """Count the trainable parameters."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
