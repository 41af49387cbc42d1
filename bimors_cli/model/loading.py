"""Frozen models from local files: safetensors only, all tensors checked, without log output of the libraries."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.overrides import TorchFunctionMode
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from bimors_cli.errors import BundleError

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
# Buffers that older libraries saved with the weights; the models create them.
BUFFERS = ("position_ids", "attn_mask", "num_batches_tracked")
CPU: Final = torch.device("cpu")
_FLOATS = ("F64", "F32", "F16", "BF16")
_LOAD_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    KeyError,
    TypeError,
    AttributeError,
    ImportError,
    StrictDataclassError,
)


def load_frozen(
    kind: Any,
    folder: Path,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device = CPU,
    unused: Sequence[str] = (),
    **options: Any,
) -> Any:
    """Load a transformers model of class ``kind`` onto a device and freeze it.

    transformers maps the files into memory, so that weights that have the wanted precision on disk go from there to a
    GPU without a copy in memory; whether they are finite is found out on the device.

    Parameters
    ----------
    kind : type
        A transformers model class.
    folder : Path
        Folder written by ``save_pretrained``, in one file or in shards.
    dtype : torch.dtype
        Dtype of the weights in memory, whatever it is on disk; no copy in another precision is made.
    device : torch.device
        Where they go.
    unused : sequence of str
        Name prefixes of tensors that are ignored: other heads of the same model.
    options
        Options of ``from_pretrained``.

    Raises
    ------
    BundleError
        The folder does not hold such a model in safetensors, or it is incomplete or has wrong shapes or dtypes.
    """
    file_of_tensor = _check_files(folder)
    with _silent_transformers():
        try:
            model, found = kind.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                dtype=dtype,
                ignore_mismatched_sizes=True,  # reported below, by name
                output_loading_info=True,
                **options,
            )
        except _LOAD_ERRORS as error:
            raise BundleError(f"{folder}: not a {kind.__name__}: {_first_line(error)}") from error
    source = f"{folder / INDEX if (folder / INDEX).is_file() else folder / WEIGHTS}"
    for name, shape, expected in found["mismatched_keys"]:
        raise _wrong_shape(file_of_tensor.get(name, source), name, shape, expected)
    unknown = [name for name in found["unexpected_keys"] if not name.startswith(tuple(unused)) and not _is_buffer(name)]
    raise_if_different(source, missing=found["missing_keys"], unexpected=unknown)
    for message in found["error_msgs"]:
        raise BundleError(f"{source}: {_first_line(message)}")
    return freeze(model.to(device), source)


def load_into(model: nn.Module, path: Path, *, unused: Sequence[str] = ()) -> None:
    """Copy a safetensors file into the tensors of a model, one at a time.

    Raises
    ------
    BundleError
        The file is missing or damaged, or does not match the model; the message names the first such tensor.
    """
    with _tensors(model, path, unused) as file:
        for name, tensor in model.state_dict().items():
            tensor.copy_(file.get_tensor(name))


def compare_tensors(model: nn.Module, path: Path, *, unused: Sequence[str] = ()) -> None:
    """Compare names, shapes and dtypes of a safetensors file with a model, which may be on the device ``meta``.

    Raises
    ------
    BundleError
        As `load_into`.
    """
    with _tensors(model, path, unused):
        pass


@contextmanager
def _tensors(model: nn.Module, path: Path, unused: Sequence[str]) -> Iterator[Any]:
    """Open a safetensors file that has the tensors of a model."""
    own = model.state_dict()
    try:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            _check_dtypes(path, file)
            unknown = [
                name for name in names - own.keys() if not name.startswith(tuple(unused)) and not _is_buffer(name)
            ]
            raise_if_different(path, missing=own.keys() - names, unexpected=unknown)
            for name, tensor in own.items():
                shape = tuple(file.get_slice(name).get_shape())
                if shape != tuple(tensor.shape):
                    raise _wrong_shape(path, name, shape, tensor.shape)
            yield file
    except FileNotFoundError as error:
        raise _missing_weights(path) from error
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path}: not a safetensors file, or damaged: {_first_line(error)}") from error


@contextmanager
def skip_init() -> Iterator[None]:
    """Skip the random initialisation of models built inside the block; their weights are loaded afterwards."""
    with _SkipInit():
        yield


class _SkipInit(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (torch.Tensor.normal_, torch.Tensor.uniform_):
            return args[0]
        return func(*args, **(kwargs or {}))


def freeze(model: Any, source: object) -> Any:
    """Freeze a model and check that all weights are finite.

    Raises
    ------
    BundleError
        A weight is NaN or infinite; the message names the tensor and its ``source``.
    """
    # Minimum and maximum propagate NaN and need no memory. The answers of a GPU are fetched at once.
    found = {
        name: torch.stack(torch.aminmax(tensor.detach())).isfinite().all()
        for name, tensor in model.named_parameters()
        if tensor.numel()
    }
    are_finite = torch.stack(list(found.values())).tolist() if found else []
    for name, is_finite in zip(found, are_finite, strict=True):
        if not is_finite:
            raise BundleError(f"{source}: {name} contains values that are not finite")
    return model.eval().requires_grad_(False)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a transformers model.

    Raises
    ------
    BundleError
        The tokenizer files are missing or damaged.
    """
    try:
        with _silent_transformers():
            return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except _LOAD_ERRORS as error:
        raise BundleError(f"{folder}: cannot read the tokenizer: {_first_line(error)}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a part of a bundle.

    Raises
    ------
    BundleError
        The file is missing or is not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(f"{path}: cannot read the file: {error.strerror or error}") from error
    except ValueError as error:
        raise BundleError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise BundleError(f"{path}: damaged: not a JSON object")
    return content


def weight_files(folder: Path) -> list[Path]:
    """List the safetensors files of a transformers model: one, or the shards listed in its index.

    Raises
    ------
    BundleError
        The file or a shard is missing, or the index is damaged.
    """
    if not (folder / INDEX).is_file():
        if not (folder / WEIGHTS).is_file():
            raise _missing_weights(folder / WEIGHTS)
        return [folder / WEIGHTS]
    shards = read_json(folder / INDEX).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise BundleError(f"{folder / INDEX}: damaged: weight_map is missing")
    files = []
    for name in sorted(set(map(str, shards.values()))):
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise BundleError(f"{folder / INDEX}: damaged: {name!r} is not the name of a safetensors file")
        if not (folder / name).is_file():
            raise BundleError(f"{folder / name}: missing", "the folder is incomplete; copy it again")
        files.append(folder / name)
    return files


def raise_if_different(path: object, *, missing: Iterable[str], unexpected: Iterable[str]) -> None:
    """Raise an error for a missing or an unexpected tensor.

    Raises
    ------
    BundleError
        There is such a tensor; the message names it.
    """
    for what, names in (("missing tensor", sorted(missing)), ("unexpected tensor", sorted(unexpected))):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise BundleError(f"{path}: {what} {names[0]}{more}", "the weights do not match the configuration")


def _check_files(folder: Path) -> dict[str, Path]:
    """Check the headers of a model's files; return the file of each tensor."""
    file_of_tensor: dict[str, Path] = {}
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                _check_dtypes(path, file)
                file_of_tensor |= dict.fromkeys(file.keys(), path)
        except (SafetensorError, OSError) as error:
            raise BundleError(f"{path}: not a safetensors file, or damaged: {_first_line(error)}") from error
    return file_of_tensor


def _check_dtypes(path: Path, file: Any) -> None:
    for name in file.keys():  # noqa: SIM118 (not a mapping)
        dtype = file.get_slice(name).get_dtype()
        if dtype not in _FLOATS and not _is_buffer(name):
            raise BundleError(f"{path}: {name} is {dtype}, not floating point")


def _is_buffer(name: str) -> bool:
    return name.endswith(BUFFERS)


def _wrong_shape(path: object, name: str, shape: Iterable[int], expected: Iterable[int]) -> BundleError:
    return BundleError(
        f"{path}: {name} has shape {tuple(shape)}, the configuration has {tuple(expected)}",
        "the weights do not match the configuration",
    )


def _missing_weights(path: Path) -> BundleError:
    pickles = sorted(p.name for suffix in ("bin", "pt", "pth", "ckpt") for p in path.parent.glob(f"*.{suffix}"))
    if not pickles:
        return BundleError(f"{path}: missing", "the folder is incomplete; copy it again")
    return BundleError(
        f"{path}: missing; {pickles[0]} is a pickle, which is not supported",
        f"convert it to safetensors: python -m bimors_cli.model.pickle_to_safetensors {pickles[0]} {path.name}",
    )


@contextmanager
def _silent_transformers() -> Iterator[None]:
    enabled, level = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if enabled:
            transformers_logging.enable_progress_bar()


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
