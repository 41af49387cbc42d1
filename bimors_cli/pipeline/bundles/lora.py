"""Merging a LoRA into the weights that it was trained on: what is left is a model of the same kind and size.

A LoRA (Hu et al. 2021, arXiv 2106.09685) is a correction of low rank to some weight matrices: W + (alpha / r) B A, with
A of r rows and B of r columns. It is read from a folder of the library peft: ``adapter_config.json`` and the tensors.
"""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from bimors_cli.bundle.safetensors_file import TensorSpan, check_header
from bimors_cli.errors import BundleError, InputError
from bimors_cli.model.loading import read_json

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"
PICKLE: Final = "adapter_model.bin"

_TENSOR: Final = re.compile(r"(?:base_model\.model\.)?(?P<module>.+)\.lora_(?P<half>[AB])(?:\.default)?\.weight")
_DTYPES: Final = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
# Settings of peft by which a correction is another one than W + (alpha / r) B A, or concerns more than the matrices.
_OTHER_KINDS: Final = (
    "fan_in_fan_out",
    "use_dora",
    "use_rslora",
    "rank_pattern",
    "alpha_pattern",
    "modules_to_save",
    "layers_to_transform",
    "layer_replication",
    "megatron_config",
    "exclude_modules",
    "target_parameters",
    "lora_bias",
)


@dataclass(frozen=True)
class Lora:
    """A LoRA.

    Attributes
    ----------
    source : Path
        Its folder, for messages.
    base : str or None
        The model that it was trained on, as its configuration names it.
    scale : float
        alpha / r
    targets : tuple of str
        Last parts of the names of the corrected modules, such as ``self_attn.qkv``.
    pairs : mapping
        Name of a module to A [r, columns] and B [rows, r] of its weight [rows, columns].
    """

    source: Path
    base: str | None
    scale: float
    targets: tuple[str, ...]
    pairs: Mapping[str, tuple[torch.Tensor, torch.Tensor]]

    def is_target(self, module: str) -> bool:
        """Tell whether peft corrects a module of this name."""
        return any(module == target or module.endswith(f".{target}") for target in self.targets)


