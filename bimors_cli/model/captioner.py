"""BLIP-2 or BLIP: a sentence about each picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    Blip2ForConditionalGeneration,
    BlipForConditionalGeneration,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedTokenizerBase,
)

from bimors_cli.errors import BundleError
from bimors_cli.model.fusion import fuse_t5
from bimors_cli.model.loading import load_frozen, load_tokenizer, read_json
from bimors_cli.model.preprocessing import Preprocessing, prepare

# By the ``model_type`` of config.json, with what their retrieval models add to the same weights.
KINDS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "blip-2": (Blip2ForConditionalGeneration, ("itm_head.", "vision_projection.", "text_projection.")),
    "blip": (BlipForConditionalGeneration, ("itm_head.", "vision_proj.", "text_proj.", "text_encoder.")),
}
BEAMS = 4
# The published method allows 16 tokens with the decoder's start token.
NEW_TOKENS = 15


class NullCaptioner(nn.Module):
    """Stands where a captioner would: every caption is empty. The run then costs a fraction of the time."""

    def describe(self, images: torch.Tensor) -> list[str | None]:
        """Say nothing about B pictures."""
        return [""] * len(images)


class Captioner(nn.Module):
    """A frozen BLIP-2 or BLIP with its tokenizer and its preprocessing."""

    def __init__(
        self,
        model: Blip2ForConditionalGeneration | BlipForConditionalGeneration,
        tokenizer: PreTrainedTokenizerBase,
        preprocessing: Preprocessing,
    ) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.preprocessing = preprocessing

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype = torch.float32) -> Captioner:
        """Load a folder as transformers saves it, from safetensors only, into one precision.

        Raises
        ------
        BundleError
            Something else lies there, or not all of it.
        """
        path = folder / "config.json"
        config = read_json(path)
        kind = config.get("model_type")
        if kind not in KINDS:
            raise BundleError(f"{path}: model_type {kind!r}; bimors has captions by {' and '.join(KINDS)}")
        if kind == "blip-2" and config.get("image_token_index") is None:
            raise BundleError(f"{path}: no image_token_index", "take the newest revision of this captioner")
        model_class, unused = KINDS[kind]
        model = load_frozen(model_class, folder, dtype=dtype, unused=unused)
        if kind == "blip-2" and model.config.text_config.bos_token_id is None:
            raise BundleError(f"{path}: its text_config has no bos_token_id, with which a caption begins")
        if kind == "blip-2" and _lacks_output_layer(config, model):
            raise BundleError(
                f"{folder}: lacks language_model.lm_head.weight", "the folder is incomplete; copy it again"
            )
        fuse_t5(model)
        how = _preprocessing(folder, model.config.vision_config.image_size)
        return cls(model, load_tokenizer(folder), how)

    @torch.no_grad()
    def describe(self, images: torch.Tensor) -> list[str | None]:
        """Describe pictures by beam search.

        Parameters
        ----------
        images : torch.Tensor
            uint8 [B, 3, h, w]

        Returns
        -------
        list of str or None
            B sentences, an empty one is legal; None for a picture of which the model's numbers are none.
        """
        pixels = prepare(images, self.preprocessing, self.model.dtype)
        watch = _Watch(len(images), pixels.device)
        ids = self.model.generate(
            pixel_values=pixels,
            num_beams=BEAMS,
            max_new_tokens=NEW_TOKENS,
            early_stopping=True,
            logits_processor=LogitsProcessorList([watch]),
        )
        said = self.tokenizer.batch_decode(ids[:, self.prompt_length :], skip_special_tokens=True)
        return [None if lost else text.strip() for text, lost in zip(said, watch.lost.tolist(), strict=True)]

    @property
    def prompt_length(self) -> int:
        """How many tokens of what ``generate`` returns were there before it: no words, but ids that may be unknown."""
        if isinstance(self.model, BlipForConditionalGeneration):
            return 1  # the start token
        config = self.model.config
        # A language model without an encoder reads the query tokens and the start token as the begin of its own text.
        return 1 if config.text_config.is_encoder_decoder else int(config.num_query_tokens) + 1


class _Watch(LogitsProcessor):  # type: ignore[misc]
    """Notes of which pictures a word's score was no number; beam search would go on without a word about it."""

    def __init__(self, pictures: int, device: torch.device) -> None:
        self.lost = torch.zeros(pictures, dtype=torch.bool, device=device)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.lost |= scores.isnan().view(len(self.lost), -1).any(dim=1)
        return scores


def _lacks_output_layer(config: dict[str, Any], model: Any) -> bool:
    """Whether a language model with an output layer of its own was given the one of its input words instead.

    transformers does so for every T5 whose file lacks it, whatever the configuration says.
    """
    own = (config.get("text_config") or {}).get("tie_word_embeddings") is False
    return own and model.get_output_embeddings().weight is model.get_input_embeddings().weight


def _preprocessing(folder: Path, size: int | Sequence[int]) -> Preprocessing:
    # Newer files hold the whole processor in one, older ones the image's part by itself.
    path = folder / "preprocessor_config.json"
    if path.is_file():
        return Preprocessing.read(path, size, read_json(path))
    path = folder / "processor_config.json"
    content = read_json(path).get("image_processor")
    if not isinstance(content, dict):
        raise BundleError(f"{path}: damaged: no image_processor")
    return Preprocessing.read(path, size, content)
