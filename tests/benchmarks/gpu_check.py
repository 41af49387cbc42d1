"""All figures of a device in one run: captions checked, benchmark, whole commands, and a profile.

    python -m tests.benchmarks.gpu_check --device cuda --model b16 --parent ../parent > figures.json

``--parent`` is a second checkout, of the commit to compare with: its commands run in turn with ours, and each figure is
then given as a ratio to its own. ``--parts`` leaves parts out. The last line of the output is JSON; what is running is
on standard error. With ``--device cpu --tiles 8`` it runs anywhere, and its times mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from affine import Affine
from torch.profiler import ProfilerActivity, profile

from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import CAPTIONER, open_bundle
from bimors_cli.model.device import choose_device, choose_dtype, wait_for
from bimors_cli.model.preprocessing import prepare
from bimors_cli.model.t5.graphs import without_graphs
from bimors_cli.pipeline.bundles.benchmark import random_images
from tests.benchmarks.captioner import compare, equal_tokens, generate, load, measure, pictures_of_scene

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("captions", "speed", "profile", "bench", "command")
TILE = 64  # pixels
LABELS = ("forest", "river", "farmland", "dense residential", "bare land")
# Precisions in which captions are compared, with the least fraction of equal ones.
PRECISIONS = {torch.float32: 1.0, torch.bfloat16: 0.98}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures."""
    options = _arguments(arguments)
    device = choose_device(options.device)
    bundle = open_bundle(find_bundle(options.model))
    figures: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "torch": torch.__version__,
        "model": bundle.name,
        "tiles": options.tiles,
    }
    in_process: dict[str, Callable[[], Any]] = {
        "captions": lambda: check_captions(bundle.part(CAPTIONER), device, options.tiles, options.batch),
        "speed": lambda: speed(bundle.part(CAPTIONER), device, options.tiles, options.batch, options.rounds),
        "profile": lambda: profiled(bundle.part(CAPTIONER), device, options.batch),
    }
    for part, work in in_process.items():
        if part in options.parts:
            print(part, file=sys.stderr)
            figures[part] = work()
            if device.type == "cuda":
                torch.cuda.empty_cache()
    checkouts = {"own": ROOT} | ({"parent": options.parent.resolve()} if options.parent else {})
    with tempfile.TemporaryDirectory() as folder:
        if "bench" in options.parts:
            figures["bench"] = with_ratios(
                {name: bench(path, options.model, options.device, options.tiles) for name, path in checkouts.items()}
            )
        if "command" in options.parts:
            scene = write_scene(Path(folder) / "scene.tif", options.tiles)
            figures["command"] = with_ratios(
                {
                    name: commands(path, scene, Path(folder) / name, options.model, options.device)
                    for name, path in checkouts.items()
                }
            )
    print(json.dumps(figures))


def check_captions(folder: Path, device: torch.device, pictures: int, batch: int) -> dict[str, Any]:
    """Compare captions of our own with those of ``generate``, in each precision.

    In bfloat16 both are also compared with those of ``generate`` in float32: rounding changes captions of either.
    """
    found: dict[str, Any] = {}
    exact: torch.Tensor | None = None
    for dtype, least in PRECISIONS.items():
        captioner, own = load(folder, device, dtype)
        images = pictures_of_scene(pictures, captioner.preprocessing.size).to(device)
        pixels = prepare(images, captioner.preprocessing, dtype)
        agreement = compare(captioner, own, pixels, batch)
        figures: dict[str, Any] = {**asdict(agreement), "passes": agreement.equal >= least}
        parts = pixels.split(batch)
        official = _padded([generate(captioner, part).sequences[:, 1:].cpu() for part in parts], own.settings.fill)
        if exact is None:
            exact = official
        else:
            ours = _padded([own.generate(part).tokens for part in parts], own.settings.fill)
            for name, tokens in (("generate", official), ("own", ours)):
                equal = equal_tokens(exact, tokens, own.settings.fill)
                figures[f"{name}, equal to float32"] = equal.float().mean().item()
        found[str(dtype).removeprefix("torch.")] = figures
        del captioner, own
    return found


def _padded(tokens: Sequence[torch.Tensor], fill: int) -> torch.Tensor:
    width = max(part.shape[1] for part in tokens)
    return torch.cat([torch.nn.functional.pad(part, (0, width - part.shape[1]), value=fill) for part in tokens])


