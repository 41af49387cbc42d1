"""CLIPs of open_clip: safetensors, plain state dicts, and checkpoints of open_clip's training in a zip file.

What is known: the size of ``timm/vit_base_patch16_clip_224.openai`` follows from names, shapes and dtypes to the byte.
RemoteCLIP and GeoRSCLIP show in their READMEs that ``load_state_dict`` takes what ``torch.load`` returns. SkyScript and
FarSLIP evaluate checkpoints of open_clip's training, which are assumed to be what their files are. Llama3-MS-CLIP is
published as the module of its training, in which the model has three names.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import torch

from bimors_cli.model.clip import CHANNELS, build_clip, replace_input
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
    """Return the tensors of a configuration of open_clip; its key `CHANNELS` is the number of bands, if it has one."""
    model = build_clip({key: value for key, value in settings.items() if key != CHANNELS})
    if CHANNELS in settings:
        replace_input(model, settings[CHANNELS])
    return dict(model.state_dict())


def safetensors_file(path: str) -> Files:
    """As timm's script for open_clip wrote them: no metadata."""
    return lambda weights, _settings: {path: one_file(weights, None)}


def state_dict_file(path: str) -> Files:
    return lambda weights, _settings: {path: pickled(weights)}


def training_module(path: str) -> Files:
    """As Llama3-MS-CLIP: the names of the model in its towers, and a number of the loss."""
    prefixes = ("clip_base_model.model.", "text_encoder.model.", "image_encoder.model.")

    def files(weights: Tensors, _settings: Mapping[str, Any]) -> dict[str, bytes]:
        state = {prefix + name: tensor for prefix in prefixes for name, tensor in weights.items()}
        return {path: pickled({"state_dict": {"temperature": torch.tensor(0.07), **state}})}

    return files


def training_checkpoint(path: str, *, epoch: int) -> Files:
    return lambda weights, _settings: {path: pickled(_checkpoint(weights, path, epoch))}


def zipped_training_checkpoint(folder: str, *, epoch: int) -> Files:
    def files(weights: Tensors, _settings: Mapping[str, Any]) -> dict[str, bytes]:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as packed:
            packed.writestr(f"{folder}/", b"")
            packed.writestr(f"{folder}/epoch_{epoch}.pt", pickled(_checkpoint(weights, folder, epoch)))
        return {f"{folder}.zip": stream.getvalue()}

    return files


def _checkpoint(weights: Tensors, name: str, epoch: int) -> dict[str, Any]:
    """As open_clip's training writes it, of several processes: weights under ``module.``, optimiser, scaler."""
    parameters = [torch.nn.Parameter(tensor) for tensor in weights.values() if tensor.is_floating_point()][:4]
    optimizer = torch.optim.AdamW(parameters, lr=1e-6)
    sum(parameter.sum() for parameter in parameters).backward()  # type: ignore[union-attr]
    optimizer.step()
    return {
        "epoch": epoch,
        "name": name,
        "state_dict": {f"module.{key}": tensor for key, tensor in weights.items()},
        "optimizer": optimizer.state_dict(),
        "scaler": torch.amp.GradScaler("cpu").state_dict(),
    }
