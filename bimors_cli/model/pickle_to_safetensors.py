"""The one place that reads a pickle: other people's checkpoints become safetensors once, in a process of their own.

``torch.load(weights_only=True)`` builds tensors and containers and runs nothing that the file names. The process of its
own is for what that promise does not cover: a crash, a hang, memory.
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

# Under one of these names a checkpoint keeps the weights beside its epoch, its optimiser and so on.
WRAPPERS = ("state_dict", "model_state_dict", "model")
# What a training loop leaves beside the weights. A stand-in that keeps nothing takes the place of each, so that a
# checkpoint with a learning rate schedule or a numpy score in it can be read at all.
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
# The checkpoint cannot be used: the child's last line says why. Any other code is a crash.
_UNUSABLE = 3


def pickle_to_safetensors(source: Path, target: Path, timeout_s: float = 600) -> None:
    """Write the tensors of a torch checkpoint as safetensors; `convert` in a process of its own.

    Parameters
    ----------
    source : Path
        A file that ``torch.save`` wrote.
    target : Path
        The safetensors file to write; it is whole if this returns, and gone if it raises.
    timeout_s : float
        Seconds to wait.

    Raises
    ------
    BundleError
        Not a checkpoint; it holds more than tensors and containers, or no tensors; or reading it failed.
    """
    # -P: a torch.py that lies in the user's folder is not imported.
    command = [sys.executable, "-P", "-m", __name__, str(source), str(target)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        target.unlink(missing_ok=True)
        raise BundleError(f"{source}: reading it took more than {timeout_s:g} s") from error
    if done.returncode:
        target.unlink(missing_ok=True)
        said = done.stderr.strip().splitlines()
        if done.returncode == _UNUSABLE and said:
            raise BundleError(said[-1], "bimors reads weights only: tensors by name, as safetensors or a state_dict")
        why = said[-1] if said else f"the process that read it ended with {done.returncode}"
        raise BundleError(f"{source}: reading it failed: {why}")


def convert(source: Path, target: Path) -> None:
    """Write the tensors of a torch checkpoint as safetensors.

    The weights are looked for under `WRAPPERS`; a ``module.`` before every name (DataParallel) goes; what is no tensor
    goes. Dtypes stay.

    Raises
    ------
    BundleError
        Not a checkpoint; it holds more than tensors and containers, or no tensors; or it cannot be read or written.
    """
    # Here and not above: the process that waits needs no torch.
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = dict(_tensors(_weights(source, _load(source))))
    if not tensors:
        raise BundleError(f"{source}: no tensors in it, not a checkpoint")
    try:
        save_file(tensors, target, {"format": "pt"})  # transformers asks for it
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{target}: cannot be written: {_first_sentence(error)}") from error


class _Ignored:
    """Takes whatever it is given and keeps nothing."""

    def __new__(cls, *_arguments: object) -> _Ignored:
        return super().__new__(cls)

    def __setstate__(self, _state: object) -> None: ...

    def __setitem__(self, _key: object, _value: object) -> None: ...


def _empty_dict(*_arguments: object) -> dict[Any, Any]:
    return {}


def _load(source: Path) -> Any:
    import zipfile
    from pickle import UnpicklingError

    import torch
    from torch.serialization import safe_globals

    stand_ins: list[Any] = [(_Ignored, name) for name in IGNORED_GLOBALS]
    try:
        with safe_globals([*stand_ins, (_empty_dict, "collections.defaultdict")]):
            # The old format is no zip file and cannot be mapped.
            return torch.load(source, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(source))
    except UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        why = f"it holds {named[1]}, which is no weight" if named else "it is no file of torch.save"
        raise BundleError(f"{source}: not a checkpoint that can be read safely: {why}") from error
    except OSError as error:
        raise BundleError(f"{source}: cannot be read: {error.strerror or error}") from error
    # What a damaged pickle makes of the machine that reads it.
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
        raise BundleError(f"{source}: not a checkpoint, or a damaged one: {_first_sentence(error)}") from error


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
        # safetensors takes no two names for one memory, and no view of a larger one.
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
