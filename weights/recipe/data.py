"""Images, captions and splits. Test images and their captions are never used for training."""

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

# Validation images of each RSICD class that CLIP and captioner are not trained on: the 16 shots of the adapter, and
# the images that its temperature is fitted on.
SHOTS, FITTING = 16, 8


@dataclass(frozen=True)
class ImageSet:
    """N images of one data set: uint8 [N, 3, s, s], class index int64 [N], file names, class keys and captions."""

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
    """All images of a data set at one size, decoded once and cached in the work folder."""
    cache = settings.work / "cache" / f"{name}.safetensors"
    if cache.exists():
        cached: torch.Tensor = load_file(cache)["pixels"]
        return cached
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
    """The new classes of RSICD in base-to-new: the second half in the order of the split file, as in Zhou et al.
    (CoCoOp, 2022)."""
    split = json.loads((splits / "rsicd.json").read_text(encoding="utf-8"))
    kinds = [kind for _, kind in sorted({(label, kind) for part in split.values() for _, label, kind in part})]
    return kinds[math.ceil(len(kinds) / 2) :]


def rsicd(settings: Settings) -> dict[str, ImageSet]:
    """RSICD with the splits of the benchmark: ``train``, ``val`` (for model selection), ``shots`` and ``fitting`` (held
    out of val for the adapter), ``test``. Training images that are identical to a held-out image are omitted, and all
    images of the classes that the bundle is built without."""
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
    image_set = ImageSet(pixels, target, tuple(files), classes, tuple(captions[file] for file in files))
    row_of = {file: i for i, file in enumerate(files)}
    digest = [hashlib.sha1(image.numpy().tobytes()).digest() for image in pixels]

    parts = {name: sorted(row_of[file] for file, _, _ in part if file in row_of) for name, part in split.items()}
    held: dict[int, list[int]] = {}
    for i in (parts["val"][j] for j in torch.randperm(len(parts["val"]), generator=settings.generator(7)).tolist()):
        held.setdefault(int(target[i]), []).append(i)
    parts["shots"] = sorted(i for rows in held.values() for i in rows[:SHOTS])
    parts["fitting"] = sorted(i for rows in held.values() for i in rows[SHOTS : SHOTS + FITTING])
    held_out = set(parts["shots"]) | set(parts["fitting"])
    parts["val"] = [i for i in parts["val"] if i not in held_out]
    unseen = {digest[i] for i in parts["test"]}
    excluded = unseen | {digest[i] for i in held_out}
    parts["train"] = [i for i in parts["train"] if digest[i] not in excluded]
    parts["val"] = [i for i in parts["val"] if digest[i] not in excluded]
    return {name: image_set.take(rows) for name, rows in parts.items()}


def rsscn7(settings: Settings) -> dict[str, ImageSet]:
    """RSSCN7 split by hash: ``train``, ``val``, ``test``; without captions, and without the classes that the bundle is
    built without."""
    root = settings.imagery / "rsscn7" / "images"
    files = sorted(f"{path.parent.name}/{path.name}" for path in root.glob("*/*.jpg"))
    pixels = _decode(settings, "rsscn7", files, 160)
    classes = tuple(sorted(settings.lexicon.rsscn7))
    known = [i for i, file in enumerate(files) if file.split("/")[0] in classes]
    pixels, files = pixels[known], [files[i] for i in known]
    target = torch.tensor([classes.index(file.split("/")[0]) for file in files])
    image_set = ImageSet(pixels, target, tuple(files), classes, ())
    parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for i, file in enumerate(files):
        last = hashlib.sha1(file.encode()).digest()[-1]
        parts["test" if last < 77 else "val" if last < 103 else "train"].append(i)
    return {name: image_set.take(rows) for name, rows in parts.items()}


def joined(first: ImageSet, second: ImageSet) -> ImageSet:
    """Join two splits of one data set."""
    return ImageSet(
        torch.cat((first.pixels, second.pixels)),
        torch.cat((first.target, second.target)),
        first.files + second.files,
        first.classes,
        first.captions + second.captions,
    )


def training_images(settings: Settings) -> ImageSet:
    """Training images of the frozen models: RSICD's train split, in the final build also the rest of val."""
    parts = rsicd(settings)
    return joined(parts["train"], parts["val"]) if settings.final else parts["train"]


def sentences(settings: Settings) -> list[str]:
    """Sentences for the language models: captions of training images, and those of RSITMD."""
    rows = [caption for some in training_images(settings).captions for caption in some]
    text = (settings.imagery / "rsitmd_captions.txt").read_text(encoding="utf-8")
    return list(dict.fromkeys(rows + list(filter(None, map(clean, text.splitlines())))))


def paired(
    count: int, batch: int, count2: int, batch2: int, generator: torch.Generator
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of one epoch over the first set, each with a batch of the second, which is repeated as needed."""
    order, order2 = torch.randperm(count, generator=generator), torch.randperm(count2, generator=generator)
    return [
        (order[i * batch : (i + 1) * batch], order2[(torch.arange(batch2) + i * batch2) % count2])
        for i in range(count // batch)
    ]
