"""The training loop: a head learns from evidence that was gathered beforehand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from bimors_cli.labels import Labels
from bimors_cli.model.evidence import EncoderOutputs, FrozenModels
from bimors_cli.model.heads.base import Head
from bimors_cli.model.heads.bimors import PromptLearner
from bimors_cli.model.heads.registry import make_head, make_learner
from bimors_cli.model.heads.tip_adapter import TipAdapterCache, search
from bimors_cli.options.heads import find_head
from bimors_cli.training.calibration import fit_temperature
from bimors_cli.training.hyperparameters import HeadConfig, TrainConfig


@dataclass(frozen=True)
class TrainViews:
    """Examples as the loop wants them.

    ``views`` are the evidence of N examples, seen a little differently in each; epoch e learns from view e, round and
    round. ``target`` int64 [N], ``weight`` float32 [N].
    """

    views: tuple[EncoderOutputs, ...]
    target: torch.Tensor
    weight: torch.Tensor

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True)
class EpochFigures:
    """What an epoch did: mean loss and share of right answers on both parts; None where there is no validation."""

    epoch: int
    rate: float
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None


@dataclass
class Training:
    """A run between two epochs: all that is needed to go on, and the best state so far."""

    learner: nn.Module
    optimiser: torch.optim.SGD
    epochs: list[EpochFigures]
    best: dict[str, torch.Tensor]
    best_epoch: int = 0

    @classmethod
    def begin(cls, learner: nn.Module, recipe: TrainConfig) -> Training:
        """Begin with a fresh learner."""
        trained = [parameter for parameter in learner.parameters() if parameter.requires_grad]
        optimiser = torch.optim.SGD(
            trained, lr=recipe.warm_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
        return cls(learner, optimiser, [], _copy(learner))


@torch.no_grad()
def answer(head: Head, evidence: EncoderOutputs, batch_size: int = 64) -> torch.Tensor:
    """Logits of all examples, float32 [N, K]."""
    rows = torch.arange(len(evidence)).split(batch_size)
    return torch.cat([head.forward(evidence.take(some)).float() for some in rows])


def train(
    head: Head,
    training: Training,
    material: TrainViews,
    validation: tuple[EncoderOutputs, torch.Tensor] | None,
    recipe: TrainConfig,
    sharpness: float = 1.0,
    after_epoch: Callable[[Training], None] = lambda training: None,
) -> None:
    """Train until the last epoch, from wherever ``training`` stands; its ``best`` is the result.

    The best epoch is that with the highest accuracy on validation, of equals the one with the least loss, of equals
    the first. Without validation it is the last. Weighted examples count in the loss by their weight.

    Parameters
    ----------
    head : Head
        Answers with ``training.learner``.
    training : Training
        Changed in place.
    material : Material
        What is learned from.
    validation : tuple of Evidence and torch.Tensor, optional
        What chooses the epoch; targets int64 [M].
    recipe : Recipe
        Its seed shuffles the batches of an epoch, the same whether the run went through or was taken up again.
    sharpness : float
        Logits are divided by this in the loss. 1 for a CLIP whose own scale makes its cosines probabilities; a bundle
        whose zero-shot answer needs another temperature would otherwise spend the training on that alone.
    after_epoch : callable
        Told of every epoch: saves a checkpoint, shows progress, may raise to stop.
    """
    for epoch in range(len(training.epochs), recipe.epochs):
        rate = recipe.rate_in(epoch)
        for group in training.optimiser.param_groups:
            group["lr"] = rate
        generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + epoch)
        evidence = material.views[epoch % len(material.views)]
        device = evidence.image_feature.device
        loss_sum, right = 0.0, 0
        for some in torch.randperm(len(material), generator=generator).split(recipe.batch_size):
            rows = some.to(device)
            target, weight = material.target[rows], material.weight[rows]
            logits = head.forward(evidence.take(rows)).float()
            each = functional.cross_entropy(logits / sharpness, target, reduction="none")
            loss = (each * weight).sum() / weight.sum()
            training.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            training.optimiser.step()
            loss_sum += float(each.detach().sum())
            right += int((logits.argmax(dim=1) == target).sum())
        count = len(material)
        checked = None if validation is None else _check(head, *validation, sharpness)
        figures = EpochFigures(epoch + 1, rate, loss_sum / count, right / count, *(checked or (None, None)))
        training.epochs.append(figures)
        if _is_best(training):
            training.best, training.best_epoch = _copy(training.learner), figures.epoch
        after_epoch(training)


def _check(head: Head, evidence: EncoderOutputs, target: torch.Tensor, sharpness: float) -> tuple[float, float]:
    logits = answer(head, evidence)
    loss = functional.cross_entropy(logits / sharpness, target)
    return float(loss), float((logits.argmax(dim=1) == target).float().mean())


def _is_best(training: Training) -> bool:
    def merit(figures: EpochFigures) -> tuple[float, float]:
        if figures.validation_accuracy is None or figures.validation_loss is None:
            return float(figures.epoch), 0.0
        return figures.validation_accuracy, -figures.validation_loss

    *before, last = training.epochs
    return all(merit(last) > merit(other) for other in before)


def _copy(learner: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in learner.state_dict().items()}


@dataclass(frozen=True)
class Lesson:
    """What a head learns from.

    ``whole`` is the evidence of the whole pictures of ``material``, in its order. ``validation`` chooses the epoch, the
    cache's numbers and the temperature; targets int64 [M].
    """

    material: TrainViews
    whole: EncoderOutputs
    validation: tuple[EncoderOutputs, torch.Tensor] | None


def begin(
    choice: HeadConfig, models: FrozenModels, labels: Labels, lesson: Lesson, recipe: TrainConfig
) -> tuple[Training, Head]:
    """Make an untrained head and its training, at epoch 0.

    Raises
    ------
    LabelsError, BundleError
        See `make_head`.
    """
    bundle = models.bundle
    learner: nn.Module = make_learner(
        choice.head, models, bundle.context, classes=len(labels), tokens=choice.tokens, seed=recipe.seed
    )
    if isinstance(learner, PromptLearner):
        if choice.start_at_random:
            learner.start_at_random(recipe.seed)
        learner.caption_projection.requires_grad_(not choice.freeze_caption_projection)
    if choice.half:
        learner.half()
    if choice.cache or find_head(choice.head).needs_tip_adapter:
        scale = float(models.clip.scale) / bundle.zero_shot_temperature
        cache = TipAdapterCache.of(lesson.whole.image_feature, lesson.material.target, len(labels), scale)
        learner.add_module("cache", cache.to(models.device))
    head = make_head(choice.head, models.clip, labels, learner, words=bundle.context, trained=labels.names)
    return Training.begin(learner, recipe), head


def learn(
    training: Training,
    head: Head,
    lesson: Lesson,
    recipe: TrainConfig,
    sharpness: float,
    after_epoch: Callable[[Training], None] = lambda training: None,
) -> float:
    """Train a head to the end and freeze it at its best epoch.

    Parameters
    ----------
    training, head
        Of `begin`; changed in place.
    lesson, recipe
        As there.
    sharpness : float
        See `train`: the zero-shot head's temperature.
    after_epoch : callable
        See `train`.

    Returns
    -------
    float
        The temperature, fitted on validation; without validation the zero-shot head's.
    """
    train(head, training, lesson.material, lesson.validation, recipe, sharpness, after_epoch)
    learner = training.learner
    learner.load_state_dict(training.best)
    learner.eval().requires_grad_(False)
    if lesson.validation is None:
        return sharpness
    evidence, target = lesson.validation
    cache = dict(learner.named_children()).get("cache")
    if isinstance(cache, TipAdapterCache):
        base = answer(head, evidence) - cache(evidence.image_feature)
        alpha, beta = search(base, evidence.image_feature, target, cache.keys, cache.values)
        cache.alpha.fill_(alpha)
        cache.beta.fill_(beta)
    return fit_temperature(answer(head, evidence).cpu(), target.cpu())


def learned_parameters(training: Training) -> int:
    """Count the numbers that the optimiser changes, or changed."""
    return sum(p.numel() for group in training.optimiser.param_groups for p in group["params"])
