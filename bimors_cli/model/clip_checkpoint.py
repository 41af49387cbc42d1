"""Weights of an open_clip model from the checkpoint of a larger module, such as one of PyTorch Lightning."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from bimors_cli.errors import BundleError
from bimors_cli.model.loading import raise_if_different

# Every open_clip model has this tensor, so what stands before its name is the name of the model in the module.
_SCALE = "logit_scale"
# Of the training loss in Llama3-MS-CLIP: its published inference uses the model's own scale.
_IGNORED = ("temperature",)


def clip_weights(source: Path, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors of an open_clip model by its own names.

    A module may hold the model several times, as ``clip_base_model.model.`` and ``image_encoder.model.``: all of these
    must be equal. Whether the model has all of its tensors is checked when it is loaded.

    Parameters
    ----------
    source : Path
        The checkpoint, for messages.
    tensors : mapping
        All tensors of the checkpoint.

    Raises
    ------
    BundleError
        There is no open_clip model, or another tensor next to it, or the module holds two different models.
    """
    prefixes = [name.removesuffix(_SCALE) for name in tensors if name == _SCALE or name.endswith(f".{_SCALE}")]
    if not prefixes:
        raise BundleError(f"{source}: not a checkpoint of an open_clip model: it has no tensor {_SCALE}")
    prefixes.sort(key=len, reverse=True)
    found: dict[str, torch.Tensor] = {}
    unknown = []
    for name, tensor in tensors.items():
        prefix = next((prefix for prefix in prefixes if name.startswith(prefix)), None)
        if name in _IGNORED:
            continue
        if prefix is None:
            unknown.append(name)
            continue
        own = name.removeprefix(prefix)
        if own in found and not torch.equal(found[own], tensor):
            raise BundleError(f"{source}: {name} differs from the {own} of another model in the same checkpoint")
        found[own] = tensor
    raise_if_different(source, missing=(), unexpected=unknown)
    return found
