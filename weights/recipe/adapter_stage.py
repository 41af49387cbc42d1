"""The prompt learner on top of the frozen models, trained by the published protocol, and both heads' temperatures.

It learns from pictures that CLIP and captioner never saw: on pictures that CLIP knows by heart there is nothing left
to correct, and confidence fitted on them would be far too high.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn import functional

from bimors_cli.bundle.adapter import WEIGHTS, write_adapter_manifest
from bimors_cli.bundle.manifest import ADAPTER, CAPTION_ENCODER, CAPTIONER, CLIP, write_bundle_manifest
from bimors_cli.labels import Labels
from bimors_cli.model.caption_encoder import CaptionEncoder
from bimors_cli.model.captioner import Captioner
from bimors_cli.model.clip import Clip
from bimors_cli.model.evidence import Evidence, FrozenModels, concatenate
from bimors_cli.model.heads import BimorsHead, ZeroShotHead
from bimors_cli.model.prompt_learner import PromptLearner, PromptLearnerWidths
from recipe import augment, data
from recipe.common import Settings, publish, read_json, scratch, write_json
from recipe.data import FITTING, SHOTS
from recipe.words import spoken

CONTEXT = "a photo of a"
RATE, WARM_RATE, MOMENTUM, DECAY, EPOCHS, BATCH = 0.009, 1e-5, 0.9, 5e-4, 10, 4
LICENCES = {
    "weights": "Apache-2.0 (this project), made from imagery with terms of its own: for research use",
    "RSICD / AID imagery and captions": "not redistributed; cite Lu et al. 2018 and Xia et al. 2017; research use",
    "RSSCN7 imagery": "not redistributed; cite Zou et al. 2015; licence not stated",
    "RSITMD captions": "not redistributed; cite Yuan et al. 2022; licence not stated",
}


def load_frozen(folder: Path) -> FrozenModels:
    return FrozenModels(
        Clip.load(folder / CLIP),
        Captioner.load(folder / CAPTIONER),
        CaptionEncoder.load(folder / CAPTION_ENCODER),
        torch.device("cpu"),
    )


def gather(frozen: FrozenModels, pictures: data.Pictures, batch: int = 64) -> Evidence:
    """Evidence of all pictures, as the program gathers it."""
    return concatenate([frozen.gather(rows) for rows in pictures.pixels.split(batch)])


def part(evidence: Evidence, rows: torch.Tensor) -> Evidence:
    return Evidence(
        evidence.image_feature[rows],
        evidence.patch_tokens[rows],
        tuple(evidence.captions[int(i)] for i in rows),
        evidence.caption_embedding[rows],
    )


def names_of(pictures: data.Pictures) -> Labels:
    return Labels.of([spoken(kind) for kind in pictures.classes])


def seen_anew(clip: Clip, pictures: data.Pictures, told: Evidence, generator: torch.Generator) -> Evidence:
    """Evidence of random views, as in the protocol: CLIP looks at a view, the caption is that of the whole picture."""
    parts = []
    for rows in pictures.pixels.split(64):
        views = augment.views(rows, clip.preprocessing.size, generator, smallest=0.6)
        parts.append(clip.see(augment.as_bytes(views)))
    feature, tokens = (torch.cat(some) for some in zip(*parts, strict=True))
    return Evidence(feature, tokens, told.captions, told.caption_embedding)


def learn(clip: Clip, pictures: data.Pictures, told: Evidence, sharp: float, settings: Settings) -> PromptLearner:
    """SGD 0.009 with momentum, 10 epochs, cosine after one epoch at 1e-5, batches of 4: the published protocol.

    ``sharp`` is the zero-shot head's temperature: a full-size CLIP ends its training with a scale of 100 and so does
    not need it; this one's scale is far too soft, and the loss would bend the prompts only to make up for that.
    """
    torch.manual_seed(settings.seed)
    context = clip.embed_words(CONTEXT)
    widths = PromptLearnerWidths(
        len(context), context.shape[1], told.patch_tokens.shape[2], told.caption_embedding.shape[1]
    )
    learner = PromptLearner(widths, context)
    head = BimorsHead(clip, names_of(pictures), learner)
    optimiser = torch.optim.SGD(learner.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
    for epoch in range(EPOCHS):
        rate = WARM_RATE
        if epoch:
            rate = 0.5 * RATE * (1 + math.cos(math.pi * (epoch - 1) / (EPOCHS - 1)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        generator = settings.generator(19, epoch)
        evidence = seen_anew(clip, pictures, told, generator)
        total = 0.0
        for rows in torch.randperm(len(pictures), generator=generator).split(BATCH):
            logits = head.logits(part(evidence, rows)) / sharp
            loss = functional.cross_entropy(logits, pictures.target[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += float(loss.detach()) * len(rows) / len(pictures)
        settings.log("adapter", epoch=epoch + 1, rate=round(rate, 6), loss=round(total, 4))
    return learner.eval().requires_grad_(False)


def temperature(logits: torch.Tensor, target: torch.Tensor) -> float:
    """The temperature that makes these answers most likely (Guo et al. 2017)."""
    log = torch.zeros((), requires_grad=True)
    optimiser = torch.optim.LBFGS([log], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = functional.cross_entropy(logits / log.exp(), target)
        loss.backward()
        return loss

    optimiser.step(closure)
    return float(log.detach().exp())


@torch.no_grad()
def answers(head: BimorsHead | ZeroShotHead, evidence: Evidence, batch: int = 64) -> torch.Tensor:
    """Logits of all pictures."""
    rows = torch.arange(len(evidence)).split(batch)
    return torch.cat([head.logits(part(evidence, some)) for some in rows])


def build(settings: Settings) -> None:
    """Train the adapter; write ``adapter/``, ``manifest.json`` and ``vocabulary.json``."""
    frozen = load_frozen(settings.out)
    parts = data.rsicd(settings)
    shots, fitting = parts["shots"], parts["fitting"]
    labels = names_of(shots)
    evidence, unseen = gather(frozen, shots), gather(frozen, fitting)
    plain = answers(ZeroShotHead(frozen.clip, labels, CONTEXT), unseen)
    cold = {"zero-shot": temperature(plain, fitting.target)}
    learner = learn(frozen.clip, shots, evidence, cold["zero-shot"], settings)
    tuned = answers(BimorsHead(frozen.clip, labels, learner), unseen)
    cold["bimors"] = temperature(tuned, fitting.target)
    right = {
        k: round(100 * float((v.argmax(1) == fitting.target).float().mean()), 2)
        for k, v in (("zero-shot", plain), ("bimors", tuned))
    }
    settings.log("adapter", temperature=cold, right_on_fitting=right)

    words = read_json(settings.work / "vocabulary.json")
    write_json(settings.out / "vocabulary.json", words)
    looking = [model for model in (frozen.clip, frozen.captioner) if isinstance(model, (Clip, Captioner))]
    bundle = write_bundle_manifest(
        settings.out,
        name="mini",
        description="Small models trained from nothing on RSICD and RSSCN7 pictures",
        context=CONTEXT,
        image_size=max(model.preprocessing.size for model in looking),
        zero_shot_temperature=cold["zero-shot"],
        vocabulary=words,
        licences=LICENCES,
    )
    target = settings.out / ADAPTER
    fresh = scratch(target)
    save_file(
        {k: v.contiguous() for k, v in learner.state_dict().items()},
        fresh / WEIGHTS,
        {"widths": str(asdict(learner.widths))},
    )
    write_adapter_manifest(
        fresh,
        bundle,
        name="rsicd",
        labels=labels.names,
        temperature=cold["bimors"],
        training={
            "data": "RSICD validation pictures that no frozen model saw",
            "shots": str(SHOTS),
            "temperature fitted on": f"{FITTING} other pictures a class",
            "protocol": f"SGD {RATE}, momentum {MOMENTUM}, weight decay {DECAY}, {EPOCHS} epochs, batch {BATCH}, "
            f"cosine after one epoch at {WARM_RATE}",
            "seed": str(settings.seed),
        },
    )
    publish(fresh, target)
    shutil.rmtree(target.with_name(f".{target.name}.old"), ignore_errors=True)
