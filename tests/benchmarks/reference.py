"""The official procedure, restated from its equations: one tile at a time, float32, nothing shared, nothing kept.

Facts: Kashyap, Singha, Banerjee, arXiv 2601.20675, and the behaviour of its published code. The weights and the tile's
picture are bimors' own, so that answers can be compared; every step after that is written anew, and slow on purpose:
``generate`` for each tile, BERT for each caption, and for each tile the whole text tower over the full 77 tokens of
each class's prompt.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely
import torch
from open_clip.transformer import VisionTransformer, text_global_pool
from safetensors.torch import load_file
from torch.nn import functional

from bimors_cli.bundle.manifest import CAPTION_ENCODER, CAPTIONER, CLIP
from bimors_cli.model.caption_encoder import CaptionEncoder
from bimors_cli.model.captioner import Captioner
from bimors_cli.model.clip import Clip
from bimors_cli.model.preprocessing import prepare
from bimors_cli.pipeline.plan import Plan
from bimors_cli.scene.read import SceneReader, read_tile

BEAMS, MAX_LENGTH, ATTENTION_HEADS, PROMPT_TOKENS = 4, 16, 4, 77


@dataclass(frozen=True)
class Row:
    """The answer for a tile."""

    row: int
    col: int
    label: str
    confidence: float
    caption: str


@dataclass
class Reference:
    """The models of a plan's bundle, its adapter, and the plan's labels.

    ``seconds`` counts the time of each stage; ``start`` is what loading took. With ``captioned`` False captions are
    given, as if a first pass had made them.
    """

    plan: Plan
    captioned: bool = True
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        clock = time.perf_counter()
        plan = self.plan
        assert plan.adapter is not None and plan.adapter.head == "bimors"
        self.clip = Clip.load(plan.bundle.part(CLIP))
        self.bert = CaptionEncoder.load(plan.bundle.part(CAPTION_ENCODER))
        self.captioner = Captioner.load(plan.bundle.part(CAPTIONER)) if self.captioned else None
        self.learned = load_file(plan.adapter.weights)
        self.temperature = plan.adapter.temperature
        names = [name.replace("_", " ") for name in plan.options.labels.names]
        self.prompts = self.clip.tokenize([f"{plan.bundle.context} {name}." for name in names])
        assert self.prompts.shape[1] == PROMPT_TOKENS
        self.start = time.perf_counter() - clock

    @torch.no_grad()
    def classify(self, places: Sequence[int], captions: Sequence[str | None]) -> list[Row]:
        """Answer for tiles by their places in the grid of the plan's one scene; ``captions`` where they are given."""
        (scene,) = self.plan.scenes
        names = self.plan.options.labels.names
        rows = []
        with SceneReader(scene.info, scene.grid, scene.bands, scene.stretch, scene.nodata) as reader:
            for place, given in zip(places, captions, strict=True):
                clock = time.perf_counter()
                tile = scene.grid[place]
                picture = torch.from_numpy(read_tile(reader, tile, self.plan.bundle.image_size).image)
                clock = self._count("reading", clock)
                caption = self._caption(picture) if given is None else given
                clock = self._count("captioner", clock)
                embedding = self._embedding(caption)
                clock = self._count("caption encoder", clock)
                feature, tokens = self._look(picture)
                clock = self._count("image tower", clock)
                text = self._read_prompts(self._context(tokens, embedding))
                logits = self.clip.model.logit_scale.exp() * text @ feature
                share = torch.softmax(logits / self.temperature, dim=0)
                self._count("text", clock)
                best = int(share.argmax())
                rows.append(Row(tile.row, tile.col, names[best], float(share[best]), caption))
        return rows

    def write(self, rows: Sequence[Row], path: Path) -> None:
        """Write the layer, all of it at the end."""
        clock = time.perf_counter()
        (scene,) = self.plan.scenes
        polygons = []
        for answer in rows:
            tile = scene.grid.tile(answer.row, answer.col)
            left, top, right, bottom = tile.x, tile.y, tile.x + tile.width, tile.y + tile.height
            corners = ((left, top), (right, top), (right, bottom), (left, bottom))
            polygons.append(shapely.Polygon([scene.info.transform @ corner for corner in corners]))
        columns = {name: [getattr(row, name) for row in rows] for name in Row.__annotations__}
        geopandas.GeoDataFrame(columns, geometry=polygons, crs=scene.info.crs.to_wkt()).to_file(path, layer="tiles")
        self._count("writing", clock)

    def _count(self, stage: str, since: float) -> float:
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - since
        return now

    def _caption(self, picture: torch.Tensor) -> str:
        assert self.captioner is not None
        pixels = prepare(picture[None], self.captioner.preprocessing, torch.float32)
        # Its max_length counts the start token.
        ids = self.captioner.model.generate(
            pixel_values=pixels, num_beams=BEAMS, max_new_tokens=MAX_LENGTH - 1, early_stopping=True
        )
        said = ids[0, self.captioner.prompt_length :]
        return str(self.captioner.tokenizer.decode(said, skip_special_tokens=True)).strip()

    def _embedding(self, caption: str) -> torch.Tensor:
        tokens = self.bert.tokenizer(caption, return_tensors="pt")
        hidden: torch.Tensor = self.bert.model(input_ids=tokens["input_ids"]).last_hidden_state
        return hidden.mean(dim=1)[0]

    def _look(self, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised image feature [E]; tokens [N, Dv] of the last block, before the last norm and the projection."""
        visual = self.clip.model.visual
        pixels = prepare(picture[None], self.clip.preprocessing, torch.float32)
        if isinstance(visual, VisionTransformer):  # the published one; the class token is among its tokens
            kept: list[torch.Tensor] = []
            hook = visual.transformer.register_forward_hook(lambda _module, _inputs, tokens: kept.append(tokens))
            feature = visual(pixels)
            hook.remove()
            return functional.normalize(feature[0], dim=-1), kept[0][0]
        seen = visual.trunk.forward_features(pixels)  # mini's: convolutions, whose tokens are places
        feature = visual.head(visual.trunk.forward_head(seen))
        return functional.normalize(feature[0], dim=-1), seen[0].flatten(1).T

    def _context(self, tokens: torch.Tensor, caption: torch.Tensor) -> torch.Tensor:
        """P + MHA(LN P, LN Z, LN Z) with Z = [mean of the meta-net over all tokens; projected caption]: [M, D]."""
        w = self.learned
        hidden = functional.relu(functional.linear(tokens, w["meta_net.0.weight"], w["meta_net.0.bias"]))
        seen = functional.linear(hidden, w["meta_net.2.weight"], w["meta_net.2.bias"]).mean(dim=0)
        told = functional.linear(caption, w["caption_projection.weight"], w["caption_projection.bias"])
        context = w["context"]
        width = context.shape[1]
        evidence = functional.layer_norm(
            torch.stack((seen, told)), (width,), w["evidence_norm.weight"], w["evidence_norm.bias"]
        )
        asking = functional.layer_norm(context, (width,), w["context_norm.weight"], w["context_norm.bias"])
        weights, biases = w["attention.in_proj_weight"].chunk(3), w["attention.in_proj_bias"].chunk(3)
        query, key, value = (
            functional.linear(x, weight, bias).unflatten(-1, (ATTENTION_HEADS, -1)).transpose(0, 1)
            for x, weight, bias in zip((asking, evidence, evidence), weights, biases, strict=True)
        )
        share = torch.softmax(query @ key.transpose(1, 2) / (width / ATTENTION_HEADS) ** 0.5, dim=-1)
        mixed = (share @ value).transpose(0, 1).flatten(1)
        return context + functional.linear(mixed, w["attention.out_proj.weight"], w["attention.out_proj.bias"])

    def _read_prompts(self, context: torch.Tensor) -> torch.Tensor:
        """Normalised text features [K, E] of [start, context, name, end, padding], K x 77 tokens through the tower."""
        model: Any = self.clip.model
        text: Any = getattr(model, "text", model)
        embedded = text.token_embedding(self.prompts)
        embedded[:, 1 : 1 + len(context)] = context
        x = text.transformer(embedded + text.positional_embedding, attn_mask=text.attn_mask)
        pool = getattr(model, "text_pool_type", None) or text.pool_type
        end = getattr(model, "text_eos_id", None) or getattr(text, "eos_id", None)
        pooled = text_global_pool(text.ln_final(x), self.prompts, pool, eos_token_id=end)
        projection = text.text_projection
        features = projection(pooled) if isinstance(projection, torch.nn.Linear) else pooled @ projection
        return functional.normalize(features, dim=-1)


def spread(count: int, wanted: int) -> list[int]:
    """Choose ``wanted`` of ``count`` places, evenly from the first to the last."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(wanted, count)).round()})
