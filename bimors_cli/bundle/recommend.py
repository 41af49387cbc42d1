"""Which bundles suit a scene: by sampling distance, bands and memory, with the published figures that say so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from bimors_cli.bundle.catalog import NO_CAPTIONER, CatalogEntry, captioners, entries, with_captioner

# EuroSAT's images have 10 m, those of RESISC45 mostly less than 5 m: the first stands for coarse scenes.
_COARSE_M: Final = 5.0
# Weights are float32 in the memory of a CPU; libraries, tiles and activations come on top.
_LIBRARIES: Final = 1.3e9

# Zero-shot accuracy in percent on EuroSAT and RESISC45, with 106 templates, of whole data sets (El Khoury et al. 2024,
# arXiv 2409.00698, table of its repository RS-TransCLIP). One protocol for all: other protocols differ by 20 points.
PUBLISHED: Final[Mapping[str, tuple[float, float]]] = {
    "georsclip-h14": (68.3, 73.8),
    "georsclip-b32": (53.4, 68.8),
    "skyclip-b32": (52.6, 66.7),
    "skyclip-l14": (51.5, 70.5),
    "remoteclip-l14": (43.6, 76.0),
    "remoteclip-b32": (35.5, 68.1),
}
SOURCE: Final = "zero-shot, RS-TransCLIP (arXiv 2409.00698)"
# Of these, RemoteCLIP's captions may come from the images of such data sets.
_DOUBTFUL: Final = "remoteclip"


@dataclass(frozen=True)
class Recommendation:
    """A bundle for a scene.

    Attributes
    ----------
    command : str
        How it is fetched and used.
    why : str
        The reason, with the figures and their source.
    memory : float
        Bytes of memory that it needs on a CPU, about; None if the catalog does not know the size of its weights.
    """

    command: str
    why: str
    memory: float | None


def recommend(gsd_m: float | None, bands: int, memory: float | None) -> tuple[Recommendation, ...]:
    """Recommend bundles, the best first.

    Parameters
    ----------
    gsd_m : float, optional
        Pixel size on the ground, in metres; None if it is not known.
    bands : int
        Number of bands of the scene that hold data.
    memory : float, optional
        Memory of the machine or the GPU in bytes; None for no limit.
    """
    return tuple(_all(gsd_m, bands, memory))


def _all(gsd_m: float | None, bands: int, memory: float | None) -> Iterator[Recommendation]:
    coarse = gsd_m is not None and gsd_m >= _COARSE_M
    if (coarse or bands > 3) and (memory is None or memory >= _LIBRARIES):
        yield Recommendation(
            "bimors finetune --model bands scene.tif --polygons train.gpkg",
            "learns from all bands of the scene, with a few examples a class; nothing is fetched",
            _LIBRARIES,
        )
    by = 0 if coarse else 1
    what = "EuroSAT (10 m)" if coarse else "RESISC45 (0.2 to 30 m)"
    known = [entry for entry in entries() if entry.name in PUBLISHED]
    for entry in sorted(known, key=lambda entry: PUBLISHED[entry.name][by], reverse=True):
        found = _that_fits(entry, memory)
        if found is None:
            continue
        captioner, needed = found
        option = "" if captioner is None else f" --captioner {captioner}"
        doubt = "; its training captions may come from such data sets" if entry.name.startswith(_DOUBTFUL) else ""
        yield Recommendation(
            f"bimors models fetch {entry.name}{option}",
            f"{PUBLISHED[entry.name][by]:g} % on {what}, {SOURCE}{doubt}",
            needed,
        )


def _that_fits(entry: CatalogEntry, memory: float | None) -> tuple[str | None, float | None] | None:
    """Return the largest captioner, at most its own (None), with which an entry fits into memory; and the memory."""
    own = next((name for name, source in captioners().items() if source == entry.parts["captioner"]), None)
    others = [(name, with_captioner(entry, name)) for name in (*captioners(), NO_CAPTIONER) if name != own]
    choices = [(None, entry), *((name, other) for name, other in others if other.size < entry.size)]
    sized = [(name, _memory(one)) for name, one in choices]
    if memory is None:
        return sized[0]
    fitting = [(name, needed) for name, needed in sized if needed is not None and needed <= memory]
    return max(fitting, key=lambda one: one[1] or 0, default=None)


def _memory(entry: CatalogEntry) -> float | None:
    return entry.size + _LIBRARIES if entry.size_is_known else None
