"""CLIPs of open_clip: safetensors, plain state dicts, and checkpoints of open_clip's training in a zip file.

What is known: the size of ``timm/vit_base_patch16_clip_224.openai`` follows from names, shapes and dtypes to the byte.
RemoteCLIP and GeoRSCLIP show in their READMEs that ``load_state_dict`` takes what ``torch.load`` returns. SkyScript's
evaluation reads checkpoints of open_clip's training, which are assumed to be what SkyCLIP's zip files have in them.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import torch

from bimors_cli.model.clip import build_clip
from tests.published_layouts.packing import Tensors, one_file, pickled

Files = Callable[[Tensors, Mapping[str, Any]], dict[str, bytes]]


def reduce(published: Mapping[str, Any]) -> dict[str, Any]:
    """Two heads and two layers a tower; input size, patches, activations, words and context length as published."""
    vision, text = dict(published["vision_cfg"]), dict(published["text_cfg"])
    if "timm_model_name" in vision or "hf_model_name" in text:
        raise AssertionError(
            "clips.reduce knows the towers of open_clip; give this source a `reduce` of its own in "
            "tests/published_layouts/layouts.py"
        )
    vision |= {"layers": 2, "width": 2 * vision.get("head_width", 64)}
    text |= {"layers": 2, "width": 64, "heads": 2}
    return {**published, "embed_dim": 32, "vision_cfg": vision, "text_cfg": text}


def tensors(settings: Mapping[str, Any]) -> Tensors:
    return dict(build_clip(settings).state_dict())


def safetensors_file(path: str) -> Files:
    """As timm's script for open_clip wrote them: no metadata."""
    return lambda weights, _settings: {path: one_file(weights, None)}


def state_dict_file(path: str) -> Files:
    return lambda weights, _settings: {path: pickled(weights)}


def zipped_training_checkpoint(folder: str, *, epoch: int) -> Files:
    """A checkpoint as open_clip's training writes it, of several processes: weights under ``module.``, optimiser."""

    def files(weights: Tensors, _settings: Mapping[str, Any]) -> dict[str, bytes]:
        parameters = [torch.nn.Parameter(tensor) for name, tensor in weights.items() if tensor.is_floating_point()][:4]
        optimizer = torch.optim.AdamW(parameters, lr=1e-6)
        sum(parameter.sum() for parameter in parameters).backward()  # type: ignore[union-attr]
        optimizer.step()
        checkpoint = {
            "epoch": epoch,
            "name": folder,
            "state_dict": {f"module.{name}": tensor for name, tensor in weights.items()},
            "optimizer": optimizer.state_dict(),
            "scaler": torch.amp.GradScaler("cpu").state_dict(),
        }
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as packed:
            packed.writestr(f"{folder}/", b"")
            packed.writestr(f"{folder}/epoch_{epoch}.pt", pickled(checkpoint))
        return {f"{folder}.zip": stream.getvalue()}

    return files
