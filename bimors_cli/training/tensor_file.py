"""Atomic writing of tensor files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from bimors_cli.errors import OutputError
from bimors_cli.output.atomic import sync


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors to a file atomically; an existing file is replaced only by a complete one.

    Parameters
    ----------
    path : Path
        The safetensors file.
    tensors : mapping of str to Tensor
        Tensors on any device. Tensors that share memory are written as separate copies.
    metadata : mapping of str to str, optional
        Written to the header of the file.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    try:
        save_file(plain, part, None if metadata is None else dict(metadata))
        sync(part)
        os.replace(part, path)
    except (SafetensorError, OSError) as error:
        part.unlink(missing_ok=True)
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
        raise OutputError(f"{path}: {reason}", "is the disk full?") from error