def read_lora(folder: Path) -> Lora:
    """Read a LoRA from a folder of peft, from safetensors only.

    Raises
    ------
    InputError
        The folder or its configuration does not exist.
    BundleError
        The folder is incomplete, or holds another kind of adapter; a matrix lacks its other half, or has another rank
        than the configuration.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise InputError(f"{path}: not found", "use the folder of a LoRA as peft saves it")
    config = read_json(path)
    rank, alpha, targets = config.get("r"), config.get("lora_alpha"), config.get("target_modules")
    if config.get("peft_type") != "LORA":
        raise BundleError(f"{path}: peft_type is {config.get('peft_type')!r}", "use a LoRA")
    if type(rank) is not int or rank < 1 or isinstance(alpha, bool) or not isinstance(alpha, (int, float)):
        raise BundleError(f"{path}: r {rank!r} and lora_alpha {alpha!r} must be numbers")
    if not isinstance(targets, list) or not targets or not all(isinstance(target, str) for target in targets):
        raise BundleError(f"{path}: target_modules must be a list of names")
    others = [name for name in _OTHER_KINDS if config.get(name)]
    if config.get("bias", "none") != "none":
        others.append("bias")
    if others:
        raise BundleError(f"{path}: {others[0]} {config[others[0]]!r} is not supported", "use a plain LoRA")
    base = config.get("base_model_name_or_path")
    lora = Lora(folder, str(base) if base else None, alpha / rank, tuple(targets), _read_pairs(folder, rank))
    for target in targets:
        if not any(module == target or module.endswith(f".{target}") for module in lora.pairs):
            raise BundleError(f"{folder}: half a LoRA: no tensors of the target {target}", _AGAIN)
    for module in lora.pairs:
        if not lora.is_target(module):
            raise BundleError(f"{folder}: {module} is not among the targets {', '.join(targets)}", _AGAIN)
    return lora


_AGAIN: Final = "the weights do not match adapter_config.json; copy the folder again"


def _read_pairs(folder: Path, rank: int) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    path = folder / WEIGHTS
    if not path.is_file():
        pickle = folder / PICKLE
        hint = (
            f"convert it: python -m bimors_cli.model.pickle_to_safetensors {pickle} {path}"
            if pickle.is_file()
            else None
        )
        raise BundleError(f"{path}: missing", hint or "the folder is incomplete; copy it again")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path}: not a safetensors file, or damaged: {error}") from error
    halves: dict[str, dict[str, torch.Tensor]] = defaultdict(dict)
    for name, tensor in tensors.items():
        found = _TENSOR.fullmatch(name)
        if found is None:
            raise BundleError(f"{path}: unexpected tensor {name}", "use a plain LoRA of linear layers")
        halves[found["module"]][found["half"]] = tensor
    return {module: _pair(path, module, of_module, rank) for module, of_module in sorted(halves.items())}


def _pair(path: Path, module: str, halves: Mapping[str, torch.Tensor], rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    for half, other in (("A", "B"), ("B", "A")):
        if half not in halves:
            raise BundleError(f"{path}: half a LoRA: {module} has lora_{other} but no lora_{half}", _AGAIN)
    a, b = halves["A"], halves["B"]
    if a.ndim != 2 or b.ndim != 2:
        raise BundleError(f"{path}: {module} is not a linear layer", "use a plain LoRA of linear layers")
    if a.shape[0] != rank or b.shape[1] != rank:
        raise BundleError(
            f"{path}: {module} has A {tuple(a.shape)} and B {tuple(b.shape)}, the rank in {CONFIG} is {rank}", _AGAIN
        )
    if not (a.is_floating_point() and b.is_floating_point() and a.isfinite().all() and b.isfinite().all()):
        raise BundleError(f"{path}: {module} contains values that are not finite numbers", "the file is damaged")
    return a, b


def check_base(lora: Lora, name: str) -> None:
    """Raise BundleError if a LoRA was trained on another model than the one of this name on the hub."""
    if lora.base != name:
        raise BundleError(
            f"{lora.source}: a LoRA of {lora.base or 'an unnamed model'}, not of {name}", "use its own base"
        )


def merge_lora(files: Mapping[Path, Path], lora: Lora) -> tuple[Path, ...]:
    """Write weights with a LoRA merged into them. All is checked before anything is written.

    A weight is added up in float32, at least, and rounded to its own dtype. Only one weight is in memory at a time.

    Parameters
    ----------
    files : mapping
        A safetensors file of the base, to the file to write. Several are the shards of one model.
    lora : Lora
        The correction.

    Returns
    -------
    tuple of Path
        Files of the base in which nothing is corrected; they are not written.

    Raises
    ------
    BundleError
        The base lacks a corrected weight or has it in another shape; the LoRA lacks a weight that it should correct; a
        file is damaged.
    """
    weights = {source: dict(_weights(check_header(source), lora)) for source in files}
    present = {module for found in weights.values() for module in found}
    where = ", ".join(source.name for source in files)
    for module in lora.pairs:
        if module not in present:
            raise BundleError(f"{lora.source}: {module}.weight is not in the base ({where})", "use the LoRA's own base")
    for source, found in weights.items():
        for module, weight in found.items():
            if module not in lora.pairs:
                raise BundleError(f"{lora.source}: half a LoRA: no tensors for {module} of the base", _AGAIN)
            _check_shape(lora, module, weight)
        if found:
            target = files[source]
            target.unlink(missing_ok=True)  # it may be a link
            shutil.copyfile(source, target)
            _correct(target, found, lora)
    return tuple(source for source, found in weights.items() if not found)


def _weights(header: Iterable[TensorSpan], lora: Lora) -> Iterator[tuple[str, TensorSpan]]:
    """Yield the corrected modules and their weights."""
    for span in header:
        module, _, kind = span.name.rpartition(".")
        if kind == "weight" and lora.is_target(module):
            yield module, span


def _check_shape(lora: Lora, module: str, weight: TensorSpan) -> None:
    a, b = lora.pairs[module]
    shape = (b.shape[0], a.shape[1])
    if weight.shape != shape or weight.dtype not in _DTYPES:
        raise BundleError(
            f"{lora.source}: {module} corrects a weight of {shape}, the base has {weight.shape} {weight.dtype}",
            "use the LoRA's own base",
        )


def _correct(path: Path, weights: Mapping[str, TensorSpan], lora: Lora) -> None:
    with path.open("r+b") as file:
        for module, span in weights.items():
            a, b = lora.pairs[module]
            file.seek(span.begin)
            content = bytearray(file.read(span.end - span.begin))
            weight = torch.frombuffer(content, dtype=_DTYPES[span.dtype]).view(span.shape)
            exact = torch.promote_types(weight.dtype, torch.float32)
            # `content` is the memory of `weight`. safetensors is little-endian, as every machine that torch supports.
            weight.copy_(torch.addmm(weight.to(exact), b.to(exact), a.to(exact), alpha=lora.scale))
            file.seek(span.begin)
            file.write(content)
