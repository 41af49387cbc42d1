"""Encoder outputs of training and test images of all trials: computed once, used by all heads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bimors_cli.evaluation.datasets import DataSet
from bimors_cli.evaluation.protocols import Classes
from bimors_cli.model.frozen_models import EncoderOutputs, FrozenModels
from bimors_cli.pipeline.progress import Progress
from bimors_cli.run_warnings import warn
from bimors_cli.training.examples.few_shot import VALIDATION_SHOTS, FewShotSplit, few_shot
from bimors_cli.training.extract_features import (
    encode_crops,
    encode_images,
    encode_readable,
    load_features,
    save_features,
    targets,
)
from bimors_cli.training.train import TrainingData, TrainViews

# Encoder outputs of N test images, and int64 [N], indices of their classes among the test classes.
TestFeatures = tuple[EncoderOutputs, torch.Tensor]


@dataclass(frozen=True)
class _TrainFeatures:
    """Encoder outputs of one few-shot split of a data set, with all its classes and the most shots of all trials."""

    split: FewShotSplit
    full_images: EncoderOutputs
    views: tuple[EncoderOutputs, ...]
    validation: EncoderOutputs | None


class FeatureStore:
    """Computes encoder outputs when they are first needed, and saves them in a folder for later runs.

    Parameters
    ----------
    models
        The encoders. The captioner may be missing if no head uses captions.
    data_sets : mapping of str to DataSet
        All data sets of the evaluation, by name.
    folder : Path
        An existing folder for the files.
    shots, views : int
        Maximum number of shots of all trials (0: all examples), and of epochs: the number of random crops of an image.
    progress : Progress
        Called after every batch.
    """

    def __init__(
        self,
        models: FrozenModels,
        data_sets: Mapping[str, DataSet],
        folder: Path,
        *,
        shots: int,
        views: int,
        progress: Progress,
    ) -> None:
        self._models = models
        self._data_sets = data_sets
        self._folder = folder
        self._shots = shots
        self._views = views
        self._progress = progress
        self._test: dict[str, TestFeatures] = {}
        # Trials are ordered by data set and seed: only one split is in use at a time.
        self._train: tuple[str, int, _TrainFeatures] | None = None

    def test_features(self, classes: Classes) -> TestFeatures:
        """The readable test images of some classes."""
        if classes.data_set not in self._test:
            self._test[classes.data_set] = self._load_test(self._data_sets[classes.data_set])
        return _subset(self._test[classes.data_set], classes.indices)

    def training_data(self, classes: Classes, shots: int, seed: int) -> TrainingData:
        """The training data with ``shots`` images of each class (0: all)."""
        if self._train is None or self._train[:2] != (classes.data_set, seed):
            self._train = None  # frees the memory before the next split is loaded
            self._train = classes.data_set, seed, self._load_train(self._data_sets[classes.data_set], seed)
        features = self._train[2]
        labels = [example.label for example in self._data_sets[classes.data_set].examples.examples]
        device = self._models.device

        def select(rows: Sequence[int], limit: int) -> tuple[torch.Tensor, torch.Tensor]:
            pairs = [
                (row, target)
                for target, label in enumerate(classes.indices)
                for row in [i for i, example in enumerate(rows) if labels[example] == label][: limit or None]
            ]
            index, target = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T.to(device)
            return index, target

        index, target = select(features.split.train, shots)
        views = TrainViews(
            tuple(view.take(index) for view in features.views), target, torch.ones(len(target), device=device)
        )
        validation = None
        if features.validation is not None:
            rows, validation_target = select(features.split.validation, min(shots, VALIDATION_SHOTS))
            validation = (features.validation.take(rows), validation_target) if len(rows) else None
        return TrainingData(views, features.full_images.take(index), validation)

    def _load_test(self, data_set: DataSet) -> TestFeatures:
        rows = data_set.test_rows()
        examples = data_set.examples.take(rows)
        path, key = self._path_and_key(data_set, rows)
        saved = load_features(path, key, self._models.device)
        readable_path = path.with_suffix(".json")
        if saved is None or not readable_path.exists():
            self._progress.begin(len(examples), stage=f"{data_set.name}: test images")
            side = self._models.bundle.image_size
            outputs, readable = encode_readable(self._models, examples, side, self._progress.advance)
            readable_path.write_text(json.dumps(readable), encoding="utf-8")
            save_features(path, key, (outputs,))
        else:
            (outputs,) = saved
            readable = json.loads(readable_path.read_text(encoding="utf-8"))
        return outputs, targets(examples.take(readable)).to(self._models.device)

    def _load_train(self, data_set: DataSet, seed: int) -> _TrainFeatures:
        split = few_shot(data_set.examples, self._shots, seed)
        if split.short:
            short = ", ".join(f"{name} {count}" for name, count in list(split.short.items())[:5])
            warn("%s: fewer than %d training images: %s; use fewer --shots", data_set.name, self._shots, short)
        if split.skipped:
            warn("%s: %d images could not be read and were skipped: check the files", data_set.name, len(split.skipped))
        train, validation = data_set.examples.take(split.train), data_set.examples.take(split.validation)
        side, device, advance = self._models.bundle.image_size, self._models.device, self._progress.advance
        path, key = self._path_and_key(data_set, [*split.train, -1, *split.validation], self._views, seed)
        saved = load_features(path, key, device)
        validation_path = path.with_stem(f"{path.stem}-validation")
        validated = load_features(validation_path, key, device) if len(validation) else ()
        if saved is None or validated is None:
            self._progress.begin(len(train) + len(validation), stage=f"{data_set.name}, seed {seed}: training images")
            full_images = encode_images(self._models, train, side, advance)
            validated = (encode_images(self._models, validation, side, advance),) if len(validation) else ()
            self._progress.begin(len(train) * self._views, stage=f"{data_set.name}, seed {seed}: random crops")
            views = encode_crops(self._models, train, full_images, side, self._views, seed, advance)
            if validated:
                save_features(validation_path, key, validated)
            save_features(path, key, (full_images, *views))
        else:
            full_images, *rest = saved
            views = tuple(rest)
        return _TrainFeatures(split, full_images, views, validated[0] if validated else None)

    def _path_and_key(self, data_set: DataSet, rows: Sequence[int], *settings: int) -> tuple[Path, str]:
        """Path of a file, and the key that identifies the inputs of its encoder outputs."""
        inputs = [self._models.bundle.sha256, data_set.sha256, list(rows), list(settings), self._models.captions]
        key = hashlib.sha256(json.dumps(inputs).encode()).hexdigest()
        return self._folder / f"{key[:32]}.safetensors", key


def _subset(features: TestFeatures, indices: Sequence[int]) -> TestFeatures:
    outputs, labels = features
    target_of = {label: target for target, label in enumerate(indices)}
    rows = [row for row, label in enumerate(labels.tolist()) if label in target_of]
    index = torch.tensor(rows, dtype=torch.int64, device=labels.device)
    target = torch.tensor([target_of[label] for label in labels[index].tolist()], device=labels.device)
    return outputs.take(index), target
