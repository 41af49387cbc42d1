"""BLIP-2: a sentence about each picture."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn
from transformers import AutoTokenizer, Blip2ForConditionalGeneration, PreTrainedTokenizerBase

from bimors_cli.model.images import Preprocessing, prepare
from bimors_cli.model.loading import load_frozen

BEAMS = 4
# The published method allows 16 tokens with the decoder's start token.
NEW_TOKENS = 15


class Mute(nn.Module):
    """Stands where a captioner would: every caption is empty. The run then costs a fraction of the time."""

    def describe(self, images: torch.Tensor) -> list[str]:
        """Say nothing about B pictures."""
        return [""] * len(images)


class Captioner(nn.Module):
    """A frozen BLIP-2 with its tokenizer and its preprocessing."""

    def __init__(
        self,
        model: Blip2ForConditionalGeneration,
        tokenizer: PreTrainedTokenizerBase,
        preprocessing: Preprocessing,
    ) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.preprocessing = preprocessing

    @classmethod
    def load(cls, folder: Path) -> Captioner:
        """Load a folder as transformers saves it, from safetensors only."""
        model = load_frozen(Blip2ForConditionalGeneration, folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        image = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
        how = Preprocessing.of(model.config.vision_config.image_size, image["image_mean"], image["image_std"])
        return cls(model, tokenizer, how)

    @torch.no_grad()
    def describe(self, images: torch.Tensor) -> list[str]:
        """Describe pictures by beam search.

        Parameters
        ----------
        images : torch.Tensor
            uint8 [B, 3, h, w]

        Returns
        -------
        list of str
            B sentences; an empty one is legal.
        """
        pixels = prepare(images, self.preprocessing, self.model.dtype)
        ids = self.model.generate(pixel_values=pixels, num_beams=BEAMS, max_new_tokens=NEW_TOKENS, early_stopping=True)
        return [text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]
