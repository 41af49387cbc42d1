"""A whole run of finetune: examples, evidence, training, calibration, adapter."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from bimors_cli.bundle.adapter import MANIFEST
from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import Bundle, open_bundle
from bimors_cli.errors import Interrupted
from bimors_cli.model.evidence import EncoderOutputs, FrozenModels
from bimors_cli.model.heads.base import Head, probabilities
from bimors_cli.model.heads.zero_shot import ZeroShotHead
from bimors_cli.output.atomic import check_folder
from bimors_cli.pipeline.inference.caption_cache import open_caption_cache
from bimors_cli.pipeline.inference.load import load_models
from bimors_cli.pipeline.progress import NullProgress as SilentStop
from bimors_cli.pipeline.progress import StopRequest
from bimors_cli.training.adapter_folder import Answers, Results, save_adapter
from bimors_cli.training.checkpoint import TrainingCheckpoint
from bimors_cli.training.examples.base import TEST, Examples
from bimors_cli.training.examples.few_shot import FewShotSplit, few_shot
from bimors_cli.training.examples.find import find_examples
from bimors_cli.training.extract_features import (
    PictureProgress,
    SilentPictures,
    gather_readable,
    gather_views,
    gather_whole,
    load_evidence,
    save_evidence,
    targets,
)
from bimors_cli.training.options import FinetuneOptions
from bimors_cli.training.summary import FinetuneSummary
from bimors_cli.training.train import (
    EpochFigures,
    Lesson,
    Training,
    TrainViews,
    answer,
    begin,
    learn,
    learned_parameters,
)

log = logging.getLogger("bimors")


class FinetuneProgress(PictureProgress, Protocol):
    """Who shows how far a run is."""

    def epoch(self, figures: EpochFigures, total: int) -> None:
        """Show an epoch of ``total``."""


class Silent(SilentPictures):
    """Shows nothing."""

    def epoch(self, figures: EpochFigures, total: int) -> None:
        """Show nothing."""


@dataclass(frozen=True)
class _Parts:
    """Evidence of all three parts; targets int64."""

    lesson: Lesson
    test: tuple[EncoderOutputs, torch.Tensor] | None


def finetune(
    options: FinetuneOptions, *, progress: FinetuneProgress | None = None, stop: StopRequest | None = None
) -> FinetuneSummary:
    """Train an adapter and write its folder.

    Parameters
    ----------
    options : FinetuneOptions
        What the user chose.
    progress, stop : optional
        See there.

    Raises
    ------
    InputError
        The source cannot be used; the output is there already.
    Interrupted
        ``stop`` asked for it; whole epochs are kept for ``resume``.
    BimorsError
        Models or output fail.
    """
    progress, stop = progress or Silent(), stop or SilentStop()
    clock = time.perf_counter()
    bundle = open_bundle(find_bundle(options.model))
    examples = find_examples(options, bundle)
    output = Path("adapters") / examples.name if options.output is None else Path(options.output)
    # A run that is gone on with may have begun with --overwrite, or may have been killed when all was written.
    replace = options.overwrite or (options.resume and TrainingCheckpoint.was_begun(output))
    check_folder(output, marker=MANIFEST, overwrite=replace)
    sample = few_shot(examples, options.shots, options.seed)
    plan = _plan(options, bundle, examples, sample)
    work = TrainingCheckpoint(output, plan, resume=options.resume, overwrite=options.overwrite)
    try:
        with open_caption_cache(keep=options.captions and options.caption_cache) as cache:
            models = load_models(bundle, options.device, captions=options.captions, caption_cache=cache)
            parts = _gather(models, examples, sample, options, plan, work, progress)
        seconds = {"evidence": time.perf_counter() - clock}
        clock = time.perf_counter()
        training, head, temperature = _train(models, examples, parts, options, work, progress, stop)
        seconds["training"] = time.perf_counter() - clock
        answers = _answers(models, examples, parts, options, head, temperature)
        results = Results(examples.labels.names, temperature, answers, learned_parameters(training), sample, seconds)
        save_adapter(output, bundle, examples, options, training, results, overwrite=replace)
        work.finish()
    finally:
        work.release()
    return FinetuneSummary.of(str(output), examples, results)


def _plan(options: FinetuneOptions, bundle: Bundle, examples: Examples, sample: FewShotSplit) -> Mapping[str, Any]:
    """All that decides the adapter, for the workshop."""
    synonyms = [examples.labels.synonyms] if examples.labels.synonyms else []

    def digest(rows: Sequence[int]) -> str:
        told = [(e.where, e.label, e.weight) for e in (examples.examples[row] for row in rows)]
        return hashlib.sha256(json.dumps([told, *synonyms, list(examples.labels.names)]).encode()).hexdigest()

    recipe = options.recipe
    return {
        "bundle": bundle.sha256,
        "train": digest(sample.train),
        "validation": digest(sample.validation),
        "head": options.choice.head,
        "cache": options.cache,
        "captions": options.captions,
        "freeze caption projection": options.freeze_caption_projection,
        "epochs": recipe.epochs,
        "lr": recipe.rate,
        "batch size": recipe.batch_size,
        "seed": recipe.seed,
        "scene": [options.bidx, options.stretch, options.nodata],
    }


def _gather(
    models: FrozenModels,
    examples: Examples,
    sample: FewShotSplit,
    options: FinetuneOptions,
    plan: Mapping[str, Any],
    work: TrainingCheckpoint,
    progress: FinetuneProgress,
) -> _Parts:
    side, device = models.bundle.image_size, models.device
    learned, checked = examples.take(sample.train), examples.take(sample.validation)
    # What evidence follows from; the head and its recipe may change without looking at the pictures again.
    follows = ("bundle", "train", "validation", "captions", "seed", "scene")
    key = hashlib.sha256(json.dumps([plan[name] for name in follows]).encode()).hexdigest()
    file = work.folder / "evidence.safetensors"
    kept = load_evidence(file, f"{key}/{options.epochs}", device)
    if kept is None:
        progress.begin("describing", len(learned) + len(checked))
        whole = gather_whole(models, learned, side, progress.advance)
        seen = gather_whole(models, checked, side, progress.advance) if len(checked) else None
        progress.begin("random crops", len(learned) * options.epochs)
        views = gather_views(models, learned, whole, side, options.epochs, options.seed, progress.advance)
        save_evidence(file, f"{key}/{options.epochs}", (whole, *views))
        if seen is not None:
            save_evidence(work.folder / "validation.safetensors", key, (seen,))
    else:
        whole, *rest = kept
        views = tuple(rest)
        found = load_evidence(work.folder / "validation.safetensors", key, device) if len(checked) else None
        seen = found[0] if found else (gather_whole(models, checked, side) if len(checked) else None)
    material = TrainViews(
        views,
        targets(learned).to(device),
        torch.tensor([example.weight for example in learned.examples], dtype=torch.float32, device=device),
    )
    validation = None if seen is None else (seen, targets(checked).to(device))
    rows = [row for row, example in enumerate(examples.examples) if example.part == TEST]
    test = None
    if rows:
        part = examples.take(rows)
        progress.begin("test pictures", len(part))
        evidence, readable = gather_readable(models, part, side, progress.advance)
        test = evidence, targets(part.take(readable)).to(device)
    return _Parts(Lesson(material, whole, validation), test)


def _train(
    models: FrozenModels,
    examples: Examples,
    parts: _Parts,
    options: FinetuneOptions,
    work: TrainingCheckpoint,
    progress: FinetuneProgress,
    stop: StopRequest,
) -> tuple[Training, Head, float]:
    recipe = options.recipe
    training, head = begin(options.choice, models, examples.labels, parts.lesson, recipe)
    work.restore(training)

    def after_epoch(now: Training) -> None:
        work.save(now)
        progress.epoch(now.epochs[-1], recipe.epochs)
        if stop.signal_number is not None and len(now.epochs) < recipe.epochs:
            raise Interrupted(
                stop.signal_number,
                f"interrupted after epoch {len(now.epochs)} of {recipe.epochs}, which is kept in {work.folder}",
                "run the same command with --resume to go on",
            )

    if parts.lesson.validation is None:
        log.warning("no example is left for validation: the confidence is not calibrated")
    temperature = models.bundle.zero_shot_temperature
    return training, head, learn(training, head, parts.lesson, recipe, temperature, after_epoch)


def _answers(
    models: FrozenModels,
    examples: Examples,
    parts: _Parts,
    options: FinetuneOptions,
    head: Head,
    temperature: float,
) -> Answers:
    """Both heads' calibrated answers; zero-shot's is that of `classify --head zero-shot`."""
    bundle = models.bundle
    plain = ZeroShotHead(models.clip, examples.labels, bundle.templates)
    answers: dict[str, dict[str, tuple[torch.Tensor, torch.Tensor]]] = {}
    for name, part in (("validation", parts.lesson.validation), ("test", parts.test)):
        if part is not None:
            evidence, target = part
            answers[name] = {
                "zero-shot": (probabilities(answer(plain, evidence), bundle.zero_shot_temperature).cpu(), target.cpu()),
                options.choice.head: (probabilities(answer(head, evidence), temperature).cpu(), target.cpu()),
            }
    return answers
