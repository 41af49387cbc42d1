"""The prompt learner on top of the frozen models, and its temperature.

CLIP and captioner know their training pictures, and on these there would be little left to correct and confidence far
too high. So the prompt learner learns from random views, in which both are wrong about as often as on pictures that
they never saw, and from the held-out shots; its temperature is fitted on pictures that nothing learned from.
"""

from __future__ import annotations

import copy
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from safetensors.torch import save_file
from torch.nn import functional

from bimors_cli.bundle.adapter import WEIGHTS, write_adapter_manifest
from bimors_cli.bundle.manifest import ADAPTER, open_bundle
from bimors_cli.labels import Labels
from bimors_cli.model.clip import Clip
from bimors_cli.model.evidence import EncoderOutputs, FrozenModels, concatenate
from bimors_cli.model.heads.bimors import BimorsHead, PromptLearner
from bimors_cli.model.heads.registry import make_learner
from bimors_cli.model.heads.zero_shot import ZeroShotHead
from bimors_cli.model.text_encoder import NameTokens
from bimors_cli.pipeline.inference.load import load_models
from bimors_cli.training.calibration import fit_temperature
from bimors_cli.training.train import answer
from recipe import augment, data
from recipe.bundle_stage import CONTEXT, TEMPLATES, gather, keep, names_of
from recipe.common import Settings, one_cycle, publish, scratch
from recipe.words import RSICD, RSSCN7

# SGD at the published 0.009 moves this learner hardly at all: a text tower of width 128 has small gradients.
RATE, DECAY, EPOCHS, BATCH, BATCH_RSSCN7 = 2e-3, 0.01, 6, 32, 8
VIEWS, PLAIN = 2, 0.7
STRENGTHS = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Lessons:
    """Evidence of N views of one set of pictures, and what its classes may be called, token by token.

    ``names`` are the tokens of every name of every class; ``rows`` the places of a class's names in them.
    """

    evidence: EncoderOutputs
    target: torch.Tensor
    names: NameTokens
    rows: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, clip: Clip, evidence: EncoderOutputs, pictures: data.Pictures, target: torch.Tensor) -> Lessons:
        words = [(RSICD.get(kind) or RSSCN7[kind]) for kind in pictures.classes]
        known = list(dict.fromkeys(name for some in words for name in some))
        rows = tuple(tuple(known.index(name) for name in some) for some in words)
        return cls(evidence, target, clip.name_tokens(Labels.of(known), len(clip.embed_words(CONTEXT))), rows)

    def draw(self, generator: torch.Generator) -> NameTokens:
        """One name of each class: mostly the first, else any. A label list is the user's own."""
        plain = float(torch.rand(1, generator=generator)) < PLAIN
        some = [row[0 if plain else int(torch.randint(len(row), (1,), generator=generator))] for row in self.rows]
        end = self.names.end[some]
        return NameTokens(self.names.ids[some, : int(end.max()) + 1], end)


def gather_views(frozen: FrozenModels, pictures: data.Pictures, generator: torch.Generator) -> EncoderOutputs:
    """Evidence of one random view of each picture; the captions are those of the views as well."""
    side = frozen.clip.preprocessing.size
    parts = []
    for rows in pictures.pixels.split(64):
        views = augment.views(rows, side, generator, smallest=0.6, largest=1.4)
        parts.append(frozen.encode(augment.as_bytes(views)))
    return concatenate(parts)


