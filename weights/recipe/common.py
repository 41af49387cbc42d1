"""Shared by all stages: settings, log, checkpoints and writing a finished folder."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from bimors_cli.output.atomic import replacing, replacing_folder
from recipe.words import Lexicon, lexicon


@dataclass(frozen=True)
class Settings:
    """Paths, seed and device settings.

    ``final`` trains on train + validation, otherwise on train only. ``without`` are classes of RSICD that no model may
    be trained on: neither their images nor their captions, nor RSSCN7 images of a class that shares a name with them.
    """

    imagery: Path
    splits: Path
    work: Path
    out: Path
    seed: int
    threads: int
    precision: str
    final: bool = False
    without: frozenset[str] = frozenset()

    @property
    def lexicon(self) -> Lexicon:
        return lexicon(self.without)

    @property
    def device(self) -> torch.device:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def autocast(self) -> AbstractContextManager[None]:
        """Training precision. bfloat16 is faster on GPUs and on processors with AMX, and slower on all others."""
        fast = self.device.type == "cuda" or _has_amx()
        half = fast if self.precision == "auto" else self.precision == "bf16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half)

    def generator(self, *stream: int) -> torch.Generator:
        """Random generator of one epoch of one stage; a resumed stage gets the same as an uninterrupted one."""
        value = self.seed
        for part in stream:
            value = (value * 1_000_003 + part + 1) % (2**62)
        return torch.Generator().manual_seed(value)

    def log(self, stage: str, **values: Any) -> None:
        """Append one line to the log of the stage, and print it."""
        line = json.dumps({"stage": stage, "time": time.strftime("%H:%M:%S", time.gmtime()), **values})
        print(line, flush=True)
        (self.work / "logs").mkdir(parents=True, exist_ok=True)
        with (self.work / "logs" / f"{stage}.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")


def _has_amx() -> bool:
    capabilities = getattr(torch.cpu, "get_capabilities", None)  # since torch 2.11; without it float32 is used
    return capabilities is not None and bool(capabilities().get("amx_bf16", False))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, overwrite=True) as built:
        built.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def save_checkpoint(path: Path, tensors: Mapping[str, torch.Tensor], **state: Any) -> None:
    """Write tensors and some plain values as one safetensors file, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # One copy each: safetensors refuses tensors that share memory (tied embeddings).
    copies = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    with replacing(path, overwrite=True) as built:
        save_file(copies, built, {"state": json.dumps(state)})


def load_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """Read a file of `save_checkpoint`; None if it does not exist."""
    if not path.exists():
        return None
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in list(file.keys())}, json.loads(file.metadata()["state"])


def halved(model: nn.Module) -> dict[str, torch.Tensor]:
    """Convert weights to float16.

    Raises
    ------
    ValueError
        A weight is not finite in float16.
    """
    out = {}
    for name, value in model.state_dict().items():
        half = value.detach().cpu()
        if half.is_floating_point():
            half = half.to(torch.float16)
            if not torch.isfinite(half).all():
                raise ValueError(f"{name} has values that are not finite in float16")
        out[name] = half.contiguous()
    return out


@contextmanager
def publishing(target: Path, marker: str) -> Iterator[Path]:
    """Build a folder that replaces ``target`` when the block ends without an error, see `replacing_folder`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(target, marker=marker, overwrite=True) as built:
        yield built
        for path in built.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)  # safetensors writes files that only their owner can read


def one_cycle(progress: float, warm: float = 0.1) -> float:
    """Factor of the learning rate: linear warm-up, then half a cosine to nearly 0."""
    if progress < warm:
        return max(progress / warm, 0.02)
    return 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm))) + 1e-3
