"""Training of the prompt learner on the frozen models, and of its temperature.

On their own training images CLIP and captioner make few errors and are overconfident. So the prompt learner is trained
on random views, where their error rate is about that of new images, and on the held-out shots. Its temperature is
fitted on images that no model was trained on.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from safetensors.torch import save_file
from torch.nn import functional

from bimors_cli.bundle.adapter import MANIFEST, WEIGHTS, write_adapter_manifest
from bimors_cli.bundle.manifest import ADAPTER, open_bundle
from bimors_cli.labels import Labels
from bimors_cli.model.clip import Clip
from bimors_cli.model.frozen_models import EncoderOutputs, FrozenModels, concatenate
from bimors_cli.model.heads.bimors import BimorsHead, PromptLearner
from bimors_cli.model.heads.registry import make_learner
from bimors_cli.model.heads.zero_shot import ZeroShotHead
from bimors_cli.model.text_encoder import NameTokens
from bimors_cli.pipeline.inference.load import load_models
from bimors_cli.training.calibration import fit_temperature
from bimors_cli.training.train import predict_logits
from recipe import augment, data
from recipe.bundle_stage import CONTEXT, TEMPLATES, cached, encode, names_of
from recipe.common import Settings, one_cycle, publishing
from recipe.words import RSICD, RSSCN7

# SGD with the published rate of 0.009 hardly changes this learner: a text tower of width 128 has small gradients.
RATE, DECAY, EPOCHS, BATCH, BATCH_RSSCN7 = 2e-3, 0.01, 6, 32, 8
VIEWS, PLAIN = 2, 0.7
STRENGTHS = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class NamedViews:
    """Encoder outputs of N views of one set of images, and the names of its classes as tokens.

    ``names`` are the tokens of all names of all classes; ``rows`` are the rows of each class in them.
    """

    features: EncoderOutputs
    target: torch.Tensor
    names: NameTokens
    rows: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, clip: Clip, features: EncoderOutputs, images: data.ImageSet, target: torch.Tensor) -> NamedViews:
        words = [(RSICD.get(kind) or RSSCN7[kind]) for kind in images.classes]
        names = list(dict.fromkeys(name for some in words for name in some))
        rows = tuple(tuple(names.index(name) for name in some) for some in words)
        return cls(features, target, clip.name_tokens(Labels.of(names), len(clip.embed_words(CONTEXT))), rows)

    def draw(self, generator: torch.Generator) -> NameTokens:
        """Draw one name of each class, mostly the first one, since users choose their own labels."""
        plain = float(torch.rand(1, generator=generator)) < PLAIN
        some = [row[0 if plain else int(torch.randint(len(row), (1,), generator=generator))] for row in self.rows]
        end = self.names.end[some]
        return NameTokens(self.names.ids[some, : int(end.max()) + 1], end)


def encode_views(frozen: FrozenModels, images: data.ImageSet, generator: torch.Generator) -> EncoderOutputs:
    """Encode one random view of each image; captions are those of the views."""
    side = frozen.clip.preprocessing.size
    parts = []
    for rows in images.pixels.split(64):
        views = augment.views(rows, side, generator, smallest=0.6, largest=1.4)
        parts.append(frozen.encode(augment.as_bytes(views)))
    return concatenate(parts)


def train(
    frozen: FrozenModels, sets: Sequence[NamedViews], logit_temperature: float, settings: Settings
) -> PromptLearner:
    """Train the prompt learner only, with AdamW and one cycle.

    ``logit_temperature`` is that of the zero-shot head. A full-size CLIP ends its training with a scale of 100 and does
    not need it. The scale of this one is far too low, and the prompts would mostly be fitted to compensate for that.
    """
    learner = make_learner("bimors", frozen, CONTEXT, classes=0, seed=settings.seed)
    assert isinstance(learner, PromptLearner)
    tower = frozen.clip.text_tower()
    scale = frozen.clip.scale / logit_temperature
    optimiser = torch.optim.AdamW(learner.parameters(), lr=RATE, weight_decay=DECAY)
    first, second = sets
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
            for some, chosen in zip(sets, rows, strict=True):
                features = some.features.take(chosen)
                text = tower(learner(features.patch_tokens, features.caption_embedding), some.draw(generator))
                logits = scale * torch.einsum("be,bke->bk", features.image_feature, text)
                fraction = len(chosen) / (BATCH + BATCH_RSSCN7)
                loss = loss + fraction * functional.cross_entropy(logits, some.target[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += float(loss.detach()) / len(batches)
        minutes = round((time.monotonic() - clock) / 60, 2)
        settings.log("adapter", epoch=epoch + 1, steps=steps * (epoch + 1), minutes=minutes, loss=round(total, 4))
    return learner.eval().requires_grad_(False)


def interpolated(learner: PromptLearner, start: torch.Tensor, strength: float) -> PromptLearner:
    """Interpolate between the untrained prompt learner, which equals zero-shot, and the trained one: the change of the
    context from ``start`` and the attention that is added to it are scaled (cf. Wortsman et al. 2022, arXiv
    2109.01903).
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
    logit_temperature: float,
) -> tuple[float, dict[str, list[float]]]:
    """Select the strength with the lowest loss on held-out images, with equal weight for each set; also all losses."""
    start = frozen.clip.embed_words(CONTEXT)
    losses_by_strength: dict[str, list[float]] = {}
    for strength in STRENGTHS:
        between = interpolated(learner, start, strength)
        logits = [
            predict_logits(BimorsHead(frozen.clip, labels, between), features) / logit_temperature
            for labels, features, _ in checks
        ]
        losses = [functional.cross_entropy(x, target) for x, (_, _, target) in zip(logits, checks, strict=True)]
        losses_by_strength[str(strength)] = [round(float(loss), 4) for loss in losses]
    return min(STRENGTHS, key=lambda strength: sum(losses_by_strength[str(strength)])), losses_by_strength


