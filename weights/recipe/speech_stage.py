"""Second part of the captioner's training: captions with a frozen vision tower.

The output of the frozen tower is computed once for a few views of each image, so a step takes a sixth of the time. The
Q-Former and T5 need many more steps than there is time for with the vision tower.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional
from transformers import Blip2ForConditionalGeneration

from recipe import augment, data
from recipe.common import Settings
from recipe.loop import Schedule, run
from recipe.optimiser import MuonAdamW

VIEWS, STEPS = 4, 60
START_TOKEN = 1


class Speaker(nn.Module):
    """The captioner with a layer that predicts the class from the query outputs; this layer is not saved."""

    def __init__(self, model: Blip2ForConditionalGeneration, feature_width: int) -> None:
        super().__init__()
        self.captioner = model
        self.to_feature = nn.Linear(model.config.qformer_config.hidden_size, feature_width)

    def query(self, hidden: torch.Tensor) -> torch.Tensor:
        """Outputs of the queries for hidden states of the vision tower."""
        queries = self.captioner.query_tokens.expand(len(hidden), -1, -1)
        out: torch.Tensor = self.captioner.qformer(query_embeds=queries, encoder_hidden_states=hidden).last_hidden_state
        return out


def speech_loss(model: Blip2ForConditionalGeneration, queries: torch.Tensor, ids: list[list[int]]) -> torch.Tensor:
    """Loss of sentences given the query outputs, computed as in ``generate``."""
    device = queries.device
    length = max(map(len, ids))
    labels = torch.tensor([row + [-100] * (length - len(row)) for row in ids], device=device)
    start = model.get_input_embeddings()(torch.full((len(ids), 1), START_TOKEN, device=device))
    inputs = torch.cat((model.language_projection(queries).to(start.dtype), start), dim=1)
    logits = model.language_model(inputs_embeds=inputs, labels=labels).logits
    return functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), label_smoothing=0.1)


@torch.no_grad()
def encode_views(
    model: Blip2ForConditionalGeneration, images: data.ImageSet, settings: Settings, side: int
) -> torch.Tensor:
    """Hidden states of the frozen tower for full images and random views, float16 [V, N, T, D]."""
    model.eval()
    rows = []
    for view in range(VIEWS):
        generator = settings.generator(23, view)
        parts = []
        for pixels in images.pixels.split(128):
            shown = augment.views(pixels, side, generator, smallest=0.6) if view else augment.whole(pixels, side)
            with settings.autocast():
                parts.append(model.vision_model(pixel_values=shown.to(settings.device)).last_hidden_state.half())
        rows.append(torch.cat(parts))
    return torch.stack(rows)


def train(
    settings: Settings,
    schedule: Schedule,
    model: Blip2ForConditionalGeneration,
    side: int,
    images: data.ImageSet,
    speech: list[list[list[int]]],
    names: torch.Tensor,
) -> None:
    """Train Q-Former, projection and T5 in place; classes with few sentences are oversampled.

    Parameters
    ----------
    settings, schedule, model
        Settings, schedule and captioner; an epoch has 60 batches of 128.
    side : int
        Input size of the tower in pixels.
    images, speech
        Images, and the sentences of each image as token ids; an image may have none.
    names : torch.Tensor
        Text features of the classes, multiplied by the scale of CLIP.
    """
    with_captions = [i for i, sentences in enumerate(speech) if sentences]
    chosen, speech = images.take(with_captions), [speech[i] for i in with_captions]
    hidden = encode_views(model, chosen, settings, side)
    count = torch.bincount(chosen.target, minlength=len(chosen.classes)).float().clamp(min=1)
    weight = count[chosen.target] ** -0.7
    model.vision_model.requires_grad_(False)
    speaker = Speaker(model, names.shape[1]).to(settings.device)
    optimiser = MuonAdamW(speaker, decay=0.05, plain=("embed", "shared", "query_tokens", "relative", "lm_head"))

    def draw(generator: torch.Generator) -> list[torch.Tensor]:
        return [torch.multinomial(weight, 128, generator=generator) for _ in range(STEPS)]

    def losses_of(rows: torch.Tensor, _progress: float, generator: torch.Generator) -> dict[str, torch.Tensor]:
        view = torch.randint(VIEWS, (len(rows),), generator=generator)
        queries = speaker.query(hidden[view, rows].float())
        sentences = [speech[i] for i in rows.tolist()]
        ids = [some[int(torch.randint(len(some), (1,), generator=generator))] for some in sentences]
        feature = functional.normalize(speaker.to_feature(queries.mean(dim=1)).float(), dim=-1)
        target = chosen.target[rows].to(settings.device)
        name_loss = functional.cross_entropy(feature @ names.T, target, label_smoothing=0.1)
        return {"speech": speech_loss(model, queries, ids), "half of names": 0.5 * name_loss}

    run(settings, schedule, speaker, optimiser, draw, losses_of)
