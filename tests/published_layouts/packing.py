"""Tensors as files: safetensors in one file or in shards, and pickles of torch."""

from __future__ import annotations

import io
import json
from typing import Any, Final

import torch
from safetensors.torch import save

Tensors = dict[str, torch.Tensor]

FORMAT: Final = {"format": "pt"}
_NAMES: Final = {torch.float32: "F32", torch.float16: "F16", torch.int64: "I64"}


def size_of_safetensors(tensors: Tensors, metadata: dict[str, str] | None) -> int:
    """Return the bytes of a safetensors file: 8, a header of JSON padded to a multiple of 8, the numbers."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    begin = 0
    for name, tensor in sorted(tensors.items()):
        end = begin + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
        begin = end
    length = len(json.dumps(header, separators=(",", ":")).encode())
    return 8 + length + -length % 8 + begin


def shards_of(tensors: Tensors, largest: int) -> list[Tensors]:
    """Divide tensors in their order, as save_pretrained does: a shard has at most ``largest`` bytes of numbers."""
    shards: list[Tensors] = [{}]
    size = 0
    for name, tensor in tensors.items():
        own = tensor.numel() * tensor.element_size()
        if size + own > largest:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += own
    return shards


def two_shards(tensors: Tensors) -> dict[str, bytes]:
    """Return both files and their index, under the names that save_pretrained gives."""
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    keys = list(tensors)
    middle = len(keys) // 2
    parts = [{key: tensors[key] for key in half} for half in (keys[:middle], keys[middle:])]
    names = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    index = {
        "metadata": {"total_size": total},
        "weight_map": {key: name for name, part in zip(names, parts, strict=True) for key in part},
    }
    files = {name: one_file(part) for name, part in zip(names, parts, strict=True)}
    return files | {"model.safetensors.index.json": as_json(index)}


def one_file(tensors: Tensors, metadata: dict[str, str] | None = FORMAT) -> bytes:
    content: bytes = save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata)
    return content


def pickled(content: object) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def as_json(content: object) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()
