"""Training of a head on precomputed encoder outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from bimors_cli.labels import Labels
from bimors_cli.model.frozen_models import EncoderOutputs, FrozenModels
from bimors_cli.model.heads.base import Head
from bimors_cli.model.heads.bimors import PromptLearner
from bimors_cli.model.heads.registry import make_head, make_learner
from bimors_cli.model.heads.tip_adapter import TipAdapterCache, search
from bimors_cli.options.heads import find_head
from bimors_cli.training.calibration import fit_temperature
from bimors_cli.training.hyperparameters import HeadConfig, TrainConfig


@dataclass(frozen=True)
class TrainViews:
    """Training examples as encoder outputs.

    Each of ``views`` holds the encoder outputs of the same N examples, cropped differently; epoch e trains on view
    e modulo their number. ``target`` int64 [N], ``weight`` float32 [N].
    """

    views: tuple[EncoderOutputs, ...]
    target: torch.Tensor
    weight: torch.Tensor

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True)
class EpochFigures:
    """Mean loss and accuracy of an epoch on training and validation examples; None without validation examples."""

    epoch: int
    rate: float
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None


@dataclass
class Training:
    """The state of a training run between two epochs: all that a resumed run needs, and the best state so far."""

    learner: nn.Module
    optimiser: torch.optim.SGD
    epochs: list[EpochFigures]
    best: dict[str, torch.Tensor]
    best_epoch: int = 0

    @classmethod
    def create(cls, learner: nn.Module, config: TrainConfig) -> Training:
        """Create the state before the first epoch."""
        trained = [parameter for parameter in learner.parameters() if parameter.requires_grad]
        optimiser = torch.optim.SGD(
            trained, lr=config.warm_rate, momentum=config.momentum, weight_decay=config.weight_decay
        )
        return cls(learner, optimiser, [], _copy(learner))


@torch.no_grad()
def predict_logits(head: Head, features: EncoderOutputs, batch_size: int = 64) -> torch.Tensor:
    """Logits of all examples, float32 [N, K]."""
    rows = torch.arange(len(features)).split(batch_size)
    return torch.cat([head.forward(features.take(batch)).float() for batch in rows])


def train(
    head: Head,
    training: Training,
    views: TrainViews,
    validation: tuple[EncoderOutputs, torch.Tensor] | None,
    config: TrainConfig,
    logit_temperature: float = 1.0,
    after_epoch: Callable[[Training], None] = lambda training: None,
) -> None:
    """Train until the last epoch, starting at the epoch that ``training`` has reached; the result is its ``best``.

    The best epoch has the highest validation accuracy; ties are broken by the lowest validation loss, then by the
    lowest epoch number. Without validation examples it is the last epoch. The loss is weighted by example.

    Parameters
    ----------
    head : Head
        Predicts with ``training.learner``.
    training : Training
        Changed in place.
    views : TrainViews
        Training examples.
    validation : tuple of EncoderOutputs and torch.Tensor, optional
        Examples that select the best epoch; targets int64 [M].
    config : TrainConfig
        Its seed shuffles the batches of each epoch, so a resumed run sees the same batches as an uninterrupted one.
    logit_temperature : float
        Logits are divided by this in the loss. It is 1 for a CLIP whose own scale calibrates its cosines. With a
        bundle whose zero-shot head needs another temperature, the training would otherwise mostly fit that scale.
    after_epoch : callable
        Called after every epoch. It may save a checkpoint, show progress, or raise an exception to stop.
    """
    for epoch in range(len(training.epochs), config.epochs):
        rate = config.rate_in(epoch)
        for group in training.optimiser.param_groups:
            group["lr"] = rate
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + epoch)
        features = views.views[epoch % len(views.views)]
        device = features.image_feature.device
        loss_sum, correct = 0.0, 0
        for batch in torch.randperm(len(views), generator=generator).split(config.batch_size):
            rows = batch.to(device)
            target, weight = views.target[rows], views.weight[rows]
            logits = head.forward(features.take(rows)).float()
            losses = functional.cross_entropy(logits / logit_temperature, target, reduction="none")
            loss = (losses * weight).sum() / weight.sum()
            training.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            training.optimiser.step()
            loss_sum += float(losses.detach().sum())
            correct += int((logits.argmax(dim=1) == target).sum())
        count = len(views)
        validated = None if validation is None else _validate(head, *validation, logit_temperature)
        figures = EpochFigures(epoch + 1, rate, loss_sum / count, correct / count, *(validated or (None, None)))
        training.epochs.append(figures)
        if _is_best(training):
            training.best, training.best_epoch = _copy(training.learner), figures.epoch
        after_epoch(training)


def _validate(
    head: Head, features: EncoderOutputs, target: torch.Tensor, logit_temperature: float
) -> tuple[float, float]:
    logits = predict_logits(head, features)
    loss = functional.cross_entropy(logits / logit_temperature, target)
    return float(loss), float((logits.argmax(dim=1) == target).float().mean())


def _is_best(training: Training) -> bool:
    def score(figures: EpochFigures) -> tuple[float, float]:
        if figures.validation_accuracy is None or figures.validation_loss is None:
            return float(figures.epoch), 0.0
        return figures.validation_accuracy, -figures.validation_loss

    *before, last = training.epochs
    return all(score(last) > score(other) for other in before)


def _copy(learner: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in learner.state_dict().items()}


@dataclass(frozen=True)
class TrainingData:
    """Training and validation examples of a head.

    ``full_images`` are the encoder outputs of the uncropped images of ``train``, in the same order. ``validation``
    selects the epoch, the weights of a Tip-Adapter cache, and the temperature; targets int64 [M].
    """

    train: TrainViews
    full_images: EncoderOutputs
    validation: tuple[EncoderOutputs, torch.Tensor] | None


def init_training(
    choice: HeadConfig, models: FrozenModels, labels: Labels, data: TrainingData, config: TrainConfig
) -> tuple[Training, Head]:
    """Make an untrained head and its training state before the first epoch.

    Raises
    ------
    LabelsError, BundleError
        As `make_head`.
    """
    bundle = models.bundle
    learner: nn.Module = make_learner(
        choice.head, models, bundle.context, classes=len(labels), tokens=choice.tokens, seed=config.seed
    )
    if isinstance(learner, PromptLearner):
        if choice.start_at_random:
            learner.start_at_random(config.seed)
        learner.caption_projection.requires_grad_(not choice.freeze_caption_projection)
    if choice.half:
        learner.half()
    if choice.cache or find_head(choice.head).needs_tip_adapter:
        scale = float(models.clip.scale) / bundle.zero_shot_temperature
        cache = TipAdapterCache.of(data.full_images.image_feature, data.train.target, len(labels), scale)
        learner.add_module("cache", cache.to(models.device))
    head = make_head(choice.head, models.clip, labels, learner, words=bundle.context, trained=labels.names)
    return Training.create(learner, config), head


def fit(
    training: Training,
    head: Head,
    data: TrainingData,
    config: TrainConfig,
    logit_temperature: float,
    after_epoch: Callable[[Training], None] = lambda training: None,
) -> float:
    """Train a head until the last epoch, and freeze it at its best epoch.

    Parameters
    ----------
    training, head
        As `init_training` returns them; changed in place.
    data, config
        As for `init_training`.
    logit_temperature : float
        As for `train`: the zero-shot head's temperature.
    after_epoch : callable
        As for `train`.

    Returns
    -------
    float
        The temperature, fitted on validation examples; without these it is the zero-shot head's temperature.
    """
    train(head, training, data.train, data.validation, config, logit_temperature, after_epoch)
    learner = training.learner
    learner.load_state_dict(training.best)
    learner.eval().requires_grad_(False)
    if data.validation is None:
        return logit_temperature
    features, target = data.validation
    cache = dict(learner.named_children()).get("cache")
    if isinstance(cache, TipAdapterCache):
        base = predict_logits(head, features) - cache(features.image_feature)
        alpha, beta = search(base, features.image_feature, target, cache.keys, cache.values)
        cache.alpha.fill_(alpha)
        cache.beta.fill_(beta)
    return fit_temperature(predict_logits(head, features).cpu(), target.cpu())


def count_trained(training: Training) -> int:
    """Count the parameters that the optimiser updates."""
    return sum(p.numel() for group in training.optimiser.param_groups for p in group["params"])
