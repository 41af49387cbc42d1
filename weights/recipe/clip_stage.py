"""Training of CLIP from scratch: class names in many templates, coarse classes and captions; images of two sets."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from recipe import augment, data
from recipe.common import Settings, halved, load_checkpoint, publishing, write_json
from recipe.loop import Schedule, run
from recipe.optimiser import MuonAdamW
from recipe.vocab import CONTEXT, load
from recipe.words import TEMPLATES, display_name

CAPTIONS, CAPTION_LENGTH = 64, 24
# Towers of `compare`: vision transformers, convolutional networks, and hybrids (edgenext, mobilevitv2).
TRUNKS = (
    ("resnet10t", 112),
    ("resnet10t", 80),
    ("resnet10t", 64),
    ("resnet18", 96),
    ("convnext_atto", 112),
    ("edgenext_xx_small", 112),
    ("mobilevitv2_050", 96),
    ("vit", 112),
    ("vit", 64),
)


@dataclass(frozen=True)
class Plan:
    """One training run of CLIP. ``trunk`` is a timm model, or "vit" for open_clip's own; with ``grow`` the first views
    are smaller, which is faster at equal accuracy (a convolutional network supports any size)."""

    name: str = "clip"
    trunk: str = "resnet10t"
    side: int = 112
    epochs: int = 44
    rate: float = 2e-3
    muon: bool = True
    grow: bool = True
    batch: int = 96
    batch_rsscn7: int = 32
    limit: float = 0.0

    def side_at(self, progress: float) -> int:
        if not self.grow or self.trunk == "vit":
            return self.side
        return round(self.side * (0.72 if progress < 0.35 else 0.86 if progress < 0.7 else 1.0) / 16) * 16


def configuration(plan: Plan, vocabulary: int) -> dict[str, object]:
    """The configuration of the model for open_clip."""
    if plan.trunk == "vit":
        vision: dict[str, object] = {
            "image_size": plan.side,
            "layers": 6,
            "width": 192,
            "head_width": 48,
            "patch_size": 16 if plan.side >= 96 else 8,
            "pool_type": "avg",
        }
    else:
        vision = {
            "image_size": plan.side,
            "timm_model_name": plan.trunk,
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "linear",
        }
    text = {
        "context_length": CONTEXT,
        "vocab_size": vocabulary,
        "width": 128,
        "heads": 4,
        "layers": 3,
        "pool_type": "eos",
        "eos_id": 2,
        "pad_id": 0,
        "hf_tokenizer_name": "mini",
    }
    return {"embed_dim": 256, "vision_cfg": vision, "text_cfg": text, "custom_text": True}


def export(model: nn.Module, plan: Plan, settings: Settings, target: Path) -> None:
    """Write the model in open_clip's ``local-dir:`` layout, in float16."""
    with publishing(target, "open_clip_config.json") as fresh:
        for file in (settings.work / "tokenizers" / "clip").iterdir():
            shutil.copy(file, fresh)
        vocabulary = len(load(settings.work / "tokenizers" / "clip"))
        image = {"mean": augment.MEAN, "std": augment.STD, "interpolation": "bicubic", "resize_mode": "squash"}
        config = {"model_cfg": configuration(plan, vocabulary), "preprocess_cfg": image}
        (fresh / "open_clip_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        save_file(halved(model), fresh / "open_clip_model.safetensors", {"format": "pt"})


def create(plan: Plan, settings: Settings) -> Any:
    config = configuration(plan, len(load(settings.work / "tokenizers" / "clip")))
    torch.manual_seed(settings.seed)
    model: Any = open_clip.CustomTextCLIP(**{k: v for k, v in config.items() if k != "custom_text"})
    return model.to(settings.device, memory_format=torch.channels_last)


class Words:
    """Token ids of the texts that images are compared with; templates are drawn at random for each step."""

    def __init__(self, settings: Settings) -> None:
        self.tokenizer = load(settings.work / "tokenizers" / "clip")
        self.device = settings.device
        rsicd, rsscn7, coarse = settings.lexicon.rsicd, settings.lexicon.rsscn7, settings.lexicon.coarse
        self.groups = [
            [i for i, members in enumerate(coarse.values()) if kind in members]
            for kind in (*sorted(rsicd), *sorted(rsscn7))
        ]
        self.sets = [[rsicd[kind] for kind in sorted(rsicd)], [rsscn7[kind] for kind in sorted(rsscn7)], list(coarse)]

    def ids(self, texts: list[str], longest: int = CONTEXT) -> torch.Tensor:
        """Token ids, padded to the longest text: tokens after the end token have no effect in a causal tower."""
        rows = self.tokenizer(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt")
        out: torch.Tensor = rows["input_ids"].to(self.device)
        return out

    def draw(self, generator: torch.Generator) -> tuple[list[str], list[int]]:
        """One text for each class of RSICD, of RSSCN7, and for each coarse class; also the numbers of these."""

        def chance() -> float:
            return float(torch.rand(1, generator=generator))

        texts = []
        for names in (names for some in self.sets for names in some):
            name = names[0] if chance() < 0.4 else names[int(chance() * len(names))]
            template = TEMPLATES[0] if chance() < 0.35 else TEMPLATES[int(chance() * len(TEMPLATES))]
            texts.append(template.format(name))
        return texts, [len(some) for some in self.sets]


def encode_text(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Text features, computed without padding up to the context length."""
    text = model.text
    length = ids.shape[1]
    x = text.token_embedding(ids) + text.positional_embedding[:length]
    x = text.transformer(x, attn_mask=text.attn_mask[:length, :length])
    x = text.ln_final(x)[torch.arange(len(ids), device=ids.device), (ids == 2).int().argmax(dim=1)]
    return functional.normalize((x @ text.text_projection).float(), dim=-1)


@torch.no_grad()
def accuracy(model: Any, images: data.ImageSet, side: int, words: Words) -> torch.Tensor:
    """Whether the zero-shot prediction with "a photo of a NAME." is correct, bool [N]."""
    model.eval()
    device = words.device
    text = encode_text(model, words.ids([TEMPLATES[0].format(display_name(kind)) for kind in images.classes]))
    right = []
    for i in range(0, len(images), 128):
        pixels = augment.whole(images.pixels[i : i + 128].to(device), side)
        feature = model.encode_image(pixels.contiguous(memory_format=torch.channels_last))
        right.append((feature.float() @ text.T).argmax(dim=1).cpu() == images.target[i : i + 128])
    model.train()
    return torch.cat(right)


def _batch_loss(
    model: Any, side: int, words: Words, batches: tuple[data.ImageSet, data.ImageSet], generator: torch.Generator
) -> torch.Tensor:
    first, second = batches
    views = torch.cat([augment.views(some.pixels, side, generator) for some in batches])
    feature = functional.normalize(
        model.visual(views.to(words.device).contiguous(memory_format=torch.channels_last)).float(), dim=-1
    )
    texts, counts = words.draw(generator)
    # Captions for a part of the batch only, to limit the time for the text tower.
    captions = [some[int(torch.randint(len(some), (1,), generator=generator))] for some in first.captions[:CAPTIONS]]
    names30, names7, coarse = encode_text(model, words.ids(texts)).split(counts)
    caption_features = encode_text(model, words.ids(captions, CAPTION_LENGTH))
    scale = model.logit_scale.exp().clamp(max=100)
    n = len(first)
    target = first.target.to(words.device)
    loss = functional.cross_entropy(scale * feature[:n] @ names30.T, target, label_smoothing=0.1)
    target7 = second.target.to(words.device)
    loss7 = functional.cross_entropy(scale * feature[n:] @ names7.T, target7, label_smoothing=0.1)
    kinds = torch.cat((first.target, second.target + counts[0])).tolist()
    rows = [(i, words.groups[kind][0]) for i, kind in enumerate(kinds) if words.groups[kind]]
    index = torch.tensor([i for i, _ in rows], device=words.device)
    group = torch.tensor([g for _, g in rows], device=words.device)
    loss_coarse = functional.cross_entropy(scale * feature[index] @ coarse.T, group, label_smoothing=0.1)
    # A caption of another image of the same class is nearly as correct: half of the target is distributed among these.
    caption_target = target[: len(caption_features)]
    same = (caption_target[:, None] == caption_target[None, :]).float()
    soft = 0.5 * torch.eye(len(caption_features), device=words.device) + 0.5 * same / same.sum(dim=1, keepdim=True)
    logits = scale * feature[: len(caption_features)] @ caption_features.T
    loss_captions = (functional.cross_entropy(logits, soft) + functional.cross_entropy(logits.T, soft)) / 2
    fraction = n / len(feature)
    return fraction * loss + (1 - fraction) * loss7 + 0.3 * loss_coarse + 0.3 * loss_captions


def train(settings: Settings, plan: Plan) -> Any:
    """Train, resuming after the last complete epoch; the final weights are returned."""
    words = Words(settings)
    first, second = data.training_images(settings), data.rsscn7(settings)
    parts = data.rsicd(settings)
    # In the final build nothing is selected; held-out images only show the progress.
    unseen = data.joined(parts["shots"], parts["fitting"]) if settings.final else parts["val"]
    checks = {"rsscn7": second["val"], "rsicd": unseen}
    learn7 = second["train"]
    model = create(plan, settings)
    optimiser = MuonAdamW(
        model,
        decay=0.05,
        muon=plan.muon,
        plain=("embedding", "stem", "conv1.0", "patch_embed", "visual.conv1", "logit_scale"),
    )
    epochs = iter(range(1, plan.epochs + 1))

    def draw(generator: torch.Generator) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return data.paired(len(first), plan.batch, len(learn7), plan.batch_rsscn7, generator)

    def losses_of(
        rows: tuple[torch.Tensor, torch.Tensor], progress: float, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        batches = first.take(rows[0]), learn7.take(rows[1])
        return {"loss": _batch_loss(model, plan.side_at(progress), words, batches, generator)}

    def measure(last: bool) -> dict[str, Any]:
        scale = round(float(model.logit_scale.detach().exp()), 1)
        if next(epochs) % 5 and not last:
            return {"scale": scale}
        right = {name: accuracy(model, some, plan.side, words) for name, some in checks.items()}
        return {"scale": scale} | {name: round(100 * float(some.float().mean()), 2) for name, some in right.items()}

    schedule = Schedule(plan.name, plan.epochs, plan.rate, plan.limit, stream=11)
    run(settings, schedule, model, optimiser, draw, losses_of, measure)
    return model


def compare(settings: Settings, minutes: float) -> None:
    """Compare image towers at equal training time, trained on train and measured on validation; for the card."""
    tried = []
    for trunk, side in TRUNKS:
        plan = Plan(name=f"try-{trunk}-{side}", trunk=trunk, side=side, epochs=1000, grow=False, limit=minutes)
        model = train(settings, plan).eval()
        found = load_checkpoint(settings.work / "checkpoints" / f"{plan.name}.safetensors")
        state = found[1] if found else {}
        pixels = torch.randn(64, 3, side, side, device=settings.device).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            model.encode_image(pixels)
            clock = time.monotonic()
            for _ in range(5):
                model.encode_image(pixels)
        tried.append(
            {
                "image tower": trunk,
                "side": side,
                "minutes": minutes,
                "steps": state.get("steps"),
                "million weights": round(sum(p.numel() for p in model.visual.parameters()) / 1e6, 2),
                "pictures a second": round(5 * 64 / (time.monotonic() - clock)),
                **{key: value for key, value in state.get("scores", {}).items() if key != "scale"},
            }
        )
        write_json(settings.work / "compare.json", tried)


def build(settings: Settings, plan: Plan) -> None:
    """Train and write ``clip/``."""
    model = train(settings, plan)
    export(model, plan, settings, settings.out / "clip")
