"""The only place that reads pickles: converts checkpoints to safetensors, in a separate process.

``torch.load(weights_only=True)`` builds tensors and containers and runs no code of the file. The separate process
protects against what this does not cover: crashes, endless loops, memory.
"""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bimors_cli.errors import BundleError

# Names under which checkpoints store the weights, next to the epoch, the optimiser and so on.
WRAPPERS = ("state_dict", "model_state_dict", "model")
# Objects that training loops store next to the weights. Each is replaced by an empty placeholder, so that checkpoints
# with a learning rate schedule or a numpy score can be read.
IGNORED_GLOBALS = (
    "builtins.dict",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "torch.optim.adam.Adam",
    "torch.optim.adamw.AdamW",
    "torch.optim.lr_scheduler.CosineAnnealingLR",
    "torch.optim.lr_scheduler.MultiStepLR",
    "torch.optim.lr_scheduler.StepLR",
    "torch.optim.sgd.SGD",
)
# Dictionaries of PyTorch Lightning, for its hyperparameters. Each is replaced by a plain one.
IGNORED_DICTS = (
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
)
# Exit code for a checkpoint that cannot be used; the last line of stderr has the reason. Other codes are crashes.
_UNUSABLE = 3


def pickle_to_safetensors(source: Path, target: Path, timeout_s: float = 600) -> None:
    """Convert a torch checkpoint to safetensors: `convert` in a separate process.

    Parameters
    ----------
    source : Path
        A file written by ``torch.save``.
    target : Path
        The safetensors file to write; it is removed on errors.
    timeout_s : float
        Timeout in seconds.

    Raises
    ------
    BundleError
        The file is not a checkpoint, contains no tensors or other objects than tensors and containers, or reading it
        failed.
    """
    # -P: a torch.py in the current folder is not imported.
    command = [sys.executable, "-P", "-m", __name__, str(source), str(target)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        target.unlink(missing_ok=True)
        raise BundleError(f"{source}: reading took more than {timeout_s:g} s") from error
    if done.returncode:
        target.unlink(missing_ok=True)
        lines = done.stderr.strip().splitlines()
        if done.returncode == _UNUSABLE and lines:
            raise BundleError(lines[-1], "save the weights only, as safetensors or as a state_dict")
        reason = lines[-1] if lines else f"the process exited with code {done.returncode}"
        raise BundleError(f"{source}: reading failed: {reason}")


def convert(source: Path, target: Path) -> None:
    """Convert a torch checkpoint to safetensors.

    The weights are searched under `WRAPPERS`; a prefix ``module.`` of all names (DataParallel) and other objects than
    tensors are dropped. Dtypes are kept.

    Raises
    ------
    BundleError
        The file is not a checkpoint, contains no tensors or other objects than tensors and containers, or cannot be
        read or written.
    """
    # Imported here, as the waiting process needs no torch.
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = dict(_tensors(_weights(source, _load(source))))
    if not tensors:
        raise BundleError(f"{source}: not a checkpoint: it contains no tensors")
    try:
        save_file(tensors, target, {"format": "pt"})  # required by transformers
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{target}: cannot write the file: {_first_sentence(error)}") from error


class _Ignored:
    """Placeholder that accepts any state and stores nothing."""

    def __new__(cls, *_arguments: object) -> _Ignored:
        return super().__new__(cls)

    def __setstate__(self, _state: object) -> None: ...

    def __setitem__(self, _key: object, _value: object) -> None: ...


class _PlainDict:
    """Placeholder of a class of dictionaries; torch fills exact dictionaries only."""

    def __new__(cls, *_arguments: object) -> Any:
        return {}


def _empty_dict(*_arguments: object) -> dict[Any, Any]:
    return {}


def _load(source: Path) -> Any:
    import zipfile
    from pickle import UnpicklingError

    import torch
    from torch.serialization import safe_globals

    placeholders: list[Any] = [(_Ignored, name) for name in IGNORED_GLOBALS]
    placeholders += [(_PlainDict, name) for name in IGNORED_DICTS]
    try:
        with safe_globals([*placeholders, (_empty_dict, "collections.defaultdict")]):
            # Files of the old format are not zip files and cannot be mapped.
            return torch.load(source, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(source))
    except UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it contains {found[1]}, which is not a weight" if found else "it was not written by torch.save"
        raise BundleError(f"{source}: not a checkpoint that can be read safely: {reason}") from error
    except OSError as error:
        raise BundleError(f"{source}: cannot read the file: {error.strerror or error}") from error
    # Errors that damaged pickles cause in the reader.
    except (
        RuntimeError,
        EOFError,
        ValueError,
        LookupError,
        AttributeError,
        TypeError,
        AssertionError,
        struct.error,
    ) as error:
        raise BundleError(f"{source}: not a checkpoint, or damaged: {_first_sentence(error)}") from error


def _weights(source: Path, content: Any) -> Mapping[str, Any]:
    while isinstance(content, Mapping):
        inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            return content
        content = inner
    raise BundleError(f"{source}: not a checkpoint: {type(content).__name__} instead of tensors by name")


def _tensors(weights: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    import torch

    found = {str(name): value for name, value in weights.items() if isinstance(value, torch.Tensor)}
    prefix = "module." if all(name.startswith("module.") for name in found) else ""
    seen = set()
    for name, value in found.items():
        tensor = value.detach().to_dense().contiguous()
        # safetensors supports neither shared memory nor views of larger tensors.
        if tensor.untyped_storage().data_ptr() in seen or tensor.untyped_storage().nbytes() != tensor.nbytes:
            tensor = tensor.clone()
        seen.add(tensor.untyped_storage().data_ptr())
        yield name.removeprefix(prefix), tensor


def _first_sentence(error: Exception) -> str:
    return str(error).partition("\n")[0].partition(". ")[0] or type(error).__name__


if __name__ == "__main__":
    try:
        convert(Path(sys.argv[1]), Path(sys.argv[2]))
    except BundleError as problem:
        print(problem.message, file=sys.stderr)
        sys.exit(_UNUSABLE)
