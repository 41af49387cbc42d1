"""The published prompt learner as a view: trained on the examples, and judged by those that were left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch

from bimors_cli.fewshot.folds import Folds, leave_groups_out
from bimors_cli.labels import Labels
from bimors_cli.model.frozen_models import EncoderOutputs
from bimors_cli.options.views import CAPTION, INPUT_PRICES
from bimors_cli.pipeline.inference.view_encoder import Values, ViewEncoder
from bimors_cli.pipeline.inference.view_prompts import PROMPTS_HEAD, learner_arrays
from bimors_cli.pipeline.progress import Progress
from bimors_cli.training.examples.base import Examples
from bimors_cli.training.extract_features import encode_images, targets
from bimors_cli.training.hyperparameters import HeadConfig, TrainConfig
from bimors_cli.training.train import TrainingData, TrainViews, fit, init_training
from bimors_cli.training.views.learn import Learned

# Training is repeated without each third of the places. Each of the closed forms is left out in up to 20 parts, which
# cost nothing there.
FOLDS: Final = 3
# With more examples prompts are trained only if --views asks for them. Four runs of ten epochs take, with mini on two
# processors, 12 s for 35 examples, 44 s for 112, and 4 minutes for 480.
MOST_EXAMPLES: Final = 120
# Names tell something if their log loss is below this fraction of that of chance, log K.
NAMES_TELL: Final = 0.7


@dataclass(frozen=True)
class TrainedPrompts:
    """A prompt learner.

    Attributes
    ----------
    arrays : mapping of str to array
        Its parameters, as an adapter stores them.
    encoder : ViewEncoder
        Computes the view ``prompts`` with it.
    left_out : float32 array [n, K]
        The view of the examples, each by a learner that was trained without the example's fold.
    """

    arrays: Mapping[str, Values]
    encoder: ViewEncoder
    left_out: Values


def prompts_may_help(learned: Learned, count: int, classes: int) -> bool:
    """Whether to train prompts in addition to the other views.

    They start from the class names, and need captions, for which the loss has to fall by their price.

    Parameters
    ----------
    learned : Learned
        The other views.
    count : int
        n, the number of examples.
    classes : int
        K, the number of classes.
    """
    # False for NaN: of too few examples nothing is known.
    tell = learned.selection.loss_of("names") < NAMES_TELL * np.log(classes)
    return bool(tell and learned.selection.chosen.loss > INPUT_PRICES[CAPTION] and count <= MOST_EXAMPLES)


def train_prompts(
    encoder: ViewEncoder,
    examples: Examples,
    folds: Folds,
    seed: int,
    progress: Progress,
    after_run: Callable[[], None],
) -> TrainedPrompts:
    """Train prompts on all examples, and once without each fold of them.

    Parameters
    ----------
    encoder : ViewEncoder
        With models that caption.
    examples : Examples
        The examples; their labels' names begin as the prompts.
    folds : Folds
        Of the other views: the same groups are left out, more of them at a time.
    seed : int
        Seed of the training, and of the folds.
    progress : Progress
        Progress of the captions, then of the trainings.
    after_run : callable
        Called after each training; it may raise to stop.

    Raises
    ------
    InputError
        An example can no longer be read.
    LabelsError
        A label is too long for the text tower.
    BundleError
        The text tower cannot take learned prompts.
    """
    progress.begin(len(examples), stage="captions")
    outputs = encode_images(encoder.models, examples, encoder.models.bundle.image_size, progress.advance)
    labels = Labels.literal(examples.labels.names)
    target = targets(examples)
    weight = torch.tensor([example.weight for example in examples.examples], dtype=torch.float32)
    left_out = np.zeros((len(examples), len(labels)), np.float32)
    groups = range(len(examples)) if folds.group_of is None else folds.group_of
    thirds = leave_groups_out([str(group) for group in groups], target.numpy().astype(np.intp), seed, FOLDS)
    progress.begin(len(examples) * len(thirds.masks), stage="training of prompts")  # of all runs together
    for mask in thirds.masks:
        rows = torch.from_numpy(np.flatnonzero(~mask))
        trained, _ = _train(encoder, labels, outputs.take(rows), target[rows], weight[rows], seed)
        left_out[mask] = trained.prompt_answers(outputs.take(torch.from_numpy(np.flatnonzero(mask))))
        progress.advance(len(rows))
        after_run()
    trained, arrays = _train(encoder, labels, outputs, target, weight, seed)
    progress.advance(len(examples))
    after_run()
    return TrainedPrompts(arrays, trained, left_out)


def _train(
    encoder: ViewEncoder,
    labels: Labels,
    outputs: EncoderOutputs,
    target: torch.Tensor,
    weight: torch.Tensor,
    seed: int,
) -> tuple[ViewEncoder, dict[str, Values]]:
    models = encoder.models
    views = TrainViews((outputs,), target.to(models.device), weight.to(models.device))
    data, config = TrainingData(views, outputs, None), TrainConfig(seed=seed)
    training, head = init_training(HeadConfig(PROMPTS_HEAD), models, labels, data, config)
    fit(training, head, data, config, models.bundle.zero_shot_temperature)
    return replace(encoder, prompts=head), learner_arrays(training.best)
