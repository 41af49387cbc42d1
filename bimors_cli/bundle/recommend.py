"""Which bundles suit a scene: by sampling distance, bands, memory and licence, by published figures."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from bimors_cli.bundle.catalog import NO_CAPTIONER, CatalogEntry, captioners, entries, one_of_each_clip, with_captioner
from bimors_cli.bundle.facts import REFERENCE, Answer, Training, ZeroShot, pixel_sizes
from bimors_cli.bundle.memory import LIBRARIES, memory_of

# EuroSAT's images have 10 m, those of RESISC45 mostly less than 5 m: the first stands for coarse scenes.
_COARSE_M: Final = 5.0
_COARSE: Final = ("EuroSAT", "10 m")
_FINE: Final = ("RESISC45", "0.2 to 30 m")
# A model of bands sees objects of the size that it was trained on, up to this factor.
_OTHER_SIZE: Final = 2.0


@dataclass(frozen=True)
class Recommendation:
    """A bundle for a scene.

    Attributes
    ----------
    command : str
        How it is fetched and used.
    why : str
        The reason, with the figures and their source.
    memory : float or None
        Bytes of memory that it needs on a CPU, about; None if the catalog does not know the size of its weights.
    commercial : {"yes", "ask", "no"}
        Whether all its parts may be used commercially.
    """

    command: str
    why: str
    memory: float | None
    commercial: Answer


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Attributes
    ----------
    gsd_m : float or None
        Pixel size on the ground, in metres; None if it is not known.
    bands : int
        Number of bands of the scene that hold data.
    names : collection of str
        Their names, of `bimors_cli.options.band_names.BAND_NAMES`, as far as they are known.
    memory : float or None
        Memory of the machine or the GPU in bytes; None for no limit.
    commercial : bool
        Whether only models that may be used commercially are of use.
    """

    gsd_m: float | None
    bands: int = 3
    names: Collection[str] = ()
    memory: float | None = None
    commercial: bool = False

    @property
    def coarse(self) -> bool:
        """Whether pixels are so large that EuroSAT stands for the scene, not RESISC45."""
        return self.gsd_m is not None and self.gsd_m >= _COARSE_M

    def has_room_for(self, needed: float | None) -> bool:
        """Tell whether so many bytes fit into the memory; an unknown need fits only where there is no limit."""
        return self.memory is None or (needed is not None and needed <= self.memory)


def recommend(wanted: Wanted) -> tuple[Recommendation, ...]:
    """Recommend bundles, the best first.

    First those that take all bands of the scene, then by accuracy on a data set of similar pixels. Accuracies of
    different protocols are not compared with each other: each is compared with that of `REFERENCE` in the same
    protocol, and entries without such a comparison come last. A CLIP is named once, with the largest captioner that
    fits, at most its own.
    """
    return tuple(_all(wanted))


def _all(wanted: Wanted) -> Iterator[Recommendation]:
    if (wanted.coarse or wanted.bands > 3) and wanted.has_room_for(LIBRARIES):
        yield Recommendation(
            "bimors finetune --model bands scene.tif --polygons train.gpkg",
            "learns from all bands of the scene, with a few examples a class; nothing is fetched",
            LIBRARIES,
            "yes",
        )
    of_bands = [entry for entry in entries() if entry.bands is not None and _sees(entry, wanted)]
    of_colours = [entry for entry in one_of_each_clip() if entry.bands is None]
    data_set = _COARSE if wanted.coarse else _FINE
    for entry in (*of_bands, *sorted(of_colours, key=lambda entry: _order(entry, data_set[0]))):
        found = _that_fits(entry, wanted)
        if found is None:
            continue
        captioner, combined = found
        option = "" if captioner is None else f" --captioner {captioner}"
        reasons = (
            *([] if entry.bands is None else [_why_bands(entry)]),
            _accuracy(entry.zero_shot, *data_set),
            *_pixels(entry.training, wanted.gsd_m),
            *([] if captioner is None else [_why_captioner(entry, wanted)]),
        )
        yield Recommendation(
            f"bimors models fetch {entry.name}{option}",
            "; ".join(reasons),
            memory_of(combined),
            combined.commercial,
        )


def _sees(entry: CatalogEntry, wanted: Wanted) -> bool:
    """Tell whether a model of bands was made for such a scene."""
    return set(entry.band_names) <= set(wanted.names) and _size_is_near(entry.training, wanted.gsd_m)


def _size_is_near(training: Training | None, gsd_m: float | None) -> bool:
    if gsd_m is None or training is None or training.pixel_size_m is None:
        return True
    low, high = training.pixel_size_m
    return low / _OTHER_SIZE <= gsd_m <= high * _OTHER_SIZE


def _order(entry: CatalogEntry, data_set: str) -> tuple[bool, float]:
    found = entry.zero_shot
    compared = None if found is None else found.compared(data_set)
    if compared is not None:
        return False, -compared
    return True, -found.figures.get(data_set, 0.0) if found is not None else 0.0


def _that_fits(entry: CatalogEntry, wanted: Wanted) -> tuple[str | None, CatalogEntry] | None:
    """Return the largest captioner that fits, at most the entry's own (None), and the entry with it."""
    others: list[tuple[str | None, CatalogEntry]] = []
    if "captioner" in entry.parts:
        others = [(name, with_captioner(entry, name)) for name in (*captioners(), NO_CAPTIONER)]
    choices = [(None, entry), *((name, other) for name, other in others if other.size < entry.size)]
    allowed = [one for one in choices if not wanted.commercial or one[1].commercial == "yes"]
    if wanted.memory is None:
        return allowed[0] if allowed else None
    fitting = [one for one in allowed if wanted.has_room_for(memory_of(one[1]))]
    return max(fitting, key=lambda one: memory_of(one[1]) or 0, default=None)


def _why_bands(entry: CatalogEntry) -> str:
    images = "" if entry.training is None else f", trained on {', '.join(entry.training.images)}"
    return f"takes {entry.channels} bands of the scene{images}"


def _why_captioner(entry: CatalogEntry, wanted: Wanted) -> str:
    needed = memory_of(entry)
    if needed is None or wanted.has_room_for(needed):
        return "its own captioner is not clearly free for commercial use"
    return f"with its own captioner it needs {needed / 1e9:.1f} GB"


def _pixels(training: Training | None, gsd_m: float | None) -> Iterator[str]:
    """Yield the pixel sizes of the training images, if they are known."""
    if training is not None and training.pixel_size_m is not None:
        outside = "" if _size_is_near(training, gsd_m) else ", unlike those of the scene"
        yield f"trained on pixels of {pixel_sizes(training.pixel_size_m)}{outside}"


def _accuracy(found: ZeroShot | None, data_set: str, pixels: str) -> str:
    if found is None or data_set not in found.figures:
        return f"accuracy on {data_set} not known"
    text = f"{found.figures[data_set]:.1f} % on {data_set} ({pixels}), zero-shot, {found.protocol.title}"
    reference = found.protocol.reference.get(data_set)
    if reference is None:
        text += "; not comparable with the other figures"
    elif reference != found.figures[data_set]:
        text += f", where {REFERENCE} has {reference:.1f} %"
    return f"{text}; {found.protocol.source}" + (f"; {found.doubt}" if found.doubt else "")
