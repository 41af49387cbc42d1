"""What the bundle costs its user: disk, memory, time."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from bimors_cli.bundle.manifest import ADAPTER, CAPTION_ENCODER, CAPTIONER, CLIP, Bundle
from bimors_cli.model.evidence import FrozenModels
from bimors_cli.pipeline.inference.load import load_models

BATCH = 32
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# The process in between is small: a child counts the memory of the one that it was forked from as its own.
_WATCH = (
    "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
)


def sizes(folder: Path) -> dict[str, Any]:
    """Of each part and of all: megabytes on disk, and how many weights."""
    parts = {name: _size(folder / name) for name in (CLIP, CAPTIONER, CAPTION_ENCODER, ADAPTER)}
    whole = {unit: sum(part[unit] for part in parts.values()) for unit in ("MB", "weights")}
    return {name: part | {"MB": round(part["MB"], 2)} for name, part in (parts | {"all": whole}).items()}


def _size(folder: Path) -> dict[str, float]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    weights = sum(count_weights(path) for path in files if path.suffix == ".safetensors")
    return {"MB": sum(path.stat().st_size for path in files) / 1e6, "weights": weights}


def count_weights(path: Path) -> int:
    """Numbers in a safetensors file, read from its header; whole numbers are counters and none."""
    with safe_open(path, framework="pt") as file:
        kept = [file.get_slice(name) for name in list(file.keys())]
        return sum(math.prod(part.get_shape()) for part in kept if "F" in part.get_dtype())


def speed(bundle: Bundle, pixels: torch.Tensor) -> dict[str, Any]:
    """How fast evidence of pictures, uint8 [N, 3, h, w], is gathered on this machine's processor, before the head."""
    timed = {
        "with captions": _timed(load_models(bundle, "cpu"), pixels),
        "without captions": _timed(load_models(bundle, "cpu", captions=False), pixels),
    }
    return timed | {"threads": torch.get_num_threads(), "batch": BATCH}


def _timed(models: FrozenModels, pixels: torch.Tensor) -> dict[str, Any]:
    for rows in pixels[: 2 * BATCH].split(BATCH):  # the first batches load code and memory
        models.encode(rows)
    models.seconds.clear()
    clock = time.monotonic()
    for rows in pixels.split(BATCH):
        models.encode(rows)
    total = time.monotonic() - clock
    return {
        "pictures a second": round(len(pixels) / total, 1),
        "milliseconds a picture": {k: round(1000 * v / len(pixels), 2) for k, v in models.seconds.items()},
    }


def peak_memory(folder: Path) -> dict[str, Any]:
    """Megabytes that `bimors classify` on the example takes at its highest, in a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        given = ["--model", str(folder), "--tile-size", "32", "-o", f"{place}/out.gpkg", "--quiet"]
        files = [str(EXAMPLES / "scene.tif"), "--labels", str(EXAMPLES / "labels.txt")]
        peak = peak_of([sys.executable, "-m", "bimors_cli", "classify", *files, *given])
    return {
        "MB": round(peak / 1e6),
        "of": "bimors classify examples/scene.tif --labels examples/labels.txt --tile-size 32",
    }


def peak_of(program: Sequence[str]) -> int:
    """Bytes of memory that a program takes at its highest."""
    done = subprocess.run([sys.executable, "-c", _WATCH, *program], check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout) * (1 if sys.platform == "darwin" else 1024)  # bytes there, KiB on Linux
