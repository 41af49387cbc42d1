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
from torch import nn

from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import Bundle, open_bundle
from bimors_cli.errors import Interrupted
from bimors_cli.model.cache import Cache, search
from bimors_cli.model.evidence import Evidence, FrozenModels
from bimors_cli.model.heads import Head, ZeroShotHead, probabilities
from bimors_cli.model.trainable import make_head, new_learner
from bimors_cli.pipeline.models import load_models
from bimors_cli.pipeline.run import Silent as SilentStop
from bimors_cli.pipeline.run import Stop
from bimors_cli.training.adapter_folder import Answers, Results, check_output, save_adapter
from bimors_cli.training.calibration import fit_temperature
from bimors_cli.training.evidence import gather_readable, gather_views, gather_whole, load_evidence, save_evidence
from bimors_cli.training.examples import TEST, Examples
from bimors_cli.training.loop import EpochFigures, Material, Training, answer, train
from bimors_cli.training.options import FinetuneOptions
from bimors_cli.training.sampling import Sample, few_shot
from bimors_cli.training.source import find_examples
from bimors_cli.training.summary import FinetuneSummary
from bimors_cli.training.workshop import Workshop

log = logging.getLogger("bimors")


class FinetuneProgress(Protocol):
    """Who shows how far a run is."""

    def begin(self, what: str, total: int) -> None:
        """Start counting ``total`` pictures that are to be looked at, for ``what``."""

    def advance(self, count: int) -> None:
        """Count pictures."""

    def epoch(self, figures: EpochFigures, total: int) -> None:
        """Show an epoch of ``total``."""


class Silent:
    """Shows nothing."""

    def begin(self, what: str, total: int) -> None:
        """Show nothing."""

    def advance(self, count: int) -> None:
        """Show nothing."""

    def epoch(self, figures: EpochFigures, total: int) -> None:
        """Show nothing."""


@dataclass(frozen=True)
class _Parts:
    """Evidence of the three parts; targets int64."""

    material: Material
    whole: Evidence
    validation: tuple[Evidence, torch.Tensor] | None
    test: tuple[Evidence, torch.Tensor] | None


def finetune(
    options: FinetuneOptions, *, progress: FinetuneProgress | None = None, stop: Stop | None = None
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
    check_output(output, overwrite=options.overwrite)
    sample = few_shot(examples, options.shots, options.seed)
    plan = _plan(options, bundle, examples, sample)
    work = Workshop(output, plan, resume=options.resume, overwrite=options.overwrite)
    try:
        models = load_models(bundle, options.device, captions=options.captions)
        parts = _gather(models, bundle, examples, sample, options, plan, work, progress)
        seconds = {"evidence": time.perf_counter() - clock}
        clock = time.perf_counter()
        training, head = _train(models, bundle, examples, parts, options, work, progress, stop)
        seconds["training"] = time.perf_counter() - clock
        temperature, answers = _measure(models, bundle, examples, parts, options, head)
        results = Results(examples.labels.names, temperature, answers, _trained(training), sample, seconds)
        save_adapter(output, bundle, examples, options, training, results, overwrite=options.overwrite)
        work.finish()
    finally:
        work.release()
    return FinetuneSummary.of(str(output), examples, results)


def _plan(options: FinetuneOptions, bundle: Bundle, examples: Examples, sample: Sample) -> Mapping[str, Any]:
    """All that decides the adapter, for the workshop."""

    def digest(rows: Sequence[int]) -> str:
        told = [(e.where, e.label, e.weight) for e in (examples.examples[row] for row in rows)]
        return hashlib.sha256(json.dumps([told, list(examples.labels.names)]).encode()).hexdigest()

    recipe = options.recipe
    return {
        "bundle": bundle.sha256,
        "train": digest(sample.train),
        "validation": digest(sample.validation),
        "head": options.head,
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
    bundle: Bundle,
    examples: Examples,
    sample: Sample,
    options: FinetuneOptions,
    plan: Mapping[str, Any],
    work: Workshop,
    progress: FinetuneProgress,
) -> _Parts:
    side, device = bundle.image_size, models.device
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
    material = Material(
        views,
        _targets(learned).to(device),
        torch.tensor([example.weight for example in learned.examples], dtype=torch.float32, device=device),
    )
    validation = None if seen is None else (seen, _targets(checked).to(device))
    rows = [row for row, example in enumerate(examples.examples) if example.part == TEST]
    test = None
    if rows:
        part = examples.take(rows)
        progress.begin("test pictures", len(part))
        evidence, readable = gather_readable(models, part, side, progress.advance)
        test = evidence, _targets(part.take(readable)).to(device)
    return _Parts(material, whole, validation, test)


def _targets(examples: Examples) -> torch.Tensor:
    return torch.tensor([example.label for example in examples.examples], dtype=torch.int64)


def _train(
    models: FrozenModels,
    bundle: Bundle,
    examples: Examples,
    parts: _Parts,
    options: FinetuneOptions,
    work: Workshop,
    progress: FinetuneProgress,
    stop: Stop,
) -> tuple[Training, Head]:
    labels = examples.labels
    learner: nn.Module = new_learner(options.head, models, bundle.context, classes=len(labels), seed=options.seed)
    if options.freeze_caption_projection:
        learner.get_submodule("caption_projection").requires_grad_(False)
    if options.cache or options.head == "cache":
        scale = float(models.clip.scale) / bundle.zero_shot_temperature
        cache = Cache.of(parts.whole.image_feature, parts.material.target, len(labels), scale)
        learner.add_module("cache", cache.to(models.device))
    head = make_head(options.head, models.clip, labels, learner, words=bundle.context, trained=labels.names)
    recipe = options.recipe
    training = Training.begin(learner, recipe)
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

    train(head, training, parts.material, parts.validation, recipe, bundle.zero_shot_temperature, after_epoch)
    learner.load_state_dict(training.best)
    learner.eval().requires_grad_(False)
    held = dict(learner.named_children()).get("cache")
    if isinstance(held, Cache) and parts.validation is not None:
        evidence, target = parts.validation
        base = answer(head, evidence) - held(evidence.image_feature)
        alpha, beta = search(base, evidence.image_feature, target, held.keys, held.values)
        held.alpha.fill_(alpha)
        held.beta.fill_(beta)
    return training, head


def _measure(
    models: FrozenModels,
    bundle: Bundle,
    examples: Examples,
    parts: _Parts,
    options: FinetuneOptions,
    head: Head,
) -> tuple[float, Answers]:
    """The temperature, and both heads' calibrated answers."""
    temperature = bundle.zero_shot_temperature
    if parts.validation is None:
        log.warning("no example is left for validation: the confidence is not calibrated")
    else:
        temperature = fit_temperature(answer(head, parts.validation[0]).cpu(), parts.validation[1].cpu())
    plain = ZeroShotHead(models.clip, examples.labels, bundle.context)
    answers: dict[str, dict[str, tuple[torch.Tensor, torch.Tensor]]] = {}
    for name, part in (("validation", parts.validation), ("test", parts.test)):
        if part is not None:
            evidence, target = part
            answers[name] = {
                "zero-shot": (probabilities(answer(plain, evidence), bundle.zero_shot_temperature).cpu(), target.cpu()),
                options.head: (probabilities(answer(head, evidence), temperature).cpu(), target.cpu()),
            }
    return temperature, answers


def _trained(training: Training) -> int:
    """Count what the optimiser changed (the learner is frozen by now)."""
    return sum(p.numel() for group in training.optimiser.param_groups for p in group["params"])
