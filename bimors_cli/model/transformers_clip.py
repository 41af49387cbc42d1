"""CLIP and SigLIP in the layout of transformers, as a model of open_clip: its configuration and its tensors.

Both libraries have the same networks under other names. transformers keeps queries, keys and values apart and stores
projections as linear layers; open_clip stacks the three, stores projections as matrices, and has the image tower of
SigLIP from timm. `tests/model/test_transformers_clip.py` holds the features of both to each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bimors_cli.errors import BundleError

# Vocabulary of OpenAI's tokenizer, which open_clip has built in.
_CLIP_VOCABULARY: Final = 49408
# OpenAI's statistics and SigLIP's, where preprocessor_config.json states none.
_MEAN: Final = {"clip": [0.48145466, 0.4578275, 0.40821073], "siglip": [0.5, 0.5, 0.5]}
_STD: Final = {"clip": [0.26862954, 0.26130258, 0.27577711], "siglip": [0.5, 0.5, 0.5]}
# PIL's numbers of the filters.
_FILTERS: Final = {0: "nearest", 2: "bilinear", 3: "bicubic"}
# Image towers of SigLIP that timm has, by (width, layers); patch and image size are parts of the name.
_SIGLIP_TOWERS: Final = {(768, 12): "base", (1024, 24): "large", (1152, 27): "so400m"}
_PROJ: Final = {"timm_model_pretrained": False, "timm_pool": "map", "timm_proj": "none"}

Tensors = Mapping[str, torch.Tensor]


def open_clip_config(source: str, config: Mapping[str, Any], images: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``open_clip_config.json`` of a model of transformers.

    Parameters
    ----------
    source : str
        Where it comes from, for messages.
    config : mapping
        Its ``config.json``.
    images : mapping
        Its ``preprocessor_config.json``; empty if there is none.

    Raises
    ------
    BundleError
        The model is of another type, or has a setting that open_clip's networks do not have.
    """
    kind = str(config.get("model_type"))
    if "auto_map" in config:
        raise BundleError(
            f"{source}: the model comes with its own code, which bimors never runs",
            "use a model whose class is in transformers or open_clip",
        )
    if kind not in ("clip", "siglip"):
        raise BundleError(
            f"{source}: a model of type {kind!r}, not CLIP or SigLIP", "use a repository of CLIP or SigLIP weights"
        )
    try:
        model = _of_clip(source, config) if kind == "clip" else _of_siglip(source, config)
    except KeyError as error:
        raise BundleError(f"{source}: config.json lacks {error}", "use another repository") from error
    except (TypeError, ValueError) as error:
        message = f"{source}: config.json has an unexpected value: {error}".splitlines()[0]
        raise BundleError(message, "use another repository") from error
    return {"model_cfg": model, "preprocess_cfg": _preprocessing(kind, images, model["vision_cfg"]["image_size"])}


