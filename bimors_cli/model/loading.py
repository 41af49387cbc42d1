"""Frozen models from local files: safetensors only, every tensor accounted for, in silence."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.overrides import TorchFunctionMode
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from bimors_cli.errors import BundleError

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
# Counters that older libraries saved among the weights; the models make their own.
COUNTERS = ("position_ids", "attn_mask", "num_batches_tracked")
_FLOATS = ("F64", "F32", "F16", "BF16")
_DAMAGED = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError, StrictDataclassError)


def load_frozen(
    kind: Any, folder: Path, *, dtype: torch.dtype = torch.float32, unused: Sequence[str] = (), **options: Any
) -> Any:
    """Load a transformers model of class ``kind``, frozen.

    Parameters
    ----------
    kind : type
        A transformers model class.
    folder : Path
        As ``save_pretrained`` writes it, in one file or in shards.
    dtype : torch.dtype
        Of the weights in memory, whatever they are on disk. They are made in it: no copy in another precision.
    unused : sequence of str
        How the names of tensors begin that may be there and are not used: other heads of the same model.
    options
        For ``from_pretrained``.

    Raises
    ------
    BundleError
        The folder does not hold such a model in safetensors, whole and of the right shapes and dtypes.
    """
    where = _check_files(folder)
    with _silent_transformers():
        try:
            model, found = kind.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                dtype=dtype,
                ignore_mismatched_sizes=True,  # they are told below, by name
                output_loading_info=True,
                **options,
            )
        except _DAMAGED as error:
            raise BundleError(f"{folder}: not a {kind.__name__}: {_first_line(error)}") from error
    told = f"{folder / INDEX if (folder / INDEX).is_file() else folder / WEIGHTS}"
    for name, shape, expected in found["mismatched_keys"]:
        raise _wrong_shape(where.get(name, told), name, shape, expected)
    unknown = [name for name in found["unexpected_keys"] if not name.startswith(tuple(unused)) and not _counts(name)]
    raise_if_different(told, missing=found["missing_keys"], unexpected=unknown)
    for why in found["error_msgs"]:
        raise BundleError(f"{told}: {_first_line(why)}")
    return freeze(model, told)


def load_into(model: nn.Module, path: Path, *, unused: Sequence[str] = ()) -> None:
    """Copy a safetensors file into a model's own tensors, one at a time.

    Raises
    ------
    BundleError
        The file is missing or damaged, or does not fit the model; the first tensor that does not is named.
    """
    own = model.state_dict()
    try:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            _check_dtypes(path, file)
            unknown = [name for name in names - own.keys() if not name.startswith(tuple(unused)) and not _counts(name)]
            raise_if_different(path, missing=own.keys() - names, unexpected=unknown)
            for name, tensor in own.items():
                shape = tuple(file.get_slice(name).get_shape())
                if shape != tuple(tensor.shape):
                    raise _wrong_shape(path, name, shape, tensor.shape)
                tensor.copy_(file.get_tensor(name))
    except FileNotFoundError as error:
        raise _missing_weights(path) from error
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path}: not a safetensors file, or a damaged one: {_first_line(error)}") from error


@contextmanager
def skip_init() -> Iterator[None]:
    """Within it, models are built without drawing their random weights: what is loaded next needs none of them."""
    with _SkipInit():
        yield


class _SkipInit(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (torch.Tensor.normal_, torch.Tensor.uniform_):
            return args[0]
        return func(*args, **(kwargs or {}))


def freeze(model: Any, told: object) -> Any:
    """Freeze a model whose weights are all numbers.

    Raises
    ------
    BundleError
        There is a NaN or an infinity in them; the tensor is named, ``told`` is where it came from.
    """
    for name, tensor in model.named_parameters():
        # The least or the greatest of numbers is not finite as soon as one of them is not; it needs no memory.
        if tensor.numel() and not all(torch.isfinite(end) for end in torch.aminmax(tensor.detach())):
            raise BundleError(f"{told}: {name} holds numbers that are not finite")
    return model.eval().requires_grad_(False)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer that lies with a transformers model.

    Raises
    ------
    BundleError
        Its files are missing or damaged.
    """
    try:
        with _silent_transformers():
            return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except _DAMAGED as error:
        raise BundleError(f"{folder}: its tokenizer cannot be read: {_first_line(error)}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of a bundle's part.

    Raises
    ------
    BundleError
        It is missing or is none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise BundleError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise BundleError(f"{path}: damaged: not an object")
    return content


def weight_files(folder: Path) -> list[Path]:
    """List the safetensors files of a transformers model: one, or the shards that its index names.

    Raises
    ------
    BundleError
        There are none, or a shard is missing, or the index is damaged.
    """
    if not (folder / INDEX).is_file():
        if not (folder / WEIGHTS).is_file():
            raise _missing_weights(folder / WEIGHTS)
        return [folder / WEIGHTS]
    shards = read_json(folder / INDEX).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise BundleError(f"{folder / INDEX}: damaged: no weight_map")
    files = []
    for name in sorted(set(map(str, shards.values()))):
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise BundleError(f"{folder / INDEX}: names {name!r}, which is not a safetensors file beside it")
        if not (folder / name).is_file():
            raise BundleError(f"{folder / name}: missing", "the folder is incomplete; copy it again")
        files.append(folder / name)
    return files


def raise_if_different(path: object, *, missing: Iterable[str], unexpected: Iterable[str]) -> None:
    """Say which tensor a file lacks, or has too many.

    Raises
    ------
    BundleError
        There is one.
    """
    for what, names in (("lacks", sorted(missing)), ("holds an unexpected", sorted(unexpected))):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise BundleError(f"{path}: {what} {names[0]}{more}", "the weights do not belong to the configuration")


def _check_files(folder: Path) -> dict[str, Path]:
    """Look at the headers of a model's files; return in which one each tensor lies."""
    where: dict[str, Path] = {}
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                _check_dtypes(path, file)
                where |= dict.fromkeys(file.keys(), path)
        except (SafetensorError, OSError) as error:
            raise BundleError(f"{path}: not a safetensors file, or a damaged one: {_first_line(error)}") from error
    return where


def _check_dtypes(path: Path, file: Any) -> None:
    for name in file.keys():  # noqa: SIM118 (not a mapping)
        dtype = file.get_slice(name).get_dtype()
        if dtype not in _FLOATS and not _counts(name):
            raise BundleError(f"{path}: {name} is {dtype}, not floating point")


def _counts(name: str) -> bool:
    return name.endswith(COUNTERS)


def _wrong_shape(path: object, name: str, shape: Iterable[int], expected: Iterable[int]) -> BundleError:
    return BundleError(
        f"{path}: {name} is {tuple(shape)} where the configuration says {tuple(expected)}",
        "the weights do not belong to the configuration",
    )


def _missing_weights(path: Path) -> BundleError:
    pickles = sorted(p.name for suffix in ("bin", "pt", "pth", "ckpt") for p in path.parent.glob(f"*.{suffix}"))
    if not pickles:
        return BundleError(f"{path}: missing", "the folder is incomplete; copy it again")
    return BundleError(
        f"{path}: missing; {pickles[0]} is a pickle, which bimors does not load",
        f"write it as safetensors once: python -m bimors_cli.model.pickle_to_safetensors {pickles[0]} {path.name}",
    )


@contextmanager
def _silent_transformers() -> Iterator[None]:
    shown, level = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if shown:
            transformers_logging.enable_progress_bar()


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
