"""What every stage shares: settings, log, checkpoints and publishing a finished folder."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from recipe.words import Lexicon, lexicon


@dataclass(frozen=True)
class Settings:
    """Where things are and what chance is seeded with.

    ``final`` trains on train + validation, else on train alone. ``without`` are the classes of RSICD that nothing may
    learn from: neither their pictures nor their captions, nor the RSSCN7 pictures of a class with one of their names.
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
        """Training precision. bfloat16 pays off on GPUs and on processors with AMX, and costs time on all others."""
        fast = self.device.type == "cuda" or _has_amx()
        half = fast if self.precision == "auto" else self.precision == "bf16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half)

    def generator(self, *stream: int) -> torch.Generator:
        """Randomness of one epoch of one stage: the same whether the stage ran through or was resumed."""
        value = self.seed
        for part in stream:
            value = (value * 1_000_003 + part + 1) % (2**62)
        return torch.Generator().manual_seed(value)

    def log(self, stage: str, **values: Any) -> None:
        """Append one line to the stage's log, and show it."""
        line = json.dumps({"stage": stage, "time": time.strftime("%H:%M:%S", time.gmtime()), **values})
        print(line, flush=True)
        (self.work / "logs").mkdir(parents=True, exist_ok=True)
        with (self.work / "logs" / f"{stage}.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")


def _has_amx() -> bool:
    ask = getattr(torch.cpu, "get_capabilities", None)  # torch 2.11 has it; without it float32 is the safe answer
    return ask is not None and bool(ask().get("amx_bf16", False))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(part, path)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def save_checkpoint(path: Path, tensors: Mapping[str, torch.Tensor], **state: Any) -> None:
    """Write tensors and a few plain values as one safetensors file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    # One copy each: safetensors refuses tensors that share memory (tied embeddings).
    copies = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    save_file(copies, part, {"state": json.dumps(state)})
    os.replace(part, path)


def load_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """Read what `save_checkpoint` wrote; None where there is none."""
    if not path.exists():
        return None
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in list(file.keys())}, json.loads(file.metadata()["state"])


def halved(model: nn.Module) -> dict[str, torch.Tensor]:
    """Weights as float16 for the disk, all finite.

    Raises
    ------
    ValueError
        A weight is not a number or does not fit into float16.
    """
    out = {}
    for name, value in model.state_dict().items():
        half = value.detach().cpu()
        if half.is_floating_point():
            half = half.to(torch.float16)
            if not torch.isfinite(half).all():
                raise ValueError(f"{name} holds values that float16 cannot")
        out[name] = half.contiguous()
    return out


def publish(fresh: Path, target: Path) -> None:
    """Put a finished folder in place of the old one; a reader meets one or the other, never a mixture."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for file in fresh.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)  # safetensors writes files for their owner alone
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        os.rename(target, old)
    os.rename(fresh, target)
    shutil.rmtree(old, ignore_errors=True)


def scratch(target: Path) -> Path:
    """An empty folder beside the target (same file system, so that the rename is one step)."""
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    return fresh


def one_cycle(progress: float, warm: float = 0.1) -> float:
    """Factor of the learning rate: linear rise, then half a cosine to nearly nothing."""
    if progress < warm:
        return max(progress / warm, 0.02)
    return 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm))) + 1e-3
