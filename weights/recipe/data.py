"""Images, captions and who may learn from what. Test images and their captions are never handed to training."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from recipe.common import Settings, save_checkpoint
from recipe.words import clean

# Of each RSICD class, validation images that neither CLIP nor captioner learn from: the adapter's 16 shots, and
# those that its temperature is fitted on.
SHOTS, FITTING = 16, 8


@dataclass(frozen=True)
class ImageSet:
    """N images of one set: uint8 [N, 3, s, s], class index int64 [N], file names, class keys and captions."""

    pixels: torch.Tensor
    target: torch.Tensor
    files: tuple[str, ...]
    classes: tuple[str, ...]
    captions: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.files)

    def take(self, index: torch.Tensor | list[int]) -> ImageSet:
        rows = [int(i) for i in index]
        return ImageSet(
            self.pixels[rows],
            self.target[rows],
            tuple(self.files[i] for i in rows),
            self.classes,
            tuple(self.captions[i] for i in rows) if self.captions else (),
        )


def _decode(settings: Settings, name: str, files: list[str], side: int) -> torch.Tensor:
    """All images of a set at their own size, decoded once and kept in the work folder."""
    cache = settings.work / "cache" / f"{name}.safetensors"
    if cache.exists():
        kept: torch.Tensor = load_file(cache)["pixels"]
        return kept
    pixels = np.empty((len(files), 3, side, side), np.uint8)
    for i, file in enumerate(files):
        with Image.open(settings.imagery / name / "images" / file) as opened:
            image = opened.convert("RGB")
            if image.size != (side, side):
                image = image.resize((side, side), Image.Resampling.BICUBIC)
            pixels[i] = np.asarray(image).transpose(2, 0, 1)
    tensor = torch.from_numpy(pixels)
    save_checkpoint(cache, {"pixels": tensor})
    return tensor


def new_classes(splits: Path) -> list[str]:
    """The classes of RSICD that base-to-new keeps for testing: in the split file's order, those after the first half,
    as Zhou et al. (CoCoOp, 2022) divide a set."""
    split = json.loads((splits / "rsicd.json").read_text(encoding="utf-8"))
    kinds = [kind for _, kind in sorted({(label, kind) for part in split.values() for _, label, kind in part})]
    return kinds[math.ceil(len(kinds) / 2) :]


def rsicd(settings: Settings) -> dict[str, ImageSet]:
    """RSICD by the benchmark's split: ``train``, ``val`` (what chooses), ``shots`` and ``fitting`` (held out of
    val for the adapter), ``test``. Training images that are pixel for pixel in test are left out, and in all
    parts the classes that the bundle is built without."""
    split = json.loads((settings.splits / "rsicd.json").read_text(encoding="utf-8"))
    files = sorted(file for part in split.values() for file, _, _ in part)
    pixels = _decode(settings, "rsicd", files, 150)
    classes = tuple(sorted(settings.lexicon.rsicd))
    known = [i for i, file in enumerate(files) if file.split("/")[0] in classes]
    pixels, files = pixels[known], [files[i] for i in known]
    captions: dict[str, tuple[str, ...]] = {}
    with (settings.imagery / "rsicd" / "captions.jsonl").open(encoding="utf-8") as stream:
        for line in stream:
            row = json.loads(line)
            captions[row["image"]] = tuple(dict.fromkeys(filter(None, map(clean, row["captions"]))))
    target = torch.tensor([classes.index(file.split("/")[0]) for file in files])
    everything = ImageSet(pixels, target, tuple(files), classes, tuple(captions[file] for file in files))
    place = {file: i for i, file in enumerate(files)}
    digest = [hashlib.sha1(image.numpy().tobytes()).digest() for image in pixels]

    parts = {name: sorted(place[file] for file, _, _ in part if file in place) for name, part in split.items()}
    held: dict[int, list[int]] = {}
    for i in (parts["val"][j] for j in torch.randperm(len(parts["val"]), generator=settings.generator(7)).tolist()):
        held.setdefault(int(target[i]), []).append(i)
    parts["shots"] = sorted(i for rows in held.values() for i in rows[:SHOTS])
    parts["fitting"] = sorted(i for rows in held.values() for i in rows[SHOTS : SHOTS + FITTING])
    apart = set(parts["shots"]) | set(parts["fitting"])
    parts["val"] = [i for i in parts["val"] if i not in apart]
    unseen = {digest[i] for i in parts["test"]}
    never = unseen | {digest[i] for i in apart}
    parts["train"] = [i for i in parts["train"] if digest[i] not in never]
    parts["val"] = [i for i in parts["val"] if digest[i] not in never]
    return {name: everything.take(rows) for name, rows in parts.items()}


def rsscn7(settings: Settings) -> dict[str, ImageSet]:
    """RSSCN7 by its hash split: ``train``, ``val``, ``test``; no captions, nor classes that the bundle is built
    without."""
    root = settings.imagery / "rsscn7" / "images"
    files = sorted(f"{path.parent.name}/{path.name}" for path in root.glob("*/*.jpg"))
    pixels = _decode(settings, "rsscn7", files, 160)
    classes = tuple(sorted(settings.lexicon.rsscn7))
    known = [i for i, file in enumerate(files) if file.split("/")[0] in classes]
    pixels, files = pixels[known], [files[i] for i in known]
    target = torch.tensor([classes.index(file.split("/")[0]) for file in files])
    everything = ImageSet(pixels, target, tuple(files), classes, ())
    parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for i, file in enumerate(files):
        last = hashlib.sha1(file.encode()).digest()[-1]
        parts["test" if last < 77 else "val" if last < 103 else "train"].append(i)
    return {name: everything.take(rows) for name, rows in parts.items()}


def joined(first: ImageSet, second: ImageSet) -> ImageSet:
    """Images of one set from two of its parts."""
    return ImageSet(
        torch.cat((first.pixels, second.pixels)),
        torch.cat((first.target, second.target)),
        first.files + second.files,
        first.classes,
        first.captions + second.captions,
    )


def training_images(settings: Settings) -> ImageSet:
    """What the frozen models learn from: RSICD's train, and in the final build what is left of val."""
    parts = rsicd(settings)
    return joined(parts["train"], parts["val"]) if settings.final else parts["train"]


def sentences(settings: Settings) -> list[str]:
    """Caption text for language alone: of training images, and RSITMD's."""
    rows = [caption for some in training_images(settings).captions for caption in some]
    text = (settings.imagery / "rsitmd_captions.txt").read_text(encoding="utf-8")
    return list(dict.fromkeys(rows + list(filter(None, map(clean, text.splitlines())))))


def paired(
    count: int, batch: int, count2: int, batch2: int, generator: torch.Generator
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of one epoch over the first set, each with a batch of the second, which goes round as often as needed."""
    order, order2 = torch.randperm(count, generator=generator), torch.randperm(count2, generator=generator)
    return [
        (order[i * batch : (i + 1) * batch], order2[(torch.arange(batch2) + i * batch2) % count2])
        for i in range(count // batch)
    ]