def speed(folder: Path, device: torch.device, pictures: int, batch: int, rounds: int) -> dict[str, Any]:
    """Captions per second of both in turn, and the milliseconds of the encoder's part and of the search."""
    captioner, own = load(folder, device, choose_dtype(device))
    images = random_images(max(pictures, batch), captioner.preprocessing.size).to(device)
    pixels = prepare(images, captioner.preprocessing, captioner.model.dtype)
    found = asdict(measure(captioner, own, pixels, batch, rounds, device))
    part = pixels[:batch]
    found["encode_ms"] = _milliseconds(lambda: own.encode(part), device, rounds)
    found["generate_ms"] = _milliseconds(lambda: own.generate(part), device, rounds)
    with without_graphs():
        found["generate_without_graphs_ms"] = _milliseconds(lambda: own.generate(part), device, rounds)
    return found


def profiled(folder: Path, device: torch.device, batch: int, rows: int = 20) -> list[dict[str, Any]]:
    """Return the kernels that take longest in a batch of captions, milliseconds each."""
    captioner, own = load(folder, device, choose_dtype(device))
    images = random_images(batch, captioner.preprocessing.size).to(device)
    pixels = prepare(images, captioner.preprocessing, captioner.model.dtype)
    for _ in range(3):  # graphs are captured in the second
        own.generate(pixels)
    wait_for(device)
    is_cuda = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if is_cuda else [])]) as profiler:
        own.generate(pixels)
        wait_for(device)

    def own_time(event: Any) -> float:
        return float(event.self_device_time_total if is_cuda else event.self_cpu_time_total)

    events = sorted(profiler.key_averages(), key=own_time, reverse=True)[:rows]
    return [{"name": event.key[:100], "ms": own_time(event) / 1000, "calls": event.count} for event in events]


def bench(checkout: Path, model: str, device: str, tiles: int) -> dict[str, float]:
    """Run ``bimors bench`` of a checkout; return tiles per second, and milliseconds per tile of each stage."""
    command = ["bench", "--model", model, "--device", device, "--tiles", str(tiles), "--json"]
    document = json.loads(_run(checkout, command).stdout)
    stages = {f"{stage['name']} ms per tile": stage["ms_per_tile"] for stage in document["stages"]}
    rates = ("tiles_per_second", "tiles_per_second_captions_cached", "loading_s")
    return {name: document[name] for name in rates} | stages


def commands(checkout: Path, scene: Path, folder: Path, model: str, device: str) -> dict[str, float]:
    """Run ``bimors classify`` with an empty cache, and again for another output; return seconds of each."""
    folder.mkdir()
    labels = folder / "labels.txt"
    labels.write_text("\n".join(LABELS) + "\n")
    seconds = {}
    for name in ("empty cache", "captions cached"):
        command = ["classify", str(scene), "--labels", str(labels), "--tile-size", str(TILE), "--model", model]
        command += ["--device", device, "-o", str(folder / f"{name.replace(' ', '_')}.gpkg")]
        start = time.perf_counter()
        _run(checkout, command, BIMORS_CACHE=str(folder / "cache"))
        seconds[f"seconds, {name}"] = time.perf_counter() - start
    return seconds


def with_ratios(figures: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Add the ratios of our figures to those of the parent, if it was measured."""
    if "parent" not in figures:
        return figures
    own, parent = figures["own"], figures["parent"]
    return figures | {"own / parent": {name: own[name] / parent[name] for name in own if parent.get(name)}}


def write_scene(path: Path, tiles: int) -> Path:
    """Write a scene of at least so many different tiles, in EPSG:32633 with pixels of 10 m."""
    columns = int(np.ceil(np.sqrt(tiles)))
    rows = -(-tiles // columns)
    shape = (rows * TILE, columns * TILE)
    generator = np.random.default_rng(0)
    transform = Affine(10, 0, 500_000, 0, -10, 4_600_000)
    with rasterio.open(
        path, "w", "GTiff", shape[1], shape[0], 3, crs="EPSG:32633", transform=transform, dtype="uint8", tiled=True
    ) as scene:
        for band in (1, 2, 3):
            scene.write(generator.integers(1, 256, shape, dtype=np.uint8), band)
    return path


def _run(checkout: Path, command: Sequence[str], **variables: str) -> subprocess.CompletedProcess[str]:
    print(checkout.name, *command, file=sys.stderr)
    environment = os.environ | {"PYTHONPATH": str(checkout)} | variables
    done = subprocess.run(
        [sys.executable, "-m", "bimors_cli", *command],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{checkout}: bimors {' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
    return done


def _milliseconds(work: Callable[[], object], device: torch.device, rounds: int) -> float:
    """Return the least of several times; the first two calls are not counted."""
    times = []
    for _ in range(rounds + 2):
        wait_for(device)
        start = time.perf_counter()
        work()
        wait_for(device)
        times.append(1000 * (time.perf_counter() - start))
    return min(times[2:])


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", default="mini", help="a bundle, by name or folder")
    parser.add_argument("--tiles", type=int, default=4096, help="tiles of the commands, pictures of the checks")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parent", type=Path, help="a checkout of the commit to compare with")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
