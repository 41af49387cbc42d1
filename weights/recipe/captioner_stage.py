"""The captioner: a small BLIP-2 whose vision tower is distilled from the trained CLIP before and during captioning.

A vision transformer trained from scratch on a few thousand images is weak. So it is first trained to predict the
outputs of CLIP's convolutional tower for random views (last feature map and image feature), and this distillation
continues while captions are trained.
"""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    PreTrainedTokenizerFast,
    T5Config,
)

from recipe import augment, clip_stage, data, speech_stage
from recipe.common import Settings, publishing
from recipe.loop import Schedule, run
from recipe.optimiser import MuonAdamW
from recipe.vocab import CAPTION_TOKENS, load
from recipe.words import TEMPLATES, display_name, names_class

QUERIES = 8
IMAGE_TOKEN = 2


@dataclass(frozen=True)
class Plan:
    """One training run of the captioner; ``alone`` is the fraction of it that only distills CLIP."""

    name: str = "captioner"
    side: int = 112
    epochs: int = 28
    rate: float = 1.5e-3
    batch: int = 96
    batch_rsscn7: int = 32
    alone: float = 0.4
    first_side: int = 80
    talk_epochs: int = 20
    talk_rate: float = 1.5e-3
    limit: float = 0.0


def create(plan: Plan, vocabulary: int, seed: int) -> Blip2ForConditionalGeneration:
    vision = Blip2VisionConfig(
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=6,
        num_attention_heads=4,
        image_size=plan.side,
        patch_size=16,
        initializer_range=0.02,
    )
    querying = Blip2QFormerConfig(
        vocab_size=8,
        hidden_size=192,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=512,
        cross_attention_frequency=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=16,
    )
    language = T5Config(
        vocab_size=vocabulary,
        d_model=192,
        d_kv=48,
        d_ff=512,
        num_heads=4,
        num_layers=2,
        num_decoder_layers=2,
        dropout_rate=0.1,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=True,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=speech_stage.START_TOKEN,
    )
    config = Blip2Config(
        vision_config=vision.to_dict(),
        qformer_config=querying.to_dict(),
        text_config=language.to_dict(),
        num_query_tokens=QUERIES,
        image_token_index=IMAGE_TOKEN,
        image_text_hidden_size=64,
    )
    torch.manual_seed(seed)
    model = Blip2ForConditionalGeneration(config)
    model.set_attn_implementation("eager")  # the fused attention's backward pass is slow on processors
    # With zeros all queries would be equal.
    nn.init.normal_(model.query_tokens, std=0.5)
    return model


