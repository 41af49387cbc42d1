"""How a head learns: what it begins with, the loop, its cache, its temperature. The same for finetune and evaluate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.labels import Labels
from bimors_cli.model.cache import Cache, search
from bimors_cli.model.evidence import Evidence, FrozenModels
from bimors_cli.model.heads import Head
from bimors_cli.model.prompt_learner import PromptLearner
from bimors_cli.model.trainable import make_head, new_learner
from bimors_cli.training.calibration import fit_temperature
from bimors_cli.training.loop import Material, Training, answer, train
from bimors_cli.training.recipe import HeadChoice, Recipe


@dataclass(frozen=True)
class Lesson:
    """What a head learns from.

    ``whole`` is the evidence of the whole pictures of ``material``, in its order. ``validation`` chooses the epoch, the
    cache's numbers and the temperature; targets int64 [M].
    """

    material: Material
    whole: Evidence
    validation: tuple[Evidence, torch.Tensor] | None


def begin(
    choice: HeadChoice, models: FrozenModels, bundle: Bundle, labels: Labels, lesson: Lesson, recipe: Recipe
) -> tuple[Training, Head]:
    """Make an untrained head and its training, at epoch 0.

    Raises
    ------
    LabelsError, BundleError
        See `make_head`.
    """
    learner: nn.Module = new_learner(
        choice.head, models, bundle.context, classes=len(labels), tokens=choice.tokens, seed=recipe.seed
    )
    if isinstance(learner, PromptLearner):
        if choice.start_at_random:
            learner.start_at_random(recipe.seed)
        learner.caption_projection.requires_grad_(not choice.freeze_caption_projection)
    if choice.half:
        learner.half()
    if choice.cache or choice.head == "cache":
        scale = float(models.clip.scale) / bundle.zero_shot_temperature
        cache = Cache.of(lesson.whole.image_feature, lesson.material.target, len(labels), scale)
        learner.add_module("cache", cache.to(models.device))
    head = make_head(choice.head, models.clip, labels, learner, words=bundle.context, trained=labels.names)
    return Training.begin(learner, recipe), head


def learn(
    training: Training,
    head: Head,
    lesson: Lesson,
    recipe: Recipe,
    bundle: Bundle,
    after_epoch: Callable[[Training], None] = lambda training: None,
) -> float:
    """Train a head to the end and freeze it at its best epoch.

    Parameters
    ----------
    training, head
        Of `begin`; changed in place.
    lesson, recipe, bundle
        As there.
    after_epoch : callable
        See `train`.

    Returns
    -------
    float
        The temperature, fitted on validation; without validation the zero-shot head's.
    """
    sharpness = bundle.zero_shot_temperature
    train(head, training, lesson.material, lesson.validation, recipe, sharpness, after_epoch)
    learner = training.learner
    learner.load_state_dict(training.best)
    learner.eval().requires_grad_(False)
    if lesson.validation is None:
        return sharpness
    evidence, target = lesson.validation
    cache = dict(learner.named_children()).get("cache")
    if isinstance(cache, Cache):
        base = answer(head, evidence) - cache(evidence.image_feature)
        alpha, beta = search(base, evidence.image_feature, target, cache.keys, cache.values)
        cache.alpha.fill_(alpha)
        cache.beta.fill_(beta)
    return fit_temperature(answer(head, evidence).cpu(), target.cpu())


def learned_parameters(training: Training) -> int:
    """Count the numbers that the optimiser changes, or changed."""
    return sum(p.numel() for group in training.optimiser.param_groups for p in group["params"])