def learn(frozen: FrozenModels, lessons: Sequence[Lessons], sharp: float, settings: Settings) -> PromptLearner:
    """Train the prompt learner alone, AdamW with one cycle.

    ``sharp`` is the zero-shot head's temperature: a full-size CLIP ends its training with a scale of 100 and so does
    not need it; this one's scale is far too soft, and the loss would bend the prompts only to make up for that.
    """
    learner = make_learner("bimors", frozen, CONTEXT, classes=0, seed=settings.seed)
    assert isinstance(learner, PromptLearner)
    tower = frozen.clip.text_tower()
    scale = frozen.clip.scale / sharp
    optimiser = torch.optim.AdamW(learner.parameters(), lr=RATE, weight_decay=DECAY)
    first, second = lessons
    steps = len(first.target) // BATCH
    clock = time.monotonic()
    for epoch in range(EPOCHS):
        generator = settings.generator(19, epoch)
        batches = data.paired(len(first.target), BATCH, len(second.target), BATCH_RSSCN7, generator)
        total = 0.0
        for step, rows in enumerate(batches):
            for group in optimiser.param_groups:
                group["lr"] = RATE * one_cycle((epoch + step / steps) / EPOCHS, warm=0.05)
            loss = torch.zeros(())
            for some, chosen in zip(lessons, rows, strict=True):
                seen = some.evidence.take(chosen)
                text = tower(learner(seen.patch_tokens, seen.caption_embedding), some.draw(generator))
                logits = scale * torch.einsum("be,bke->bk", seen.image_feature, text)
                share = len(chosen) / (BATCH + BATCH_RSSCN7)
                loss = loss + share * functional.cross_entropy(logits, some.target[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += float(loss.detach()) / len(batches)
        minutes = round((time.monotonic() - clock) / 60, 2)
        settings.log("adapter", epoch=epoch + 1, steps=steps * (epoch + 1), minutes=minutes, loss=round(total, 4))
    return learner.eval().requires_grad_(False)


def weakened(learner: PromptLearner, start: torch.Tensor, strength: float) -> PromptLearner:
    """A prompt learner between the untrained one, which answers as zero-shot, and the trained one: the context's way
    from ``start`` and all that is added to it, times a number (after Wortsman et al. 2022, arXiv 2109.01903).
    """
    between = copy.deepcopy(learner)
    with torch.no_grad():
        between.context.copy_(start + strength * (learner.context - start))
        between.attention.out_proj.weight.mul_(strength)
        between.attention.out_proj.bias.mul_(strength)
    return between


def choose_strength(
    frozen: FrozenModels,
    learner: PromptLearner,
    checks: Sequence[tuple[Labels, EncoderOutputs, torch.Tensor]],
    sharp: float,
) -> tuple[float, dict[str, list[float]]]:
    """The strength with the least loss on held-out pictures, each set with the same weight; and what all came to."""
    start = frozen.clip.embed_words(CONTEXT)
    told: dict[str, list[float]] = {}
    for strength in STRENGTHS:
        between = weakened(learner, start, strength)
        logits = [answer(BimorsHead(frozen.clip, labels, between), seen) / sharp for labels, seen, _ in checks]
        losses = [functional.cross_entropy(x, target) for x, (_, _, target) in zip(logits, checks, strict=True)]
        told[str(strength)] = [round(float(loss), 4) for loss in losses]
    return min(STRENGTHS, key=lambda strength: sum(told[str(strength)])), told


def build(settings: Settings) -> None:
    """Train the adapter; write ``adapter/``."""
    bundle = open_bundle(settings.out)
    frozen = load_models(bundle, "cpu")
    parts, other = data.rsicd(settings), data.rsscn7(settings)
    shots, fitting, known = parts["shots"], parts["fitting"], data.training_pictures(settings)
    labels = names_of(shots)

    def kept(name: str, make: Callable[[], EncoderOutputs]) -> EncoderOutputs:
        return keep(settings, bundle, name, make)

    unseen = kept("fitting", lambda: gather(frozen, fitting))
    plain = answer(ZeroShotHead(frozen.clip, labels, TEMPLATES), unseen)
    cold = {"zero-shot": bundle.zero_shot_temperature}
    views = [
        kept(f"views-{i}", lambda i=i: gather_views(frozen, known, settings.generator(31, i)))  # type: ignore[misc]
        for i in range(VIEWS)
    ]
    views.append(kept("shots", lambda: gather(frozen, shots)))
    views.append(kept("shots-views", lambda: gather_views(frozen, shots, settings.generator(37))))
    target = torch.cat((*[known.target] * VIEWS, shots.target, shots.target))
    views7 = kept("rsscn7-views", lambda: gather_views(frozen, other["train"], settings.generator(41)))
    lessons = (
        Lessons.of(frozen.clip, concatenate(views), shots, target),
        Lessons.of(frozen.clip, views7, other["train"], other["train"].target),
    )
    right = lessons[0].target == answer(ZeroShotHead(frozen.clip, labels, TEMPLATES), lessons[0].evidence).argmax(dim=1)
    settings.log("adapter", zero_shot_right_on_views=round(100 * float(right.float().mean()), 2))
    learner = learn(frozen, lessons, cold["zero-shot"], settings)
    check = other["val"]
    seen = kept("rsscn7-validation", lambda: gather(frozen, check))
    checks = (labels, unseen, fitting.target), (names_of(check), seen, check.target)
    strength, losses = choose_strength(frozen, learner, checks, cold["zero-shot"])
    settings.log("adapter", strength=strength, losses_by_strength=losses)
    learner = weakened(learner, frozen.clip.embed_words(CONTEXT), strength)

    tuned = answer(BimorsHead(frozen.clip, labels, learner), unseen)
    cold["bimors"] = fit_temperature(tuned, fitting.target)
    settings.log("adapter", temperature=cold, right_on_fitting=_right(plain, tuned, fitting.target))
    plain = answer(ZeroShotHead(frozen.clip, names_of(check), TEMPLATES), seen)
    tuned = answer(BimorsHead(frozen.clip, names_of(check), learner), seen)
    settings.log("adapter", right_on_rsscn7_validation=_right(plain, tuned, check.target))

    folder = settings.out / ADAPTER
    fresh = scratch(folder)
    save_file({k: v.contiguous() for k, v in learner.state_dict().items()}, fresh / WEIGHTS)
    write_adapter_manifest(
        fresh,
        bundle,
        name="mini",
        head="bimors",
        labels=list(dict.fromkeys((*labels.names, *names_of(check).names))),
        temperature=cold["bimors"],
        training={
            "data": f"{VIEWS} random views of each RSICD picture that the frozen models learned from, "
            f"{data.SHOTS} pictures a class that they never saw, a view of each RSSCN7 training picture",
            "words": "one name a class, drawn anew for each batch from its name and its synonyms",
            "recipe": f"AdamW {RATE}, weight decay {DECAY}, {EPOCHS} epochs, batch {BATCH} + {BATCH_RSSCN7}, one cycle",
            "strength": f"{strength:g} of the way from zero-shot (of {', '.join(f'{s:g}' for s in STRENGTHS)}): least "
            f"loss on {data.FITTING} other RSICD pictures a class and RSSCN7's validation part",
            "temperature fitted on": f"these {data.FITTING} pictures a class",
            "seed": str(settings.seed),
        },
    )
    publish(fresh, folder)
    shutil.rmtree(folder.with_name(f".{folder.name}.old"), ignore_errors=True)


def _right(plain: torch.Tensor, tuned: torch.Tensor, target: torch.Tensor) -> dict[str, float]:
    return {
        name: round(100 * float((logits.argmax(dim=1) == target).float().mean()), 2)
        for name, logits in (("zero-shot", plain), ("bimors", tuned))
    }