class Student(nn.Module):
    """The captioner with two layers that predict the outputs of CLIP; these layers are not saved."""

    def __init__(self, model: Blip2ForConditionalGeneration, teacher_width: int, feature_width: int) -> None:
        super().__init__()
        self.captioner = model
        width = model.config.vision_config.hidden_size
        self.to_map = nn.Linear(width, teacher_width)
        self.to_feature = nn.Linear(2 * width, feature_width)

    def compare(self, hidden: torch.Tensor, cells: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Predict the teacher's feature map [B, cells^2, Dv] and its normalised image feature."""
        patches = hidden[:, 1:]
        grid = int(patches.shape[1] ** 0.5)
        pooled = functional.adaptive_avg_pool2d(patches.transpose(1, 2).unflatten(2, (grid, grid)), cells)
        feature = self.to_feature(torch.cat((hidden[:, 0], patches.mean(dim=1)), dim=1))
        return self.to_map(pooled.flatten(2).transpose(1, 2)), functional.normalize(feature.float(), dim=-1)


def load_teacher(settings: Settings) -> tuple[Any, torch.Tensor]:
    """Load the trained CLIP, and its text features of RSICD's class names."""
    folder = settings.out / "clip"
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    model.load_state_dict(load_file(folder / "open_clip_model.safetensors"))
    model = model.eval().requires_grad_(False).to(settings.device, memory_format=torch.channels_last)
    names = [TEMPLATES[0].format(display_name(kind)) for kind in sorted(settings.lexicon.rsicd)]
    texts = clip_stage.encode_text(model, clip_stage.Words(settings).ids(names))
    return model, texts


def caption_tokens(images: data.ImageSet, tokenizer: PreTrainedTokenizerFast) -> list[list[list[int]]]:
    """Token ids of the sentences that the captioner is trained on, for each image.

    Only sentences that end within 15 tokens and name the class are used, since a caption should explain the label. An
    image may have none; then only the vision tower is trained on it.
    """
    frequency: dict[int, int] = {}
    rows = []
    for some, kind in zip(images.captions, images.target.tolist(), strict=True):
        ids = [(tokenizer(text)["input_ids"], names_class(text, images.classes[kind])) for text in some]
        fit = [i for i, named in ids if named and 6 <= len(i) <= CAPTION_TOKENS]
        for token in (token for i in fit for token in i):
            frequency[token] = frequency.get(token, 0) + 1
        rows.append(fit)
    # A sentence with a very rare word mostly has a spelling mistake.
    return [[i for i in some if min(frequency[t] for t in i) >= 5] or some for some in rows]


def train(settings: Settings, plan: Plan) -> Blip2ForConditionalGeneration:
    tokenizer = load(settings.work / "tokenizers" / "captioner")
    first, second = data.training_images(settings), data.rsscn7(settings)["train"]
    speech = caption_tokens(first, tokenizer)
    teacher, texts = load_teacher(settings)
    model = create(plan, len(tokenizer), settings.seed)
    student = Student(model, teacher.visual.trunk.num_features, 256).to(settings.device)
    optimiser = MuonAdamW(student, decay=0.05, plain=("embed", "shared", "query_tokens", "relative", "lm_head"))

    def draw(generator: torch.Generator) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return data.paired(len(first), plan.batch, len(second), plan.batch_rsscn7, generator)

    def losses_of(
        rows: tuple[torch.Tensor, torch.Tensor], progress: float, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        chosen = [speech[int(i)] for i in rows[0]] if progress >= plan.alone else None
        return _losses(plan, student, (teacher, texts), (first.take(rows[0]), second.take(rows[1])), chosen, generator)

    schedule = Schedule(plan.name, plan.epochs, plan.rate, plan.limit, stream=13, warm=0.05, clip=2.0)
    run(settings, schedule, student, optimiser, draw, losses_of)
    schedule = Schedule(f"{plan.name}-speech", plan.talk_epochs, plan.talk_rate, 0.3 * plan.limit, stream=29, clip=2.0)
    names = texts * teacher.logit_scale.exp()
    speech_stage.train(settings, schedule, model, plan.side, first, speech, names)
    parts = data.rsicd(settings)
    check = data.joined(parts["shots"], parts["fitting"]) if settings.final else parts["val"]
    captions = caption(model, tokenizer, check, plan.side, settings.device)
    named = [names_class(c, check.classes[int(t)]) for c, t in zip(captions, check.target, strict=True)]
    settings.log(plan.name, named=round(100 * sum(named) / len(named), 2), examples=captions[::60])
    return model


def _losses(
    plan: Plan,
    student: Student,
    teaching: tuple[Any, torch.Tensor],
    batches: tuple[data.ImageSet, data.ImageSet],
    speech: list[list[list[int]]] | None,
    generator: torch.Generator,
) -> dict[str, torch.Tensor]:
    teacher, texts = teaching
    device = texts.device
    views = torch.cat([augment.views(some.pixels, plan.side, generator) for some in batches]).to(device)
    with torch.no_grad():
        feature_map = teacher.visual.trunk.forward_features(views.contiguous(memory_format=torch.channels_last))
        wanted = functional.normalize(
            teacher.visual.head(teacher.visual.trunk.forward_head(feature_map)).float(), dim=-1
        )
        target = functional.layer_norm(feature_map.flatten(2).transpose(1, 2).float(), feature_map.shape[1:2])
    # In the first part the input of the student is smaller than that of the teacher: half the tokens, half the time.
    shown = views
    if speech is None:
        shown = functional.interpolate(views, plan.first_side, mode="bilinear", antialias=True)
    hidden = student.captioner.vision_model(pixel_values=shown, interpolate_pos_encoding=True).last_hidden_state
    guess, feature = student.compare(hidden, int(target.shape[1] ** 0.5))
    speech_loss = views.new_zeros(())
    if speech is not None:
        captioned = [i for i, some in enumerate(speech) if some]
        chosen = [speech[i][int(torch.randint(len(speech[i]), (1,), generator=generator))] for i in captioned]
        model = student.captioner
        queries = model.query_tokens.expand(len(captioned), -1, -1)
        queries = model.qformer(query_embeds=queries, encoder_hidden_states=hidden[captioned]).last_hidden_state
        speech_loss = speech_stage.speech_loss(model, queries, chosen)
    copied = functional.smooth_l1_loss(guess.float(), target) + 2 * (1 - (feature * wanted).sum(dim=-1)).mean()
    logits = teacher.logit_scale.exp() * feature[: len(batches[0])] @ texts.T
    names = functional.cross_entropy(logits, batches[0].target.to(device), label_smoothing=0.1)
    return {"copy": copied, "half of names": 0.5 * names, "speech": speech_loss}


@torch.no_grad()
def caption(
    model: Blip2ForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    images: data.ImageSet,
    side: int,
    device: torch.device,
) -> list[str]:
    """Caption full images with the settings of the program: 4 beams, 15 tokens."""
    model.eval()
    out: list[str] = []
    for i in range(0, len(images), 64):
        pixels = augment.whole(images.pixels[i : i + 64].to(device), side)
        ids = model.generate(pixel_values=pixels, num_beams=4, max_new_tokens=CAPTION_TOKENS, early_stopping=True)
        out += [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
    return out


def export(model: Blip2ForConditionalGeneration, plan: Plan, settings: Settings, target: Path) -> None:
    """Write the model in the format of transformers, in float16, with tokenizer and preprocessing."""
    with publishing(target, "config.json") as fresh:
        half = copy.deepcopy(model).cpu().half()
        if not all(torch.isfinite(value).all() for value in half.state_dict().values()):
            raise ValueError("the captioner has weights that are not finite in float16")
        half.save_pretrained(fresh)
        shutil.copytree(settings.work / "tokenizers" / "captioner", fresh, dirs_exist_ok=True)
        image = {
            "image_processor_type": "BlipImageProcessor",
            "do_resize": True,
            "do_rescale": True,
            "do_normalize": True,
            "do_convert_rgb": True,
            "size": {"height": plan.side, "width": plan.side},
            "resample": 3,
            "rescale_factor": 1 / 255,
            "image_mean": augment.MEAN,
            "image_std": augment.STD,
        }
        (fresh / "preprocessor_config.json").write_text(json.dumps(image, indent=1) + "\n", encoding="utf-8")


def build(settings: Settings, plan: Plan) -> None:
    """Train and write ``captioner/``."""
    export(train(settings, plan), plan, settings, settings.out / "captioner")
