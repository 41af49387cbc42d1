"""All templates of the former default against the present ones, on mini: the only bundle whose text tower is at hand.

Run from the root of the repository: ``python -m tests.benchmarks.zero_shot_mini SHARED``. Prints a table.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image

from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import CLIP, open_bundle
from bimors_cli.labels import Labels
from bimors_cli.model.clip import Clip
from bimors_cli.model.heads.base import HeadFeatures
from bimors_cli.model.heads.zero_shot import ZeroShotHead
from bimors_cli.options.templates import FORMER_REMOTE_SENSING, REMOTE_SENSING
from tests.benchmarks.zero_shot_defaults import SETS, Measured, interval, measure, shown
from weights.recipe.words import RSICD

BATCH: Final = 64
TEMPLATES: Final[Mapping[str, tuple[str, ...]]] = {
    "former default": FORMER_REMOTE_SENSING,
    "a, the, many": REMOTE_SENSING,
    **{name: tuple(f"{text} {{}}." for text in SETS[name]) for name in ("a", "the", "the THING")},
    "mini's own": ("a photo of a {}.",),
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="zero_shot_mini", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("shared", type=Path, help="folder that holds imagery/rsicd and splits")
    shared = parser.parse_args(arguments).shared
    bundle = open_bundle(find_bundle("mini"))
    clip = Clip.load(bundle.part(CLIP))
    test = json.loads((shared / "splits" / "rsicd.json").read_text())["test"]
    folders = sorted({Path(path).parent.name for path, _, _ in test})
    labels = Labels.of([RSICD[folder][0] for folder in folders])
    target = np.array([folders.index(Path(path).parent.name) for path, _, _ in test])
    paths = [
        shared / "imagery" / "rsicd" / "images" / folders[k] / Path(p).name
        for (p, _, _), k in zip(test, target, strict=True)
    ]
    features = torch.cat(
        [clip.encode_image(_images(paths[i : i + BATCH], bundle.image_size))[0] for i in range(0, len(paths), BATCH)]
    )
    found: dict[str, Measured] = {}
    for name, templates in TEMPLATES.items():
        logits = ZeroShotHead(clip, labels, templates).logits(HeadFeatures(features)) / bundle.zero_shot_temperature
        found[name] = measure(logits.double().numpy(), target)
    former = found["former default"]
    for name, own in found.items():
        cells = (
            name,
            str(len(TEMPLATES[name])),
            f"{100 * own.correct.mean():.1f}",
            shown(interval(100 * (own.correct - former.correct), target), 1),
            f"{own.loss.mean():.3f}",
            shown(interval(own.loss - former.loss, target), 3),
        )
        print(f"| {' | '.join(cells)} |")
    return 0


def _images(paths: Sequence[Path], side: int) -> torch.Tensor:
    """Read images, uint8 [B, 3, side, side]."""
    read = [np.array(Image.open(p).convert("RGB").resize((side, side), Image.Resampling.BICUBIC)) for p in paths]
    return torch.from_numpy(np.stack(read)).permute(0, 3, 1, 2)


if __name__ == "__main__":
    sys.exit(main())
