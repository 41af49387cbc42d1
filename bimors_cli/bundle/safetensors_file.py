"""Checking safetensors files without torch: a consistent header and finite weights.

Format: https://github.com/huggingface/safetensors#format. Eight bytes with the header's length N, little-endian; N
bytes of JSON, tensor name to dtype, shape and byte offsets after the header; the tensors, one after the other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bimors_cli.errors import BundleError

# The largest supported models have 1,248 tensors and headers of about 150 kB. The whole header is held in memory.
MAX_HEADER_BYTES = 16 * 1024 * 1024
# Bytes per number. Other dtypes are not supported.
BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
# A float whose exponent bits are all ones is infinite or NaN: unsigned integer type of its size, mask of the exponent.
EXPONENT: dict[str, tuple[type[np.unsignedinteger[Any]], int]] = {
    "F64": (np.uint64, 0x7FF0_0000_0000_0000),
    "F32": (np.uint32, 0x7F80_0000),
    "F16": (np.uint16, 0x7C00),
    "BF16": (np.uint16, 0x7F80),
}
_CHUNK = 1 << 22


@dataclass(frozen=True)
class TensorSpan:
    """A tensor in a file: its bytes are ``begin`` to ``end``, counted from the start of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def check_header(path: Path) -> tuple[TensorSpan, ...]:
    """Read the header of a safetensors file and check it against the file.

    Returns
    -------
    tuple of TensorSpan
        The tensors, in file order.

    Raises
    ------
    BundleError
        The header is too large or invalid; a tensor has an unsupported dtype, lies outside the file, overlaps another
        one or follows a gap.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise BundleError(f"{path}: a header of {length:,} bytes; at most {MAX_HEADER_BYTES:,} are supported")
        if size < 8 or length > size - 8:
            raise BundleError(f"{path}: not a safetensors file: shorter than its header")
        text = file.read(length)
    try:
        header = json.loads(text, object_pairs_hook=_without_duplicates)
        tensors = sorted(_spans(header, 8 + length), key=lambda tensor: (tensor.begin, tensor.end))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(f"{path}: not a safetensors file: damaged header: {str(error).splitlines()[0]}") from error
    expected = 8 + length
    for tensor in tensors:
        if tensor.dtype not in BYTES:
            raise BundleError(f"{path}: tensor {tensor.name} has the unsupported dtype {tensor.dtype}")
        if tensor.end - tensor.begin != math.prod(tensor.shape) * BYTES[tensor.dtype]:
            raise BundleError(f"{path}: tensor {tensor.name}: its size in bytes does not match its shape")
        if tensor.end > size:
            raise BundleError(f"{path}: tensor {tensor.name} lies outside the file")
        if tensor.begin != expected:
            raise BundleError(f"{path}: tensor {tensor.name} overlaps another tensor or follows a gap")
        expected = tensor.end
    if expected != size:
        raise BundleError(f"{path}: {size - expected:,} bytes do not belong to any tensor")
    return tuple(tensors)


def check_finite(path: Path) -> None:
    """Check that all weights of a safetensors file are finite.

    Reads the whole file, a few megabytes at a time.

    Raises
    ------
    BundleError
        A tensor has infinite or NaN weights; or as `check_header`.
    """
    for tensor in check_header(path):
        if tensor.dtype not in EXPONENT or tensor.begin == tensor.end:
            continue
        unsigned, mask = EXPONENT[tensor.dtype]
        bits = unsigned(mask)
        count = (tensor.end - tensor.begin) // np.dtype(unsigned).itemsize
        values = np.memmap(path, dtype=np.dtype(unsigned).newbyteorder("<"), mode="r", offset=tensor.begin, shape=count)
        for start in range(0, count, _CHUNK):
            if bool(((values[start : start + _CHUNK] & bits) == bits).any()):
                raise BundleError(f"{path}: tensor {tensor.name} has infinite or NaN weights")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate name")
    return found


def _spans(header: dict[str, Any], start: int) -> Iterator[TensorSpan]:
    for name, facts in header.items():
        if name == "__metadata__":
            continue
        begin, end = facts["data_offsets"]
        numbers = [begin, end, *facts["shape"]]
        if not all(type(number) is int and 0 <= number < 2**63 for number in numbers):
            raise ValueError(f"tensor {name!r} has invalid offsets or shape")
        yield TensorSpan(str(name), str(facts["dtype"]), tuple(facts["shape"]), start + begin, start + end)
