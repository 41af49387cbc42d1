"""How each source of the catalog is published: the table of all layouts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import torch

from tests.published_layouts import captioners, clips, encoders, florence2
from tests.published_layouts.packing import Tensors
from tests.published_layouts.settings import read_settings

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Layout:
    """The layout of one source.

    Attributes
    ----------
    settings : mapping or None
        The published configuration of the model; None for a CLIP, whose configuration is in the catalog.
    reduce : callable
        Makes the configuration one of a model of a few megabytes; whatever it leaves is as published.
    tensors : callable
        The published tensors of a configuration by their published names; called under ``torch.device("meta")`` for
        the full size.
    files : callable
        The files of the repository: the path at the source to the content. Gets tensors and configuration.
    """

    settings: Settings | None
    reduce: Callable[[Settings], dict[str, Any]]
    tensors: Callable[[Settings], Tensors]
    files: Callable[[Tensors, Settings], dict[str, bytes]]


def _clip(files: Callable[[Tensors, Settings], dict[str, bytes]]) -> Layout:
    return Layout(None, clips.reduce, clips.tensors, files)


LAYOUTS: Final[dict[str, Layout]] = {
    "openai-vit-b-16": _clip(clips.safetensors_file("open_clip_model.safetensors")),
    "remoteclip-vit-b-32": _clip(clips.state_dict_file("RemoteCLIP-ViT-B-32.pt")),
    "remoteclip-vit-l-14": _clip(clips.state_dict_file("RemoteCLIP-ViT-L-14.pt")),
    "georsclip-vit-b-32": _clip(clips.state_dict_file("ckpt/RS5M_ViT-B-32.pt")),
    "georsclip-vit-h-14": _clip(clips.state_dict_file("ckpt/RS5M_ViT-H-14.pt")),
    "skyclip-vit-b-32": _clip(clips.zipped_training_checkpoint("SkyCLIP_ViT_B32_top50pct", epoch=20)),
    "skyclip-vit-l-14": _clip(clips.zipped_training_checkpoint("SkyCLIP_ViT_L14_top50pct", epoch=20)),
    "farslip-vit-b-32": _clip(clips.training_checkpoint("FarSLIP1_ViT-B-32.pt", epoch=1)),
    "ms-clip-vit-b-16": _clip(clips.training_module("Llama3_MS_CLIP_weights.pt")),
    "datacomp-vit-b-32-256": _clip(clips.safetensors_file("open_clip_model.safetensors")),
    "datacomp-vit-l-14": _clip(clips.state_dict_file("open_clip_pytorch_model.bin")),
    "blip2-flan-t5-xl": Layout(
        read_settings("blip2-flan-t5-xl"), captioners.reduce_t5, captioners.blip2_tensors, captioners.t5_files
    ),
    "blip2-opt-2.7b": Layout(
        read_settings("blip2-opt-2.7b"), captioners.reduce_opt, captioners.blip2_tensors, captioners.opt_files(2)
    ),
    "blip2-rs5m": Layout(
        captioners.opt_6_7b(), captioners.reduce_opt, captioners.blip2_tensors, captioners.opt_files(4)
    ),
    "rs5m-lora": Layout(captioners.opt_6_7b(), captioners.reduce_opt, captioners.lora_tensors, captioners.lora_files),
    "blip-base": Layout(
        read_settings("blip-base"), captioners.reduce_blip, captioners.blip_tensors, captioners.blip_files
    ),
    "florence2-base": Layout(florence2.SETTINGS, florence2.reduce, florence2.tensors, florence2.files),
    "bert-base-uncased": Layout(encoders.SETTINGS, encoders.reduce, encoders.tensors, encoders.files),
}


def layout_of(source: str) -> Layout:
    """Return the layout of a source of the catalog; fails with what to do for one that has none."""
    if source not in LAYOUTS:
        raise AssertionError(
            f"the source {source} of bimors_cli/bundle/catalogue.json has no published layout: add a row to LAYOUTS in "
            "tests/published_layouts/layouts.py (CONTRIBUTING.md, Recipes)"
        )
    return LAYOUTS[source]


def small_files(source: str, clip: Settings | None) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return the files of a source with random weights, and the small configuration; ``clip`` is that of a CLIP."""
    layout = layout_of(source)
    published = layout.settings if clip is None else clip
    assert published is not None
    reduced = layout.reduce(published)
    return _made(source, repr(reduced)), reduced


@cache
def _made(source: str, reduced: str) -> dict[str, bytes]:
    """Make the files once for all bundles that have the source."""
    import ast

    settings, layout = ast.literal_eval(reduced), layout_of(source)
    with torch.random.fork_rng():
        torch.manual_seed(int(hashlib.sha256(source.encode()).hexdigest()[:8], 16))
        return layout.files(layout.tensors(settings), settings)


def full_size(source: str, clip: Settings | None) -> Tensors:
    """Return the tensors of the published model, without their numbers."""
    layout = layout_of(source)
    settings = layout.settings if clip is None else clip
    assert settings is not None
    with torch.device("meta"):
        return layout.tensors(settings)
