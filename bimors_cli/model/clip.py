"""CLIP by open_clip: image features and patch tokens of images, token ids and features of texts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import nn
from torch.nn import functional

from bimors_cli.errors import BundleError, InputError, LabelsError
from bimors_cli.labels import Labels, display_text
from bimors_cli.model.fusion import feature_map
from bimors_cli.model.loading import freeze, load_into, read_json, skip_init
from bimors_cli.model.preprocessing import BandStatistics, Preprocessing, prepare
from bimors_cli.model.text_encoder import NameTokens, TextTower
from bimors_cli.options.band_names import CHANNELS

Tokenize = Callable[..., torch.Tensor]

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
TOKENIZER_CONFIG = "tokenizer_config.json"
# Model settings that OpenAI's files store as tensors.
UNUSED = ("input_resolution", "context_length", "vocab_size")


class Clip(nn.Module):
    """A frozen open_clip model with its tokenizer and its preprocessing.

    Parameters
    ----------
    model : nn.Module
        An open_clip ``CLIP`` or ``CustomTextCLIP``.
    tokenize : callable
        open_clip's tokenizer of the model: texts to int64 [n, context_length].
    preprocessing : Preprocessing
        Preprocessing of the image tower.

    Raises
    ------
    BundleError
        The image tower is of an unsupported type.
    """

    def __init__(self, model: Any, tokenize: Tokenize, preprocessing: Preprocessing) -> None:
        super().__init__()
        if not isinstance(model.visual, (VisionTransformer, TimmModel)):
            raise BundleError(f"unsupported CLIP image tower {type(model.visual).__name__} (supported: ViT, timm)")
        # open_clip is untyped; the tests cover all supported types of towers.
        self.model: Any = model.eval().requires_grad_(False)
        self.tokenize = tokenize
        self.preprocessing = preprocessing
        self._features = feature_map(model.visual.trunk) if isinstance(model.visual, TimmModel) else None

    @classmethod
    def load(cls, folder: Path, bands: BandStatistics | None = None) -> Clip:
        """Load a folder in the ``local-dir:`` layout of open_clip, from safetensors only.

        Parameters
        ----------
        folder : Path
            The folder.
        bands : BandStatistics, optional
            The bands that the model takes, if it does not take red, green and blue.

        Raises
        ------
        BundleError
            A file is missing or damaged, the weights do not match the configuration, or that does not match the bands.
        """
        path = folder / CONFIG
        config = read_json(path)
        channels = config.get(CHANNELS)
        if channels != (None if bands is None else len(bands.mean)):
            stated = "no bands" if bands is None else f"{len(bands.mean)} bands"
            raise BundleError(f"{path}: {CHANNELS} is {channels}, but the manifest of the bundle has {stated}")
        try:
            with skip_init():
                model = build_clip(config["model_cfg"])
                if channels is not None:
                    replace_input(model, channels)
            tokenize = load_tokenizer(folder, config)
        except (KeyError, TypeError, ValueError, RuntimeError, AssertionError, OSError, AttributeError) as error:
            raise BundleError(f"{path}: open_clip cannot build this CLIP: {error!r}".splitlines()[0]) from error
        # Copying into float32 parameters converts float16 on disk to float32.
        load_into(model, folder / WEIGHTS, unused=UNUSED)
        image = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
        image |= config.get("preprocess_cfg") or {}
        preprocessing = Preprocessing.read(path, model.visual.image_size, image, bands)
        return cls(freeze(model, folder / WEIGHTS), tokenize, preprocessing)

    @property
    def scale(self) -> torch.Tensor:
        """The scale of cosines, exp(logit scale)."""
        scale: torch.Tensor = self.model.logit_scale.exp().float()
        return scale

    @property
    def patch_width(self) -> int:
        """Dv, the width of a patch token."""
        visual = self.model.visual
        return int(visual.transformer.width if isinstance(visual, VisionTransformer) else visual.trunk.num_features)

    @torch.no_grad()
    def encode_image(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode images to image features and patch tokens.

        Patch tokens are all tokens of the last block's output, including the class token, before the last norm and the
        projection; for a convolutional tower, the positions of the last feature map.

        Parameters
        ----------
        images : torch.Tensor
            uint8 [B, 3, h, w], or float32 [B, N, h, w] if the model takes N bands.

        Returns
        -------
        tuple of torch.Tensor
            Normalised image features, float32 [B, E]; patch tokens [B, N, Dv] in the tower's precision.
        """
        visual = self.model.visual
        pixels = prepare(images, self.preprocessing, next(visual.parameters()).dtype)
        if isinstance(visual, VisionTransformer):
            captured: list[torch.Tensor] = []
            thread = threading.get_ident()

            def capture(_module: nn.Module, _inputs: object, tokens: torch.Tensor) -> None:
                # Other threads may use the same tower: a hook is called for all of them.
                if threading.get_ident() == thread:
                    captured.append(tokens)

            hook = visual.transformer.register_forward_hook(capture)
            try:
                feature = visual(pixels)
            finally:
                hook.remove()
            tokens = captured[0]
        else:
            assert self._features is not None  # set for timm towers
            tokens = self._features(pixels.contiguous(memory_format=torch.channels_last))
            feature = visual.head(visual.trunk.forward_head(tokens))
            if tokens.ndim == 4:
                tokens = tokens.flatten(2).transpose(1, 2)
        return functional.normalize(feature.float(), dim=-1), tokens

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        """Encode texts to normalised text features, float32 [n, E], by open_clip's full-length path."""
        device = self.model.logit_scale.device
        features = [
            self.model.encode_text(self.tokenize(list(texts[i : i + 256])).to(device)).float()
            for i in range(0, len(texts), 256)
        ]
        return functional.normalize(torch.cat(features), dim=-1)

    @torch.no_grad()
    def encode_short_text(self, texts: Sequence[str]) -> torch.Tensor:
        """As `encode_text`, up to rounding, for texts that fit: tokens after the end token are skipped if possible.

        Most prompts have about a dozen tokens, and the tower's own path computes its whole context length.
        """
        try:
            tower = self.text_tower()
        except BundleError:
            return self.encode_text(texts)
        ids, end = (tokens.to(tower.positional_embedding.device) for tokens in self._tokens(list(texts)))
        nothing = tower.positional_embedding.new_zeros(1, 0, tower.width)
        features: torch.Tensor = tower(nothing, NameTokens(ids[:, 1 : int(end.max()) + 1], end - 1))
        return features[0]

    def text_tower(self) -> TextTower:
        """Return the text tower for learned prompts. Raises BundleError if it does not support them."""
        return TextTower(self.model, int(self.tokenize(["a"])[0, 0]))

    def embed_words(self, words: str) -> torch.Tensor:
        """Return token embeddings of words without start and end token: float32 [M, D]."""
        ids, end = self._tokens([words])
        embedding = getattr(self.model, "text", self.model).token_embedding
        out: torch.Tensor = embedding(ids[0, 1 : int(end[0])].to(embedding.weight.device)).float()
        return out

    def name_tokens(self, labels: Labels, context_tokens: int) -> NameTokens:
        """Return token ids of "name." and the end token for each name of each label, without the start token.

        Parameters
        ----------
        labels : Labels
            K labels with N names.
        context_tokens : int
            M, the number of context tokens.

        Raises
        ------
        LabelsError
            A label with the context exceeds the context length; the message names its line.
        """
        ids, end = self._tokens([f"{display_text(name)}." for name in labels.all_names])
        limit = int(self.model.context_length)
        for label, last in zip(labels.label_of_name, end.tolist(), strict=True):
            if last + 1 + context_tokens > limit:
                raise LabelsError(
                    f"{labels.where(label)}: the label is too long: it exceeds the model's limit of "
                    f"{limit - context_tokens - 3} tokens",
                    "shorten the label",
                )
        device = self.model.logit_scale.device
        return NameTokens(ids[:, 1 : int(end.max()) + 1].to(device), (end - 1).to(device))

    def prompts(self, labels: Labels, templates: Sequence[str]) -> list[str]:
        """Fill each name of each label into each template, name by name: N times T texts.

        Parameters
        ----------
        labels : Labels
            K labels with N names.
        templates : sequence of str
            T texts with ``{}`` as the placeholder of the name.

        Raises
        ------
        InputError
            A template exceeds the context length.
        LabelsError
            A name in a template exceeds the context length; the message names the label's line.
        """
        limit = int(self.model.context_length)
        for template, last in zip(templates, self._ends([t.replace("{}", "a") for t in templates]), strict=True):
            if last >= limit:
                raise InputError(
                    f"the template {_short(template)} is too long: it exceeds the model's limit of {limit} tokens",
                    "shorten the template",
                )
        texts = [template.replace("{}", display_text(name)) for name in labels.all_names for template in templates]
        for index, last in enumerate(self._ends(texts).tolist()):
            if last >= limit:
                name, number = divmod(index, len(templates))
                raise LabelsError(
                    f"{labels.where(labels.label_of_name[name])}: the label is too long for "
                    f"{_short(templates[number])}: it exceeds the model's limit of {limit} tokens",
                    "shorten the label",
                )
        return texts

    def _ends(self, texts: list[str]) -> torch.Tensor:
        """Return the index of the end token of each text, int64 [n], beyond the context length if it is too long."""
        text: Any = getattr(self.model, "text", self.model)
        if getattr(text, "pool_type", None) != "last":
            return self._tokens(texts)[1]
        # SigLIP pads to the context length, and reads the text from the last position.
        ids = self.tokenize(texts, context_length=2 * self.model.context_length)
        tokenizer: Any = self.tokenize.tokenizer  # type: ignore[attr-defined]
        used = ids.ne(tokenizer.pad_token_id).int().flip(1).argmax(dim=1)
        return ids.shape[1] - 1 - used + int(tokenizer.eos_token_id == tokenizer.pad_token_id)

    def _tokens(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        # Twice the context length, so that texts that are too long are detected instead of truncated.
        ids = self.tokenize(texts, context_length=2 * self.model.context_length)
        text: Any = getattr(self.model, "text", self.model)
        pool = getattr(self.model, "text_pool_type", None) or text.pool_type
        if pool == "argmax":
            return ids, ids.argmax(dim=-1)
        if pool == "eos":
            eos = getattr(self.model, "text_eos_id", None)
            return ids, ids.eq(text.eos_id if eos is None else eos).int().argmax(dim=-1)
        raise BundleError(f"learned prompts are not supported for CLIP text pooling {pool!r}", "use --head zero-shot")


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def refuse_code(where: str, text: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Refuse a tokenizer that would run code of a repository: transformers would fetch it, or ask the user.

    Parameters
    ----------
    where : str
        Where the settings of the tokenizer come from, for messages.
    text : mapping
        ``text_cfg`` of the CLIP, which passes settings to the tokenizer.
    settings : mapping
        The tokenizer's ``tokenizer_config.json``; empty if there is none.

    Raises
    ------
    BundleError
        One of them names code.
    """
    if "auto_map" in settings or "trust_remote_code" in (text.get("tokenizer_kwargs") or {}):
        raise BundleError(
            f"{where}: the tokenizer comes with its own code, which bimors never runs",
            "use a model whose tokenizer is in transformers or open_clip",
        )


def load_tokenizer(folder: Path, config: Mapping[str, Any]) -> Tokenize:
    """Load the tokenizer of the CLIP in a folder; raises what open_clip raises, and BundleError as `refuse_code`."""
    path = folder / TOKENIZER_CONFIG
    refuse_code(str(path), config["model_cfg"]["text_cfg"], read_json(path) if path.is_file() else {})
    tokenize: Tokenize = open_clip.get_tokenizer(f"local-dir:{folder}")
    return tokenize


def build_clip(config: Mapping[str, Any]) -> Any:
    """Build an open_clip model from its ``model_cfg`` with random weights.

    open_clip's own factory would search for weights locally and on its hubs; these come from the bundle only.
    """
    vision = {**config["vision_cfg"], "timm_model_pretrained": False}
    text = {**config["text_cfg"], "hf_model_pretrained": False}
    rest = {key: value for key, value in config.items() if key not in ("vision_cfg", "text_cfg", "custom_text")}
    kind = open_clip.CustomTextCLIP if config.get("custom_text") or "hf_model_name" in text else open_clip.CLIP
    return kind(vision_cfg=open_clip.CLIPVisionCfg(**vision), text_cfg=open_clip.CLIPTextCfg(**text), **rest)


def replace_input(model: Any, channels: int) -> None:
    """Replace the first convolution of a model from `build_clip` by one of so many channels, with random weights.

    Raises
    ------
    BundleError
        The image tower is not a ViT of open_clip.
    """
    visual = model.visual
    if not isinstance(visual, VisionTransformer):
        raise BundleError(f"bands are not supported for a CLIP image tower {type(visual).__name__} (supported: ViT)")
    old = visual.conv1
    visual.conv1 = nn.Conv2d(channels, old.out_channels, old.kernel_size, old.stride, bias=False)


class NullClip(Clip):
    """Stands in for a CLIP that no view of the run needs: using it is an internal error."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
