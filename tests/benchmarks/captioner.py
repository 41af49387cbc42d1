"""Captions by `generate` of transformers and by the program's own search: the same pictures, alternating, one process.

    python -m tests.benchmarks.captioner                                          # the embedded bundle, on the CPU
    python -m tests.benchmarks.captioner --captioner FOLDER --device cuda --batches 64,256 --pictures 512

Prints captions per second of both, and their ratio with its spread over the rounds. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import rasterio
import torch
from rasterio.windows import Window
from torch.nn.functional import pad

from bimors_cli.model.captioner import Blip2Captioner, Captioner
from bimors_cli.model.device import choose_device, choose_dtype, wait_for
from bimors_cli.model.preprocessing import prepare
from bimors_cli.model.t5.captions import T5Captions

ROOT = Path(__file__).resolve().parents[2]
SCENE, MINI = ROOT / "examples" / "scene.tif", ROOT / "weights" / "mini" / "captioner"


@dataclass(frozen=True)
class Speeds:
    """Captions per second of one batch size: medians over the rounds, and the ratio of each round, sorted."""

    batch: int
    generate: float
    own: float
    ratio: float
    ratios: tuple[float, ...]


@dataclass(frozen=True)
class Agreement:
    """Both captioners on the same pictures: the fraction of pictures with the same tokens, and the largest difference
    between the scores of a picture, also among those whose tokens are equal.
    """

    pictures: int
    equal: float
    largest_difference: float
    largest_difference_of_equal: float


def load(folder: Path, device: torch.device, dtype: torch.dtype) -> tuple[Blip2Captioner, T5Captions]:
    """Load a captioner onto a device, and its own search."""
    captioner = Captioner.load(folder, dtype, device)
    assert isinstance(captioner, Blip2Captioner)
    own = captioner.own
    if isinstance(own, str):
        sys.exit(f"{folder}: captions by generate only: {own}")
    return captioner, own


def generate(captioner: Blip2Captioner, pixels: torch.Tensor) -> Any:
    """Caption preprocessed images by transformers; returns ``sequences`` and ``sequences_scores``."""
    with torch.no_grad():
        return captioner.model.generate(
            pixel_values=pixels,
            num_beams=captioner.num_beams,
            max_new_tokens=captioner.max_new_tokens,
            early_stopping=True,
            return_dict_in_generate=True,
            output_scores=True,
        )


def pictures_of_scene(count: int, size: int, path: Path = SCENE) -> torch.Tensor:
    """Cut different pictures out of a scene: uint8 [count, 3, size, size]."""
    with rasterio.open(path) as scene:
        generator = torch.Generator().manual_seed(count)
        rows = torch.randint(scene.height - size + 1, (count,), generator=generator).tolist()
        columns = torch.randint(scene.width - size + 1, (count,), generator=generator).tolist()
        windows = [Window(column, row, size, size) for row, column in zip(rows, columns, strict=True)]
        return torch.stack([torch.from_numpy(scene.read([1, 2, 3], window=window)) for window in windows])


def compare(captioner: Blip2Captioner, own: T5Captions, pixels: torch.Tensor, batch: int) -> Agreement:
    """Caption images by both, in batches."""
    same: list[torch.Tensor] = []
    differences: list[torch.Tensor] = []
    for start in range(0, len(pixels), batch):
        part = pixels[start : start + batch]
        official, found = generate(captioner, part), own.generate(part)
        same.append(equal_tokens(official.sequences[:, 1:].cpu(), found.tokens, own.settings.fill))
        differences.append((official.sequences_scores.cpu() - found.scores).abs())
    equal, difference = torch.cat(same), torch.cat(differences)
    return Agreement(
        len(pixels), equal.float().mean().item(), difference.max().item(), (difference * equal).max().item()
    )


def equal_tokens(official: torch.Tensor, found: torch.Tensor, fill: int) -> torch.Tensor:
    """Return which captions have equal tokens: bool [B]; ``fill`` follows the end of the shorter ones."""
    width = max(official.shape[1], found.shape[1])
    first, second = (pad(tokens, (0, width - tokens.shape[1]), value=fill) for tokens in (official, found))
    return (first == second).all(dim=1)


def measure(
    captioner: Blip2Captioner, own: T5Captions, pixels: torch.Tensor, batch: int, rounds: int, device: torch.device
) -> Speeds:
    """Time both captioners in turn, ``rounds`` times; the first round is not counted."""

    def rate(caption: Callable[[torch.Tensor], Any]) -> float:
        wait_for(device)
        start = time.perf_counter()
        for first in range(0, len(pixels), batch):
            caption(pixels[first : first + batch])
        wait_for(device)
        return len(pixels) / (time.perf_counter() - start)

    pairs = [(rate(lambda part: generate(captioner, part)), rate(own.generate)) for _ in range(rounds + 1)][1:]
    ratios = sorted(second / first for first, second in pairs)
    official, found = (statistics.median(side) for side in zip(*pairs, strict=True))
    return Speeds(batch, official, found, statistics.median(ratios), tuple(round(ratio, 3) for ratio in ratios))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both speeds for each batch size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captioner", type=Path, default=MINI, help="folder of a BLIP-2 captioner with T5")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batches", default="8,32,64", help="batch sizes")
    parser.add_argument("--pictures", type=int, default=64, help="pictures of a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1, help="of torch on a CPU")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    captioner, own = load(options.captioner, device, choose_dtype(device))
    images = pictures_of_scene(options.pictures, captioner.preprocessing.size).to(device)
    pixels = prepare(images, captioner.preprocessing, captioner.model.dtype)
    results: dict[str, Any] = {"agreement": asdict(compare(captioner, own, pixels, max(1, options.pictures // 2)))}
    for batch in map(int, options.batches.split(",")):
        speeds = measure(captioner, own, pixels, batch, options.rounds, device)
        print(
            f"batch {batch}: generate {speeds.generate:.1f}, own {speeds.own:.1f} captions/s, "
            f"ratio {speeds.ratio:.2f} ({speeds.ratios[0]:.2f} to {speeds.ratios[-1]:.2f})",
            file=sys.stderr,
        )
        results[str(batch)] = asdict(speeds)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
