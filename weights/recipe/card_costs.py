"""Disk space, memory and time that the bundle needs."""

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
from bimors_cli.model.frozen_models import FrozenModels
from bimors_cli.pipeline.inference.load import load_models

BATCH = 32
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# Run through a small process: the peak memory of a child includes that of the process that it was forked from.
_WATCH = (
    "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
)


def sizes(folder: Path) -> dict[str, Any]:
    """Megabytes on disk and number of weights, for each part and in total."""
    parts = {name: _size(folder / name) for name in (CLIP, CAPTIONER, CAPTION_ENCODER, ADAPTER)}
    whole = {unit: sum(part[unit] for part in parts.values()) for unit in ("MB", "weights")}
    return {name: part | {"MB": round(part["MB"], 2)} for name, part in (parts | {"all": whole}).items()}


def _size(folder: Path) -> dict[str, float]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    weights = sum(count_weights(path) for path in files if path.suffix == ".safetensors")
    return {"MB": sum(path.stat().st_size for path in files) / 1e6, "weights": weights}


def count_weights(path: Path) -> int:
    """Count the floating-point values of a safetensors file, from its header; integers are counters, not weights."""
    with safe_open(path, framework="pt") as file:
        slices = [file.get_slice(name) for name in list(file.keys())]
        return sum(math.prod(one.get_shape()) for one in slices if "F" in one.get_dtype())


def speed(bundle: Bundle, pixels: torch.Tensor) -> dict[str, Any]:
    """Measure the encoding of images, uint8 [N, 3, h, w], on the processor of this machine, without the head."""
    timed = {
        "with captions": _timed(load_models(bundle, "cpu"), pixels),
        "without captions": _timed(load_models(bundle, "cpu", captions=False), pixels),
    }
    return timed | {"threads": torch.get_num_threads(), "batch": BATCH}


def _timed(models: FrozenModels, pixels: torch.Tensor) -> dict[str, Any]:
    for rows in pixels[: 2 * BATCH].split(BATCH):  # warm-up
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
    """Peak memory in megabytes of `bimors classify` on the example, in a separate process."""
    with tempfile.TemporaryDirectory() as folder_of_output:
        given = ["--model", str(folder), "--tile-size", "32", "-o", f"{folder_of_output}/out.gpkg", "--quiet"]
        files = [str(EXAMPLES / "scene.tif"), "--labels", str(EXAMPLES / "labels.txt")]
        peak = peak_of([sys.executable, "-m", "bimors_cli", "classify", *files, *given])
    return {
        "MB": round(peak / 1e6),
        "of": "bimors classify examples/scene.tif --labels examples/labels.txt --tile-size 32",
    }


def peak_of(program: Sequence[str]) -> int:
    """Peak memory of a program in bytes."""
    done = subprocess.run([sys.executable, "-c", _WATCH, *program], check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout) * (1 if sys.platform == "darwin" else 1024)  # bytes on macOS, KiB on Linux
