"""Evidence of the pictures that trials learn from and are asked about: gathered once, used by all heads."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bimors_cli.evaluation.datasets import DataSet
from bimors_cli.evaluation.protocols import Classes
from bimors_cli.model.evidence import EncoderOutputs, FrozenModels
from bimors_cli.training.examples.few_shot import VALIDATION_SHOTS, FewShotSplit, few_shot
from bimors_cli.training.extract_features import (
    PictureProgress,
    gather_readable,
    gather_views,
    gather_whole,
    load_evidence,
    save_evidence,
    targets,
)
from bimors_cli.training.train import Lesson, TrainViews

log = logging.getLogger("bimors")

# Evidence of N test pictures, and int64 [N] places of their classes among those asked for.
Asked = tuple[EncoderOutputs, torch.Tensor]


@dataclass(frozen=True)
class _Drawn:
    """Evidence of one draw of a data set, of all its classes and with the most shots of all trials."""

    sample: FewShotSplit
    whole: EncoderOutputs
    views: tuple[EncoderOutputs, ...]
    validation: EncoderOutputs | None


class FeatureStore:
    """Gathers evidence when it is first needed and keeps it in a folder: no run need look again.

    Parameters
    ----------
    models
        Who looks. Where no head listens to captions the models may be without a captioner.
    data_sets : mapping of str to DataSet
        All of the evaluation, by name.
    folder : Path
        For the files; must be there.
    shots, views : int
        The most shots of all trials (0: all) and their most epochs: so many random crops of each picture are gathered.
    progress : PictureProgress
        Told of every batch.
    """

    def __init__(
        self,
        models: FrozenModels,
        data_sets: Mapping[str, DataSet],
        folder: Path,
        *,
        shots: int,
        views: int,
        progress: PictureProgress,
    ) -> None:
        self._models = models
        self._data_sets = data_sets
        self._folder = folder
        self._shots = shots
        self._views = views
        self._progress = progress
        self._tested: dict[str, Asked] = {}
        # Trials come by data set and seed: one draw is in use at a time.
        self._drawn: tuple[str, int, _Drawn] | None = None

    def asked(self, classes: Classes) -> Asked:
        """The readable test pictures of some classes."""
        if classes.data_set not in self._tested:
            self._tested[classes.data_set] = self._test(self._data_sets[classes.data_set])
        return _some(self._tested[classes.data_set], classes.places)

    def lesson(self, classes: Classes, shots: int, seed: int) -> Lesson:
        """What a head learns from: ``shots`` pictures of each class (0: all)."""
        if self._drawn is None or self._drawn[:2] != (classes.data_set, seed):
            self._drawn = None  # lets go of the memory before more is taken
            self._drawn = classes.data_set, seed, self._draw(self._data_sets[classes.data_set], seed)
        drawn = self._drawn[2]
        labels = [example.label for example in self._data_sets[classes.data_set].examples.examples]
        device = self._models.device

        def chosen(rows: Sequence[int], most: int) -> tuple[torch.Tensor, torch.Tensor]:
            taken = [
                (index, place)
                for place, label in enumerate(classes.places)
                for index in [i for i, row in enumerate(rows) if labels[row] == label][: most or None]
            ]
            index, target = torch.tensor(taken, dtype=torch.int64).reshape(-1, 2).T.to(device)
            return index, target

        index, target = chosen(drawn.sample.train, shots)
        material = TrainViews(
            tuple(view.take(index) for view in drawn.views), target, torch.ones(len(target), device=device)
        )
        validation = None
        if drawn.validation is not None:
            rows, checked = chosen(drawn.sample.validation, min(shots, VALIDATION_SHOTS))
            validation = (drawn.validation.take(rows), checked) if len(rows) else None
        return Lesson(material, drawn.whole.take(index), validation)

    def _test(self, data_set: DataSet) -> Asked:
        rows = data_set.test_rows()
        part = data_set.examples.take(rows)
        path, key = self._file(data_set, rows)
        kept = load_evidence(path, key, self._models.device)
        readable_file = path.with_suffix(".json")
        if kept is None or not readable_file.exists():
            self._progress.begin(f"{data_set.name}: test pictures", len(part))
            evidence, readable = gather_readable(
                self._models, part, self._models.bundle.image_size, self._progress.advance
            )
            readable_file.write_text(json.dumps(readable), encoding="utf-8")
            save_evidence(path, key, (evidence,))
        else:
            (evidence,) = kept
            readable = json.loads(readable_file.read_text(encoding="utf-8"))
        return evidence, targets(part.take(readable)).to(self._models.device)

    def _draw(self, data_set: DataSet, seed: int) -> _Drawn:
        sample = few_shot(data_set.examples, self._shots, seed)
        if sample.short:
            few = ", ".join(f"{name} {count}" for name, count in list(sample.short.items())[:5])
            log.warning("%s: fewer than %d pictures to learn from: %s", data_set.name, self._shots, few)
        if sample.skipped:
            log.warning("%s: %d pictures cannot be read and were left", data_set.name, len(sample.skipped))
        learned, checked = data_set.examples.take(sample.train), data_set.examples.take(sample.validation)
        side, device = self._models.bundle.image_size, self._models.device
        path, key = self._file(data_set, [*sample.train, -1, *sample.validation], self._views, seed)
        kept = load_evidence(path, key, device)
        beside = path.with_stem(f"{path.stem}-validation")
        seen = load_evidence(beside, key, device) if len(checked) else ()
        if kept is None or seen is None:
            self._progress.begin(f"{data_set.name}, seed {seed}: pictures to learn from", len(learned) + len(checked))
            whole = gather_whole(self._models, learned, side, self._progress.advance)
            seen = (gather_whole(self._models, checked, side, self._progress.advance),) if len(checked) else ()
            self._progress.begin(f"{data_set.name}, seed {seed}: random crops", len(learned) * self._views)
            views = gather_views(self._models, learned, whole, side, self._views, seed, self._progress.advance)
            if seen:
                save_evidence(beside, key, seen)
            save_evidence(path, key, (whole, *views))
        else:
            whole, *rest = kept
            views = tuple(rest)
        return _Drawn(sample, whole, views, seen[0] if seen else None)

    def _file(self, data_set: DataSet, rows: Sequence[int], *follows: int) -> tuple[Path, str]:
        """Where evidence is kept, and the key that says what it is of."""
        told = [self._models.bundle.sha256, data_set.sha256, list(rows), list(follows), self._models.captions]
        key = hashlib.sha256(json.dumps(told).encode()).hexdigest()
        return self._folder / f"{key[:32]}.safetensors", key


def _some(asked: Asked, places: Sequence[int]) -> Asked:
    evidence, labels = asked
    place = {label: i for i, label in enumerate(places)}
    rows = [i for i, label in enumerate(labels.tolist()) if label in place]
    index = torch.tensor(rows, dtype=torch.int64, device=labels.device)
    target = torch.tensor([place[label] for label in labels[index].tolist()], device=labels.device)
    return evidence.take(index), target
