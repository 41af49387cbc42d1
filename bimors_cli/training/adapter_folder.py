"""The folder that finetune writes: weights, manifest, model card, metrics and charts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import torch

from bimors_cli.bundle.adapter import MANIFEST, WEIGHTS, write_adapter_manifest
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.metrics.charts import confusion_matrix, reliability_diagram, training_curves
from bimors_cli.metrics.scores import Scores, score
from bimors_cli.options.heads import find_head
from bimors_cli.output.atomic import replacing_folder
from bimors_cli.training.card import card
from bimors_cli.training.examples.base import Examples
from bimors_cli.training.examples.few_shot import FewShotSplit
from bimors_cli.training.examples.places import tile_sets
from bimors_cli.training.options import FinetuneOptions
from bimors_cli.training.tensor_file import write_tensors
from bimors_cli.training.train import Training

# By split (``validation``, ``test``) and head: probabilities [N, K] and targets [N].
Predictions = Mapping[str, Mapping[str, tuple[torch.Tensor, torch.Tensor]]]


@dataclass(frozen=True)
class Results:
    """The results of a run.

    ``predictions`` are those of the zero-shot head and of the trained head, on the splits that have examples.
    """

    labels: tuple[str, ...]
    temperature: float
    predictions: Predictions
    parameters: int
    split: FewShotSplit
    seconds: Mapping[str, float]

    @cached_property
    def scores(self) -> dict[str, dict[str, Scores]]:
        """Scores of the predictions, by split and head."""
        return {
            split: {head: score(*prediction, self.labels) for head, prediction in heads.items()}
            for split, heads in self.predictions.items()
        }


def save_adapter(
    path: Path,
    bundle: Bundle,
    examples: Examples,
    options: FinetuneOptions,
    training: Training,
    results: Results,
    *,
    overwrite: bool,
) -> None:
    """Write the adapter's folder atomically.

    Raises
    ------
    OutputExistsError, InputError
        As `check_folder`.
    OutputError
        The folder cannot be written.
    """
    with replacing_folder(path, marker=MANIFEST, overwrite=overwrite) as built:
        _fill(built, path.name, bundle, examples, options, training, results)


def _fill(
    folder: Path,
    name: str,
    bundle: Bundle,
    examples: Examples,
    options: FinetuneOptions,
    training: Training,
    results: Results,
) -> None:
    labels = examples.labels.names
    write_tensors(folder / WEIGHTS, training.learner.state_dict())
    config = options.train_config
    description = {
        **examples.description,
        "shots": "all" if options.shots == 0 else str(options.shots),
        "examples": f"{len(results.split.train)} for training, {len(results.split.validation)} for validation",
        "captions": "yes" if options.captions else "no",
        "recipe": f"SGD {config.rate:g}, momentum {config.momentum:g}, weight decay {config.weight_decay:g}, "
        f"{config.epochs} epochs, batch {config.batch_size}, cosine after {config.warm_epochs} epoch at "
        f"{config.warm_rate:g}",
        "best epoch": str(training.best_epoch),
        "seed": str(config.seed),
        "learnable parameters": str(results.parameters),
    }
    if results.split.short:
        short = ", ".join(f"{name} {count}" for name, count in sorted(results.split.short.items()))
        description["fewer examples than asked"] = short
    places = tile_sets(examples.take((*results.split.train, *results.split.validation)))
    adapter = write_adapter_manifest(
        folder,
        bundle,
        name=name,
        head=options.head_config.head,
        cache=options.cache or find_head(options.head).needs_tip_adapter,
        labels=labels,
        temperature=results.temperature,
        training=description,
        examples=None if places is None else [one.to_json() for one in places],
    )
    scores = results.scores
    figures = {split: {head: found.as_json() for head, found in heads.items()} for split, heads in scores.items()}
    epochs = [asdict(epoch) for epoch in training.epochs]
    metrics = {
        "epochs": epochs,
        "best_epoch": training.best_epoch,
        "temperature": results.temperature,
        "learnable_parameters": results.parameters,
        "seconds": dict(results.seconds),
        **figures,
    }
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    charts = {"training.png": "Loss and accuracy by epoch"}
    training_curves(folder / "training.png", [_named(epoch) for epoch in epochs])
    split = next((name for name in ("test", "validation") if results.predictions.get(name)), None)
    if split is not None:
        confusion_matrix(folder / "confusion.png", scores[split][options.head_config.head])
        reliability_diagram(folder / "reliability.png", *results.predictions[split][options.head_config.head])
        charts |= {"confusion.png": f"Confusion on {split}", "reliability.png": f"Reliability on {split}"}
    (folder / "README.md").write_text(card(adapter, scores, charts, bundle), encoding="utf-8")
    for file in folder.iterdir():
        file.chmod(0o644)  # safetensors writes files that only their owner can read


def _named(epoch: Mapping[str, float | None]) -> dict[str, float]:
    names = {
        "epoch": "epoch",
        "loss": "loss train",
        "validation_loss": "loss validation",
        "accuracy": "accuracy train",
        "validation_accuracy": "accuracy validation",
    }
    return {names[key]: value for key, value in epoch.items() if key in names and value is not None}
