"""Safetensors files without torch: a header that tells the truth, and numbers that are numbers.

Format: https://github.com/huggingface/safetensors#format. Eight bytes with the header's length N, little-endian; N
bytes of JSON, from tensor name to dtype, shape and place after the header; the tensors, one after the other.
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

# The largest models that bimors knows have 1,248 tensors and headers of some 150 kB. A header is held in memory whole.
MAX_HEADER_BYTES = 16 * 1024 * 1024
# Bytes of a number. What is not here, bimors does not compute with.
BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
# A float whose exponent is all ones is infinite or no number: unsigned integer of its size, bits of the exponent.
EXPONENT: dict[str, tuple[type[np.unsignedinteger[Any]], int]] = {
    "F64": (np.uint64, 0x7FF0_0000_0000_0000),
    "F32": (np.uint32, 0x7F80_0000),
    "F16": (np.uint16, 0x7C00),
    "BF16": (np.uint16, 0x7F80),
}
_CHUNK = 1 << 22


@dataclass(frozen=True)
class TensorPlace:
    """A tensor in a file: its bytes are ``begin`` to ``end`` from the start of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def check_header(path: Path) -> tuple[TensorPlace, ...]:
    """Read the header of a safetensors file and check all that it says against the file.

    Returns
    -------
    tuple of TensorPlace
        In the order of their bytes.

    Raises
    ------
    BundleError
        The header is too large or no header; a tensor has a dtype that bimors does not know, or lies outside the file,
        on another one, or behind a gap.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise BundleError(f"{path}: a header of {length:,} bytes; {MAX_HEADER_BYTES:,} is the most that is read")
        if size < 8 or length > size - 8:
            raise BundleError(f"{path}: not safetensors: shorter than its header")
        text = file.read(length)
    try:
        header = json.loads(text, object_pairs_hook=_without_duplicates)
        tensors = sorted(_places(header, 8 + length), key=lambda tensor: (tensor.begin, tensor.end))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(f"{path}: not safetensors: a damaged header: {str(error).splitlines()[0]}") from error
    expected = 8 + length
    for tensor in tensors:
        if tensor.dtype not in BYTES:
            raise BundleError(f"{path}: tensor {tensor.name} is of dtype {tensor.dtype}, which bimors does not read")
        if tensor.end - tensor.begin != math.prod(tensor.shape) * BYTES[tensor.dtype]:
            raise BundleError(f"{path}: tensor {tensor.name} does not have the bytes that its shape needs")
        if tensor.end > size:
            raise BundleError(f"{path}: tensor {tensor.name} lies outside the file")
        if tensor.begin != expected:
            raise BundleError(f"{path}: tensor {tensor.name} lies on another one, or behind a gap")
        expected = tensor.end
    if expected != size:
        raise BundleError(f"{path}: {size - expected:,} bytes that belong to no tensor")
    return tuple(tensors)


def check_finite(path: Path) -> None:
    """Check that no weight in a safetensors file is infinite or not a number.

    Reads the whole file, a few megabytes at a time.

    Raises
    ------
    BundleError
        Names the tensor; or as `check_header`.
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
                raise BundleError(f"{path}: tensor {tensor.name} holds infinite weights, or such that are no numbers")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands in it twice")
    return found


def _places(header: dict[str, Any], start: int) -> Iterator[TensorPlace]:
    for name, facts in header.items():
        if name == "__metadata__":
            continue
        begin, end = facts["data_offsets"]
        numbers = [begin, end, *facts["shape"]]
        if not all(type(number) is int and 0 <= number < 2**63 for number in numbers):
            raise ValueError(f"tensor {name!r} has places that are no lengths")
        yield TensorPlace(str(name), str(facts["dtype"]), tuple(facts["shape"]), start + begin, start + end)