def _defaults(source: str, part: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a tower; transformers writes those that differ from the defaults of its class."""
    from transformers import CLIPTextConfig, CLIPVisionConfig, SiglipTextConfig, SiglipVisionConfig

    kinds: dict[tuple[str, str], Any] = {
        ("clip", "text"): CLIPTextConfig,
        ("clip", "vision"): CLIPVisionConfig,
        ("siglip", "text"): SiglipTextConfig,
        ("siglip", "vision"): SiglipVisionConfig,
    }
    own = config.get(f"{part}_config") or {}
    found: dict[str, Any] = kinds[config["model_type"], part](**own).to_dict()
    return found


def _of_clip(source: str, config: Mapping[str, Any]) -> dict[str, Any]:
    vision, text = _defaults(source, "vision", config), _defaults(source, "text", config)
    if text["vocab_size"] != _CLIP_VOCABULARY:
        raise BundleError(f"{source}: another vocabulary ({text['vocab_size']:,} tokens) than CLIP's is not supported")
    activation = _activation(source, vision, text, ("quick_gelu", "gelu"))
    model = {
        "embed_dim": int(config.get("projection_dim", 512)),
        "vision_cfg": {
            "image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
            "layers": vision["num_hidden_layers"],
            "width": vision["hidden_size"],
            "head_width": vision["hidden_size"] // vision["num_attention_heads"],
            "mlp_ratio": vision["intermediate_size"] / vision["hidden_size"],
            **_epsilon(vision),
        },
        "text_cfg": {**_text(text), **_epsilon(text)},
    }
    return model | ({"quick_gelu": True} if activation == "quick_gelu" else {})


def _of_siglip(source: str, config: Mapping[str, Any]) -> dict[str, Any]:
    vision, text = _defaults(source, "vision", config), _defaults(source, "text", config)
    _activation(source, vision, text, ("gelu_pytorch_tanh",))
    size = _SIGLIP_TOWERS.get((vision["hidden_size"], vision["num_hidden_layers"]))
    name = f"vit_{size}_patch{vision['patch_size']}_siglip_{vision['image_size']}"
    import timm

    if size is None or name not in timm.list_models("vit_*_siglip_*"):
        raise BundleError(
            f"{source}: timm has no SigLIP image tower of width {vision['hidden_size']} with patches of "
            f"{vision['patch_size']} pixels in images of {vision['image_size']}"
        )
    return {
        "embed_dim": vision["hidden_size"],
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {"image_size": vision["image_size"], "timm_model_name": name, **_PROJ},
        "text_cfg": {
            **_text(text),
            # Tokenizer files of the repository; the name itself is not looked up.
            "hf_tokenizer_name": source,
            "tokenizer_kwargs": {"clean": "canonicalize"},
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
            "norm_kwargs": {"eps": text["layer_norm_eps"]},
            "act_kwargs": {"approximate": "tanh"},
        },
    }


def _text(text: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "context_length": text["max_position_embeddings"],
        "vocab_size": text["vocab_size"],
        "width": text["hidden_size"],
        "heads": text["num_attention_heads"],
        "layers": text["num_hidden_layers"],
        "mlp_ratio": text["intermediate_size"] / text["hidden_size"],
    }


def _epsilon(tower: Mapping[str, Any]) -> dict[str, Any]:
    """Return the setting of layer norms, unless it is torch's own."""
    return {} if tower["layer_norm_eps"] == 1e-5 else {"norm_kwargs": {"eps": tower["layer_norm_eps"]}}


def _activation(source: str, vision: Mapping[str, Any], text: Mapping[str, Any], known: tuple[str, ...]) -> str:
    found = {vision["hidden_act"], text["hidden_act"]}
    if len(found) > 1 or not found <= set(known):
        raise BundleError(f"{source}: activation {', '.join(sorted(map(str, found)))} is not supported")
    return str(found.pop())


def _preprocessing(kind: str, images: Mapping[str, Any], size: int) -> dict[str, Any]:
    return {
        "size": size,
        "mean": list(images.get("image_mean") or _MEAN[kind]),
        "std": list(images.get("image_std") or _STD[kind]),
        "interpolation": _FILTERS.get(images.get("resample", 3), "bicubic"),
        # SigLIP's images are resized to a square; CLIP's are resized by their shortest side, then cropped.
        "resize_mode": "shortest" if kind == "clip" else "squash",
    }


def convert_to_open_clip(source: Path, target: Path) -> None:
    """Write the tensors of a CLIP or SigLIP of transformers under the names of open_clip.

    Parameters
    ----------
    source, target : Path
        Safetensors files. Dtypes are kept.

    Raises
    ------
    BundleError
        A tensor is missing or unknown, or a file cannot be read or written.
    """
    try:
        with safe_open(source, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        save_file(open_clip_tensors(str(source), tensors), target, {"format": "pt"})
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{source}: cannot be converted: {error}".splitlines()[0]) from error


def open_clip_tensors(source: str, tensors: Tensors) -> dict[str, torch.Tensor]:
    """Return tensors by the names of open_clip; raises as `convert_to_open_clip`."""
    left = {name: value for name, value in tensors.items() if not name.endswith("position_ids")}
    siglip = "logit_bias" in left
    rename = _siglip if siglip else _clip
    try:
        found = dict(rename(left))
    except KeyError as error:
        raise BundleError(f"{source}: tensor {error.args[0]} is missing") from error
    if left:
        raise BundleError(f"{source}: tensor {min(left)} is not part of {'SigLIP' if siglip else 'CLIP'}")
    return {name: value.contiguous() for name, value in found.items()}


# Each generator takes the tensors that it knows out of the mapping, so that what is left is unknown.
_Renamed = Iterator[tuple[str, torch.Tensor]]


def _clip(left: dict[str, torch.Tensor]) -> _Renamed:
    yield "logit_scale", left.pop("logit_scale").reshape(())
    yield "visual.class_embedding", left.pop("vision_model.embeddings.class_embedding")
    yield "visual.conv1.weight", left.pop("vision_model.embeddings.patch_embedding.weight")
    yield "visual.positional_embedding", left.pop("vision_model.embeddings.position_embedding.weight")
    yield from _affine(left, "vision_model.pre_layrnorm", "visual.ln_pre")  # its name in transformers
    yield from _blocks(left, "vision_model", "visual.transformer.resblocks", _OPEN_CLIP_BLOCK)
    yield from _affine(left, "vision_model.post_layernorm", "visual.ln_post")
    yield "visual.proj", left.pop("visual_projection.weight").T
    yield "token_embedding.weight", left.pop("text_model.embeddings.token_embedding.weight")
    yield "positional_embedding", left.pop("text_model.embeddings.position_embedding.weight")
    yield from _blocks(left, "text_model", "transformer.resblocks", _OPEN_CLIP_BLOCK)
    yield from _affine(left, "text_model.final_layer_norm", "ln_final")
    yield "text_projection", left.pop("text_projection.weight").T


def _siglip(left: dict[str, torch.Tensor]) -> _Renamed:
    yield "logit_scale", left.pop("logit_scale").reshape(())
    yield "logit_bias", left.pop("logit_bias").reshape(())
    yield "visual.trunk.pos_embed", left.pop("vision_model.embeddings.position_embedding.weight")[None]
    yield from _affine(left, "vision_model.embeddings.patch_embedding", "visual.trunk.patch_embed.proj")
    yield from _blocks(left, "vision_model", "visual.trunk.blocks", _TIMM_BLOCK)
    yield from _affine(left, "vision_model.post_layernorm", "visual.trunk.norm")
    yield from _attention_pool(left, "vision_model.head", "visual.trunk.attn_pool")
    yield "text.token_embedding.weight", left.pop("text_model.embeddings.token_embedding.weight")
    yield "text.positional_embedding", left.pop("text_model.embeddings.position_embedding.weight")
    yield from _blocks(left, "text_model", "text.transformer.resblocks", _OPEN_CLIP_BLOCK)
    yield from _affine(left, "text_model.final_layer_norm", "text.ln_final")
    yield from _affine(left, "text_model.head", "text.text_projection")


def _attention_pool(left: dict[str, torch.Tensor], old: str, new: str) -> _Renamed:
    yield f"{new}.latent", left.pop(f"{old}.probe")
    for kind in ("weight", "bias"):
        stacked = left.pop(f"{old}.attention.in_proj_{kind}")
        width = len(stacked) // 3
        yield f"{new}.q.{kind}", stacked[:width]
        yield f"{new}.kv.{kind}", stacked[width:]
    yield from _affine(left, f"{old}.attention.out_proj", f"{new}.proj")
    yield from _affine(left, f"{old}.layernorm", f"{new}.norm")
    for layer in ("fc1", "fc2"):
        yield from _affine(left, f"{old}.mlp.{layer}", f"{new}.mlp.{layer}")


# Names in a block: of the stacked queries, keys and values, and of the rest by its name in transformers.
_OPEN_CLIP_BLOCK: Final = (
    "attn.in_proj_",
    {
        "self_attn.out_proj": "attn.out_proj",
        "layer_norm1": "ln_1",
        "layer_norm2": "ln_2",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
    },
)
_TIMM_BLOCK: Final = (
    "attn.qkv.",
    {
        "self_attn.out_proj": "attn.proj",
        "layer_norm1": "norm1",
        "layer_norm2": "norm2",
        "mlp.fc1": "mlp.fc1",
        "mlp.fc2": "mlp.fc2",
    },
)


def _blocks(left: dict[str, torch.Tensor], old: str, new: str, names: tuple[str, Mapping[str, str]]) -> _Renamed:
    stacked, others = names
    found = (re.match(rf"{old}\.encoder\.layers\.(\d+)\.", name) for name in left)
    for layer in sorted({int(match[1]) for match in found if match}):
        prefix = f"{old}.encoder.layers.{layer}."
        for kind in ("weight", "bias"):
            parts = [left.pop(f"{prefix}self_attn.{part}_proj.{kind}") for part in "qkv"]
            yield f"{new}.{layer}.{stacked}{kind}", torch.cat(parts)
        for theirs, ours in others.items():
            yield from _affine(left, prefix + theirs, f"{new}.{layer}.{ours}")


def _affine(left: dict[str, torch.Tensor], old: str, new: str) -> _Renamed:
    yield f"{new}.weight", left.pop(f"{old}.weight")
    yield f"{new}.bias", left.pop(f"{old}.bias")
