"""What a bundle of the catalog needs of memory, from the numbers of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bimors_cli.bundle.catalog import CatalogEntry, Source
from bimors_cli.bundle.manifest import CLIP

# Weights are float32 in the memory of a CPU.
_FLOAT32: Final = 4
# Python, torch and the other libraries, a batch of tiles and its activations: with a ViT-B/32 of 0.6 GB, classify had
# at most 1.25 GB of its own and 0.6 GB of mapped libraries. Mapped weights, which the system can drop, come on top.
LIBRARIES: Final = 1_300_000_000
FORMULA: Final = f"{_FLOAT32} bytes a parameter and {LIBRARIES / 1e9:g} GB for libraries and tiles"


def memory_of(entry: CatalogEntry) -> int | None:
    """Return the bytes of memory that a bundle needs on a CPU, about; a GPU in half precision needs half the weights.

    They are 4 bytes a parameter and `LIBRARIES`. None if the catalog does not have the size of all weights.
    """
    numbers = parameters_of(entry)
    return None if numbers is None else _FLOAT32 * numbers + LIBRARIES


def parameters_of(entry: CatalogEntry) -> int | None:
    """Return the number of parameters of all parts, None if it is not known.

    That of CLIP follows from its configuration; those of the other parts from the sizes of their files.
    """
    counts = [
        (clip_parameters(entry.model_cfg, entry.channels) if part == CLIP else None) or _of_files(source)
        for part, source in entry.parts.items()
    ]
    return None if None in counts else sum(count or 0 for count in counts)


def _of_files(source: Source) -> int | None:
    sizes = [file.size or file.about for file in source.files if file.target.endswith(".safetensors")]
    if None in sizes:
        return None
    return sum(size or 0 for size in sizes) // source.facts.bytes_a_number


def clip_parameters(model_cfg: Mapping[str, Any], channels: int = 3) -> int | None:
    """Return the number of parameters of an open_clip model whose two towers are its own transformers.

    Parameters
    ----------
    model_cfg : mapping
        The configuration of open_clip.
    channels : int
        Bands that the image tower takes.

    Returns
    -------
    int or None
        None for towers of timm or transformers, and for settings that other models have.
    """
    vision, text, features = model_cfg["vision_cfg"], model_cfg["text_cfg"], model_cfg["embed_dim"]
    known = {"image_size", "layers", "width", "patch_size", "head_width", "mlp_ratio"}
    if not set(vision) <= known or not set(text) <= {"context_length", "vocab_size", "width", "heads", "layers"}:
        return None
    width, patch = vision["width"], vision["patch_size"]
    tokens = (vision["image_size"] // patch) ** 2 + 1
    image_tower = (
        channels * width * patch * patch  # patches
        + width * (1 + tokens)  # class token and positions
        + 4 * width  # a layer norm before the blocks and one after them
        + vision["layers"] * _block(width, vision.get("mlp_ratio", 4.0))
        + width * features  # projection
    )
    wide = text["width"]
    text_tower = (
        wide * (text["vocab_size"] + text["context_length"])
        + text["layers"] * _block(wide, 4.0)
        + 2 * wide
        + wide * features
    )
    return int(image_tower + text_tower + 1)  # and the scale of the cosines


def _block(width: int, mlp_ratio: float) -> int:
    """Return the parameters of a transformer block: attention, two linear layers, two layer norms."""
    hidden = int(width * mlp_ratio)
    return 4 * width * (width + 1) + hidden * (width + 1) + width * (hidden + 1) + 4 * width
