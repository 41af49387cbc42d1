"""Captions of a batch of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from bimors_cli.model.kernels.find import find_kernels
from bimors_cli.model.t5.beams import read_captions
from bimors_cli.model.t5.decoder import T5Decoder
from bimors_cli.model.t5.encoder import T5Encoder
from bimors_cli.model.t5.graphs import GraphedSearch
from bimors_cli.model.t5.search import T5Search
from bimors_cli.model.t5.settings import BeamSettings
from bimors_cli.model.vision_tower import FusedVisionTower, can_be_fused


@dataclass(frozen=True)
class FoundCaptions:
    """Captions of B images, on the CPU.

    Attributes
    ----------
    tokens : torch.Tensor
        int64 [B, up to the number of steps], without the start token; ``BeamSettings.fill`` follows the end.
    scores : torch.Tensor
        Sum of log probabilities, divided by the length penalty: float32 [B].
    is_lost : torch.Tensor
        Images with a NaN among the scores of a token, bool [B]; their tokens mean nothing.
    """

    tokens: torch.Tensor
    scores: torch.Tensor
    is_lost: torch.Tensor


class T5Captions:
    """The captions of transformers' ``generate`` for BLIP-2 with T5, without its repeated work.

    In float32 the tokens are equal. In bfloat16 rounding differs, so that sequences whose scores differ by less than
    that may change places. May be used by several threads.

    Parameters
    ----------
    model : transformers.Blip2ForConditionalGeneration
        A loaded captioner, on its device. Its decoder's weights become parts of fused ones, see `T5Decoder`.
    settings : BeamSettings
        From `bimors_cli.model.t5.settings.read_settings`.
    """

    def __init__(self, model: Any, settings: BeamSettings) -> None:
        self._model = model
        self.settings = settings
        with torch.inference_mode(False), torch.no_grad():  # the weights stay those of the model
            search = T5Search(T5Decoder(model.language_model), settings)
            self._encoder = T5Encoder(model.language_model)
            self._tower = _fused_tower(model.vision_model)
        self._words = search.decoder.words
        self._search = GraphedSearch(search) if search.decoder.device.type == "cuda" else search

    @torch.inference_mode()
    def generate(self, pixels: torch.Tensor) -> FoundCaptions:
        """Caption B preprocessed images [B, 3, h, w]."""
        steps = self._search.run(self.encode(pixels))
        tokens = read_captions(steps, self.settings, self._words)
        return FoundCaptions(tokens, steps[-1].finished[:, 0].cpu(), steps[-1].is_lost.cpu())

    @torch.inference_mode()
    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the output of T5's encoder for B images: of their query tokens and the start token, [B, S, D]."""
        model = self._model
        if self._tower is None:
            image = model.vision_model(pixel_values=pixels).last_hidden_state
        else:
            image = self._tower.encode(pixels)
        queries = model.query_tokens.expand(len(pixels), -1, -1)
        queries = model.qformer(query_embeds=queries, encoder_hidden_states=image).last_hidden_state
        prompt = model.language_projection(queries.to(image.dtype))
        start = model.get_input_embeddings().weight[model.config.text_config.bos_token_id]
        inputs = torch.cat((prompt, start.expand(len(pixels), 1, -1)), 1)
        return self._encoder.encode(inputs)


def _fused_tower(model: Any) -> FusedVisionTower | None:
    """Return the tower of our own, where it is quicker: on a GPU, in bfloat16."""
    if model.dtype != torch.bfloat16 or not can_be_fused(model):
        return None
    kernels = find_kernels(model.device)
    return None if kernels is None else FusedVisionTower(model, kernels.normalise)