def build(settings: Settings) -> None:
    """Train the adapter; write ``adapter/``."""
    bundle = open_bundle(settings.out)
    frozen = load_models(bundle, "cpu")
    parts, other = data.rsicd(settings), data.rsscn7(settings)
    shots, fitting, known = parts["shots"], parts["fitting"], data.training_images(settings)
    labels = names_of(shots)

    def cached_features(name: str, make: Callable[[], EncoderOutputs]) -> EncoderOutputs:
        return cached(settings, bundle, name, make)

    fitting_features = cached_features("fitting", lambda: encode(frozen, fitting))
    zero_shot = predict_logits(ZeroShotHead(frozen.clip, labels, TEMPLATES), fitting_features)
    temperature = {"zero-shot": bundle.zero_shot_temperature}
    views = [
        cached_features(f"views-{i}", lambda i=i: encode_views(frozen, known, settings.generator(31, i)))  # type: ignore[misc]
        for i in range(VIEWS)
    ]
    views.append(cached_features("shots", lambda: encode(frozen, shots)))
    views.append(cached_features("shots-views", lambda: encode_views(frozen, shots, settings.generator(37))))
    target = torch.cat((*[known.target] * VIEWS, shots.target, shots.target))
    views7 = cached_features("rsscn7-views", lambda: encode_views(frozen, other["train"], settings.generator(41)))
    sets = (
        NamedViews.of(frozen.clip, concatenate(views), shots, target),
        NamedViews.of(frozen.clip, views7, other["train"], other["train"].target),
    )
    right = sets[0].target == predict_logits(ZeroShotHead(frozen.clip, labels, TEMPLATES), sets[0].features).argmax(
        dim=1
    )
    settings.log("adapter", zero_shot_right_on_views=round(100 * float(right.float().mean()), 2))
    learner = train(frozen, sets, temperature["zero-shot"], settings)
    check = other["val"]
    features = cached_features("rsscn7-validation", lambda: encode(frozen, check))
    checks = (labels, fitting_features, fitting.target), (names_of(check), features, check.target)
    strength, losses = choose_strength(frozen, learner, checks, temperature["zero-shot"])
    settings.log("adapter", strength=strength, losses_by_strength=losses)
    learner = interpolated(learner, frozen.clip.embed_words(CONTEXT), strength)

    trained = predict_logits(BimorsHead(frozen.clip, labels, learner), fitting_features)
    temperature["bimors"] = fit_temperature(trained, fitting.target)
    settings.log("adapter", temperature=temperature, right_on_fitting=_right(zero_shot, trained, fitting.target))
    zero_shot = predict_logits(ZeroShotHead(frozen.clip, names_of(check), TEMPLATES), features)
    trained = predict_logits(BimorsHead(frozen.clip, names_of(check), learner), features)
    settings.log("adapter", right_on_rsscn7_validation=_right(zero_shot, trained, check.target))

    folder = settings.out / ADAPTER
    with publishing(folder, MANIFEST) as fresh:
        save_file({k: v.contiguous() for k, v in learner.state_dict().items()}, fresh / WEIGHTS)
        write_adapter_manifest(
            fresh,
            bundle,
            name="mini",
            head="bimors",
            labels=list(dict.fromkeys((*labels.names, *names_of(check).names))),
            temperature=temperature["bimors"],
            training={
                "data": f"{VIEWS} random views of each RSICD image that the frozen models were trained on, "
                f"{data.SHOTS} images per class that they were not trained on, one view of each RSSCN7 training image",
                "words": "one name per class and batch, drawn at random from the class name and its synonyms",
                "recipe": f"AdamW {RATE}, weight decay {DECAY}, {EPOCHS} epochs, batch {BATCH} + {BATCH_RSSCN7}, "
                "one cycle",
                "strength": f"{strength:g} of the change from zero-shot (candidates "
                f"{', '.join(f'{s:g}' for s in STRENGTHS)}): lowest loss on {data.FITTING} other RSICD images per "
                "class and on the validation split of RSSCN7",
                "temperature fitted on": f"the same {data.FITTING} images per class",
                "seed": str(settings.seed),
            },
        )


def _right(zero_shot: torch.Tensor, trained: torch.Tensor, target: torch.Tensor) -> dict[str, float]:
    return {
        name: round(100 * float((logits.argmax(dim=1) == target).float().mean()), 2)
        for name, logits in (("zero-shot", zero_shot), ("bimors", trained))
    }
