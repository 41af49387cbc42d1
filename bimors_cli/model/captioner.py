"""Captioners, one class per family (BLIP-2, BLIP, Florence-2): a sentence about each image."""

from __future__ import annotations

import logging
import threading
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import torch
from torch import nn
from transformers import (
    Blip2ForConditionalGeneration,
    BlipForConditionalGeneration,
    Florence2ForConditionalGeneration,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedTokenizerBase,
)

from bimors_cli.errors import BundleError
from bimors_cli.model.fusion import fuse_t5
from bimors_cli.model.loading import CPU, load_frozen, load_tokenizer, read_json
from bimors_cli.model.preprocessing import Preprocessing, prepare
from bimors_cli.model.t5.captions import T5Captions
from bimors_cli.model.t5.settings import read_settings

log = logging.getLogger("bimors")

# Input pixels of a batch on a CPU, whose free memory is not measured as that of a GPU: 64 images of BLIP-2. Florence-2
# needs 75 MB for one of the tensors of an image of 768 pixels.
PIXELS_ON_CPU: Final = 64 * 224**2


class Captioner(nn.Module):
    """A frozen captioner with its tokenizer and its preprocessing.

    A family is a subclass in `FAMILIES`.

    Attributes
    ----------
    model_type : str
        Of the family, as in config.json.
    model_class : type
        A transformers class with ``generate``.
    unused : tuple of str
        Name prefixes of tensors that the family's retrieval models add to the same weights; they are ignored.
    num_beams, max_new_tokens : int
        Settings of beam search. The published method allows 16 tokens with the decoder's start token.
    """

    model_type: ClassVar[str]
    model_class: ClassVar[Any]
    unused: ClassVar[tuple[str, ...]] = ()
    num_beams: ClassVar[int] = 4
    max_new_tokens: ClassVar[int] = 15

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase, preprocessing: Preprocessing) -> None:
        super().__init__()
        # Of `model_class`, for which transformers has no common type.
        self.model: Any = model
        self.tokenizer = tokenizer
        self.preprocessing = preprocessing

    @staticmethod
    def load(folder: Path, dtype: torch.dtype = torch.float32, device: torch.device = CPU) -> Captioner:
        """Load a captioner of any family onto a device, from a transformers folder in safetensors, in one precision.

        Raises
        ------
        BundleError
            The folder holds another model, or is incomplete.
        """
        family, config = _family(folder)
        model = load_frozen(family.model_class, folder, dtype=dtype, device=device, unused=family.unused)
        family.check_model(folder, config, model)
        fuse_t5(model)
        path, image = _image_settings(folder)
        preprocessing = Preprocessing.read(path, family.input_size(path, image, model), image)
        return family(model, load_tokenizer(folder), preprocessing)

    @classmethod
    def check_config(cls, path: Path, config: Mapping[str, Any]) -> None:
        """Raise BundleError if config.json lacks a setting that captions depend on."""

    @classmethod
    def check_model(cls, folder: Path, config: Mapping[str, Any], model: Any) -> None:
        """Raise BundleError if the loaded model cannot generate captions."""

    @classmethod
    def input_size(cls, path: Path, image: Mapping[str, Any], model: Any) -> Any:
        """Return the side of the model's input in pixels, or height and width; ``image`` is the content of the image
        processor's file ``path``. Raises BundleError if it is not stated.
        """
        return model.config.vision_config.image_size

    @classmethod
    def generation(cls) -> str:
        """Generation settings as a part of the caption cache key; changing the text invalidates cached captions."""
        return f"{cls.num_beams} beams, {cls.max_new_tokens} new tokens"

    @property
    @abstractmethod
    def prompt_length(self) -> int:
        """Number of leading tokens in the output of ``generate`` that are not part of the caption; their ids need not
        be in the tokenizer's vocabulary.
        """

    @torch.no_grad()
    def caption(self, images: torch.Tensor) -> list[str | None]:
        """Caption images by beam search.

        Parameters
        ----------
        images : torch.Tensor
            uint8 [B, 3, h, w]

        Returns
        -------
        list of str or None
            B sentences, which may be empty; None for an image whose scores are NaN.
        """
        at_once = len(images)
        if images.device.type == "cpu":
            at_once = max(1, PIXELS_ON_CPU // self.preprocessing.size**2)
        return [caption for part in images.split(at_once) for caption in self._caption(part)]

    def _caption(self, images: torch.Tensor) -> list[str | None]:
        tokens, is_lost = self._generate(prepare(images, self.preprocessing, self.model.dtype))
        texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [None if lost else text.strip() for text, lost in zip(texts, is_lost.tolist(), strict=True)]

    def _generate(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the tokens of B captions, int64 [B, n], and which images have a NaN among the scores, bool [B]."""
        detector = _NanDetector(len(pixels), pixels.device)
        ids = self.model.generate(
            pixel_values=pixels,
            **self._more_inputs(len(pixels)),
            num_beams=self.num_beams,
            max_new_tokens=self.max_new_tokens,
            early_stopping=True,
            logits_processor=LogitsProcessorList([detector]),
        )
        return ids[:, self.prompt_length :], detector.failed

    def _more_inputs(self, images: int) -> dict[str, Any]:
        """Return what ``generate`` gets besides the images and the settings of beam search."""
        return {}


class Blip2Captioner(Captioner):
    """BLIP-2 with a T5 or an OPT language model.

    Captions of a T5 are computed by `bimors_cli.model.t5`, unless `read_settings` finds a setting that it does not
    have: then by ``generate``, as those of an OPT. The captions are the same.
    """

    model_type = "blip-2"
    model_class = Blip2ForConditionalGeneration
    unused = ("itm_head.", "vision_projection.", "text_projection.")

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase, preprocessing: Preprocessing) -> None:
        super().__init__(model, tokenizer, preprocessing)
        self._own: T5Captions | str | None = None
        self._making = threading.Lock()

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        self._own = None  # its fused weights do not move with the model
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    @property
    def own(self) -> T5Captions | str:
        """The search that replaces ``generate``, or why there is none; made at the first call on a device."""
        with self._making:
            if self._own is None:
                settings = read_settings(self.model, self.num_beams, self.max_new_tokens)
                self._own = settings if isinstance(settings, str) else T5Captions(self.model, settings)
                if isinstance(self._own, str):
                    log.info("captions by generate of transformers: %s", self._own)
            return self._own

    def _generate(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        own = self.own
        if isinstance(own, str):
            return super()._generate(pixels)
        found = own.generate(pixels)
        return found.tokens, found.is_lost

    @classmethod
    def check_config(cls, path: Path, config: Mapping[str, Any]) -> None:
        if config.get("image_token_index") is None:
            raise BundleError(f"{path}: image_token_index is missing", "use the newest revision of this captioner")

    @classmethod
    def check_model(cls, folder: Path, config: Mapping[str, Any], model: Any) -> None:
        if model.config.text_config.bos_token_id is None:
            raise BundleError(
                f"{folder / 'config.json'}: bos_token_id, the start token of a caption, is missing in text_config"
            )
        if _lacks_output_layer(config, model):
            raise BundleError(
                f"{folder}: language_model.lm_head.weight is missing", "the folder is incomplete; copy it again"
            )

    @property
    def prompt_length(self) -> int:
        config = self.model.config
        # A language model without an encoder has the query tokens and the start token in its own sequence.
        return 1 if config.text_config.is_encoder_decoder else int(config.num_query_tokens) + 1


class BlipCaptioner(Captioner):
    """BLIP."""

    model_type = "blip"
    model_class = BlipForConditionalGeneration
    unused = ("itm_head.", "vision_proj.", "text_proj.", "text_encoder.")

    @property
    def prompt_length(self) -> int:
        return 1  # the start token


class Florence2Captioner(Captioner):
    """Florence-2 in the layout of transformers: an encoder reads the image and a question, a decoder writes the answer.

    Beams and the rule against repetition are those of its authors.
    """

    model_type = "florence2"
    model_class = Florence2ForConditionalGeneration
    num_beams = 3
    max_new_tokens = 30  # its sentences end before, and vary more in length than those of BLIP
    no_repeat_words: ClassVar[int] = 3
    # Of its task <CAPTION>: one sentence.
    question: ClassVar[str] = "What does the image describe?"

    @classmethod
    def check_config(cls, path: Path, config: Mapping[str, Any]) -> None:
        if "auto_map" in config:
            raise BundleError(
                f"{path}: Florence-2 in the layout of its authors, which needs their code",
                "use the layout of transformers, such as florence-community/Florence-2-base",
            )

    @classmethod
    def check_model(cls, folder: Path, config: Mapping[str, Any], model: Any) -> None:
        if model.generation_config.decoder_start_token_id is None:
            raise BundleError(
                f"{folder / 'generation_config.json'}: decoder_start_token_id, the start token, is missing",
                "the folder is incomplete; copy it again",
            )

    @classmethod
    def input_size(cls, path: Path, image: Mapping[str, Any], model: Any) -> Any:
        size: Any = image.get("size")
        size = (size.get("height"), size.get("width")) if isinstance(size, dict) else (size, size)
        if not all(type(side) is int and side > 0 for side in size):
            raise BundleError(f"{path}: size must be height and width in pixels", "copy the file again")
        longest, largest = _feature_side(model, max(size)), model.config.vision_config.max_position_embeddings
        if longest > largest:
            raise BundleError(
                f"{path}: images of {max(size)} pixels have {longest} positions a side, the model has {largest}"
            )
        return size

    @classmethod
    def generation(cls) -> str:
        return f"{super().generation()}, no {cls.no_repeat_words} tokens twice, {cls.question!r}"

    @property
    def prompt_length(self) -> int:
        return 1  # the decoder's start token

    def _more_inputs(self, images: int) -> dict[str, Any]:
        words = self.tokenizer(self.question, add_special_tokens=False)["input_ids"]
        # One position of each cell of the last feature map, and one of their mean.
        places = _feature_side(self.model, self.preprocessing.size) ** 2 + 1
        one = [
            *([self.model.config.image_token_id] * places),
            self.tokenizer.bos_token_id,
            *words,
            self.tokenizer.eos_token_id,
        ]
        ids = torch.tensor([one] * images, device=self.model.device)
        return {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "forced_bos_token_id": self.tokenizer.bos_token_id,
            "no_repeat_ngram_size": self.no_repeat_words,
            "do_sample": False,
        }


FAMILIES: Final[dict[str, type[Captioner]]] = {
    family.model_type: family for family in (Blip2Captioner, BlipCaptioner, Florence2Captioner)
}


def generation_settings(folder: Path) -> str:
    """Return `Captioner.generation` of the captioner in a folder, without loading its weights.

    Raises
    ------
    BundleError
        The folder holds another model, or is incomplete.
    """
    family, _ = _family(folder)
    return family.generation()


def _family(folder: Path) -> tuple[type[Captioner], dict[str, Any]]:
    path = folder / "config.json"
    config = read_json(path)
    family = FAMILIES.get(str(config.get("model_type")))
    if family is None:
        raise BundleError(
            f"{path}: unsupported captioner model_type {config.get('model_type')!r}", f"use {' or '.join(FAMILIES)}"
        )
    family.check_config(path, config)
    return family, config


def _feature_side(model: Any, side: int) -> int:
    """Return the side of the last feature map of Florence-2 for images of ``side`` pixels."""
    vision = model.config.vision_config
    for patch, stride, padding in zip(vision.patch_size, vision.patch_stride, vision.patch_padding, strict=True):
        side = (side + 2 * padding - patch) // stride + 1
    return side


class _NanDetector(LogitsProcessor):  # type: ignore[misc]
    """Records the images with a NaN among the scores of a token; beam search alone would silently continue."""

    def __init__(self, images: int, device: torch.device) -> None:
        self.failed = torch.zeros(images, dtype=torch.bool, device=device)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.failed |= scores.isnan().view(len(self.failed), -1).any(dim=1)
        return scores


def _lacks_output_layer(config: Mapping[str, Any], model: Any) -> bool:
    """Whether a language model with its own output layer was loaded with its input embedding instead.

    transformers does this for every T5 whose file lacks the layer, whatever the configuration says.
    """
    untied = (config.get("text_config") or {}).get("tie_word_embeddings") is False
    return untied and model.get_output_embeddings().weight is model.get_input_embeddings().weight


def _image_settings(folder: Path) -> tuple[Path, dict[str, Any]]:
    # Newer versions of transformers save the whole processor in one file, older ones the image processor separately.
    path = folder / "preprocessor_config.json"
    if path.is_file():
        return path, read_json(path)
    path = folder / "processor_config.json"
    content = read_json(path).get("image_processor")
    if not isinstance(content, dict):
        raise BundleError(f"{path}: image_processor is missing or invalid")
    return path, content
