"""A complete run of finetune: examples, encoder outputs, training, calibration, adapter."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import Any, Final, Protocol

import torch

from bimors_cli.bundle.adapter import MANIFEST
from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import CLIP, Bundle, open_bundle
from bimors_cli.bundle.needed_parts import need_part
from bimors_cli.errors import Interrupted
from bimors_cli.model.frozen_models import EncoderOutputs, FrozenModels
from bimors_cli.model.heads.base import Head, probabilities
from bimors_cli.model.heads.zero_shot import ZeroShotHead
from bimors_cli.options.heads import AUTO
from bimors_cli.output.atomic import check_folder
from bimors_cli.pipeline.inference.caption_cache import open_caption_cache
from bimors_cli.pipeline.inference.load import load_models
from bimors_cli.pipeline.progress import NullProgress, Progress, StopRequest
from bimors_cli.training.adapter_folder import Predictions, Results, save_adapter
from bimors_cli.training.checkpoint import TrainingCheckpoint
from bimors_cli.training.examples.base import TEST, Examples
from bimors_cli.training.examples.few_shot import FewShotSplit, few_shot
from bimors_cli.training.examples.find import find_examples
from bimors_cli.training.extract_features import (
    encode_crops,
    encode_images,
    encode_readable,
    load_features,
    save_features,
    targets,
)
from bimors_cli.training.options import FinetuneOptions
from bimors_cli.training.summary import FinetuneSummary
from bimors_cli.training.train import (
    EpochFigures,
    Training,
    TrainingData,
    TrainViews,
    count_trained,
    fit,
    init_training,
    predict_logits,
)
from bimors_cli.training.views.run import finetune_views
from bimors_cli.training.views.summary import ViewsSummary

# The head of labels without examples, which no closed form can answer.
WITHOUT_EXAMPLES: Final = "bimors"

log = logging.getLogger("bimors")


class FinetuneProgress(Progress, Protocol):
    """Shows the progress of a run."""

    def epoch(self, figures: EpochFigures, total: int) -> None:
        """Show a finished epoch of ``total``."""


@dataclass(frozen=True)
class _EncodedSplits:
    """Encoder outputs of the training, validation and test splits; targets int64."""

    data: TrainingData
    test: tuple[EncoderOutputs, torch.Tensor] | None


def finetune(
    options: FinetuneOptions, *, progress: FinetuneProgress | None = None, stop: StopRequest | None = None
) -> FinetuneSummary | ViewsSummary:
    """Train an adapter and write its folder.

    Parameters
    ----------
    options : FinetuneOptions
        Options of the command.
    progress : FinetuneProgress, optional
        Shows the progress; by default nothing is shown.
    stop : StopRequest, optional
        Requests an early end.

    Raises
    ------
    InputError
        The source is not usable; the output exists.
    Interrupted
        ``stop`` requested an early end; completed epochs are saved for ``resume``.
    BimorsError
        The models cannot be loaded, or the output cannot be written.
    """
    options.check_required()
    progress, stop = progress or NullProgress(), stop or NullProgress()
    clock = time.perf_counter()
    bundle = open_bundle(find_bundle(options.model, options.captioner), hash_again=options.verify)
    examples = find_examples(options, bundle)
    output = Path("adapters") / examples.name if options.output is None else Path(options.output)
    # A resumed run may have started with --overwrite, or may have been killed after its output was written.
    replace = options.overwrite or (options.resume and TrainingCheckpoint.is_unfinished(output))
    check_folder(output, marker=MANIFEST, overwrite=replace)
    if options.head == AUTO:
        if options.epochs != FinetuneOptions.epochs:
            log.warning("--epochs has no effect with --head auto")
        absent = _labels_without_examples(examples)
        if not absent:
            return finetune_views(options, bundle, examples, output, progress, stop)
        log.warning(
            "no examples of %s: the head %s is trained, which answers labels by their names too",
            ", ".join(map(repr, absent[:5])),
            WITHOUT_EXAMPLES,
        )
        options = replace_fields(options, head=WITHOUT_EXAMPLES)
    need_part(bundle, CLIP, f"the head {options.head}")
    split = few_shot(examples, options.shots, options.seed)
    plan = _plan(options, bundle, examples, split)
    checkpoint = TrainingCheckpoint(output, plan, resume=options.resume, overwrite=options.overwrite)
    try:
        with open_caption_cache(keep=options.captions and options.caption_cache) as cache:
            models = load_models(bundle, options.device, captions=options.captions, caption_cache=cache)
            encoded = _encode(models, examples, split, options, plan, checkpoint, progress)
        seconds = {"evidence": time.perf_counter() - clock}
        clock = time.perf_counter()
        training, head, temperature = _train(models, examples, encoded.data, options, checkpoint, progress, stop)
        seconds["training"] = time.perf_counter() - clock
        predictions = _predict(models, examples, encoded, options, head, temperature)
        results = Results(examples.labels.names, temperature, predictions, count_trained(training), split, seconds)
        save_adapter(output, bundle, examples, options, training, results, overwrite=replace)
        checkpoint.finish()
    finally:
        checkpoint.release()
    return FinetuneSummary.of(str(output), examples, results)


def _labels_without_examples(examples: Examples) -> list[str]:
    present = {example.label for example in examples.examples if example.split != TEST}
    return [name for label, name in enumerate(examples.labels.names) if label in examples.optional - present]


def _plan(options: FinetuneOptions, bundle: Bundle, examples: Examples, split: FewShotSplit) -> Mapping[str, Any]:
    """Everything that the adapter depends on, for the checkpoint."""
    synonyms = [examples.labels.synonyms] if examples.labels.synonyms else []

    def digest(rows: Sequence[int]) -> str:
        chosen = [(e.source_id, e.label, e.weight) for e in (examples.examples[row] for row in rows)]
        return hashlib.sha256(json.dumps([chosen, *synonyms, list(examples.labels.names)]).encode()).hexdigest()

    config = options.train_config
    return {
        "bundle": bundle.sha256,
        "train": digest(split.train),
        "validation": digest(split.validation),
        "head": options.head_config.head,
        "cache": options.cache,
        "captions": options.captions,
        "freeze caption projection": options.freeze_caption_projection,
        "epochs": config.epochs,
        "lr": config.rate,
        "batch size": config.batch_size,
        "seed": config.seed,
        "scene": [options.bidx, options.stretch, options.nodata],
    }


def _encode(
    models: FrozenModels,
    examples: Examples,
    split: FewShotSplit,
    options: FinetuneOptions,
    plan: Mapping[str, Any],
    checkpoint: TrainingCheckpoint,
    progress: FinetuneProgress,
) -> _EncodedSplits:
    side, device = models.bundle.image_size, models.device
    train, validation = examples.take(split.train), examples.take(split.validation)
    # The encoder outputs depend on these; with another head or learning rate they are used again.
    inputs = ("bundle", "train", "validation", "captions", "seed", "scene")
    key = hashlib.sha256(json.dumps([plan[name] for name in inputs]).encode()).hexdigest()
    train_path = checkpoint.folder / "evidence.safetensors"
    validation_path = checkpoint.folder / "validation.safetensors"
    saved = load_features(train_path, f"{key}/{options.epochs}", device)
    if saved is None:
        progress.begin(len(train) + len(validation), stage="encoding")
        full_images = encode_images(models, train, side, progress.advance)
        validation_features = encode_images(models, validation, side, progress.advance) if len(validation) else None
        progress.begin(len(train) * options.epochs, stage="random crops")
        views = encode_crops(models, train, full_images, side, options.epochs, options.seed, progress.advance)
        save_features(train_path, f"{key}/{options.epochs}", (full_images, *views))
        if validation_features is not None:
            save_features(validation_path, key, (validation_features,))
    else:
        full_images, *rest = saved
        views = tuple(rest)
        found = load_features(validation_path, key, device) if len(validation) else None
        if found:
            validation_features = found[0]
        else:
            validation_features = encode_images(models, validation, side) if len(validation) else None
    train_views = TrainViews(
        views,
        targets(train).to(device),
        torch.tensor([example.weight for example in train.examples], dtype=torch.float32, device=device),
    )
    validated = None if validation_features is None else (validation_features, targets(validation).to(device))
    rows = [row for row, example in enumerate(examples.examples) if example.split == TEST]
    test = None
    if rows:
        tested = examples.take(rows)
        progress.begin(len(tested), stage="test images")
        features, readable = encode_readable(models, tested, side, progress.advance)
        test = features, targets(tested.take(readable)).to(device)
    return _EncodedSplits(TrainingData(train_views, full_images, validated), test)


def _train(
    models: FrozenModels,
    examples: Examples,
    data: TrainingData,
    options: FinetuneOptions,
    checkpoint: TrainingCheckpoint,
    progress: FinetuneProgress,
    stop: StopRequest,
) -> tuple[Training, Head, float]:
    config = options.train_config
    training, head = init_training(options.head_config, models, examples.labels, data, config)
    checkpoint.restore(training)

    def after_epoch(training: Training) -> None:
        checkpoint.save(training)
        progress.epoch(training.epochs[-1], config.epochs)
        if stop.signal_number is not None and len(training.epochs) < config.epochs:
            raise Interrupted(
                stop.signal_number,
                f"interrupted after epoch {len(training.epochs)} of {config.epochs}, checkpoint in {checkpoint.folder}",
                "run the same command with --resume to continue",
            )

    if data.validation is None:
        log.warning("no validation examples: the confidence is not calibrated")
    temperature = models.bundle.zero_shot_temperature
    return training, head, fit(training, head, data, config, temperature, after_epoch)


def _predict(
    models: FrozenModels,
    examples: Examples,
    encoded: _EncodedSplits,
    options: FinetuneOptions,
    head: Head,
    temperature: float,
) -> Predictions:
    """Calibrated probabilities of both heads; the zero-shot head is that of `classify --head zero-shot`."""
    bundle = models.bundle
    zero_shot = ZeroShotHead(models.clip, examples.labels, bundle.templates)
    heads = {"zero-shot": (zero_shot, bundle.zero_shot_temperature), options.head_config.head: (head, temperature)}
    predictions: dict[str, dict[str, tuple[torch.Tensor, torch.Tensor]]] = {}
    for name, split in (("validation", encoded.data.validation), ("test", encoded.test)):
        if split is not None:
            features, target = split
            predictions[name] = {
                kind: (probabilities(predict_logits(one, features), divisor).cpu(), target.cpu())
                for kind, (one, divisor) in heads.items()
            }
    return predictions
