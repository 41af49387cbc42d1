"""Tensors as files: safetensors in one file or in shards, and pickles of torch."""

from __future__ import annotations

import io
import itertools
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


def in_shards(tensors: Tensors, number: int) -> dict[str, bytes]:
    """Return ``number`` files and their index, under the names that save_pretrained gives."""
    keys = list(tensors)
    bounds = [len(keys) * i // number for i in range(number + 1)]
    parts = [{key: tensors[key] for key in keys[a:b]} for a, b in itertools.pairwise(bounds)]
    names = [f"model-{i:05}-of-{number:05}.safetensors" for i in range(1, number + 1)]
    index = {
        "metadata": {"total_size": sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())},
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
