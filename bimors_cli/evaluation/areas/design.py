"""The design of a probability sample of a map, as the sample's layer records it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

# Reference of a tile whose class is unclear: the tile is counted, and left out of the estimates.
CANNOT_TELL: Final = "cannot tell"

Method = Literal["stratified", "random", "systematic"]


@dataclass(frozen=True)
class Stratum:
    """A part of the map that is sampled by itself.

    Attributes
    ----------
    name : str
        Its value in the column of the strata; of a sample without strata ``all``.
    tiles : int
        Number of tiles that could be drawn, N_h.
    hectares : float
        Their area on the ground.
    drawn : int
        Number of tiles that were drawn, n_h.
    """

    name: str
    tiles: int
    hectares: float
    drawn: int

    @property
    def inclusion_probability(self) -> float:
        """The probability of each tile to be drawn, n_h / N_h; that of a systematic sample varies with its start."""
        return self.drawn / self.tiles if self.tiles else 0.0


@dataclass(frozen=True)
class MappedClass:
    """How many tiles of the population have a label on the map, and their area on the ground in hectares."""

    label: str | None
    tiles: int
    hectares: float


@dataclass(frozen=True)
class SampleDesign:
    """What the estimates of a sample need to know of how it was drawn.

    The population are the tiles of the layer with data: those without a label because of ``min_confidence`` or
    ``unlike_examples`` belong to it, as map class None; tiles of nodata, outside the AOI and those that could not be
    read do not.

    Attributes
    ----------
    method : str
        ``stratified``, ``random`` or ``systematic``. Of the last the number of drawn tiles depends on the random start,
        and its variance is estimated as if it were random.
    column : str or None
        Column of the strata; None without strata.
    strata : tuple of Stratum
        All of them, also those without a drawn tile.
    mapped : tuple of MappedClass
        The classes of the map.
    excluded : int
        Number of tiles that were examples of the adapter, or that the user left out: no sample may contain them, so
        they are not in the population.
    seed : int
        Seed of the draw.
    min_distance_m : float
        Least distance between tiles; above 0 the inclusion probabilities are approximate.
    left_out : tuple of mapping
        The excluded tiles, see `TileSet.to_json`; empty in a sample of an earlier version.
    """

    method: Method
    column: str | None
    strata: tuple[Stratum, ...]
    mapped: tuple[MappedClass, ...]
    excluded: int
    seed: int
    min_distance_m: float = 0.0
    left_out: tuple[Mapping[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> SampleDesign:
        """Parse the result of `to_json`.

        Raises
        ------
        KeyError, TypeError, ValueError
            It is something else, or the numbers contradict each other.
        """
        method = content["method"]
        if method not in ("stratified", "random", "systematic"):
            raise ValueError(f"{method!r} is not a design")
        found = cls(
            method,
            None if content["column"] is None else str(content["column"]),
            tuple(
                Stratum(str(one["name"]), int(one["tiles"]), float(one["hectares"]), int(one["drawn"]))
                for one in _list(content["strata"])
            ),
            tuple(
                MappedClass(
                    None if one["label"] is None else str(one["label"]), int(one["tiles"]), float(one["hectares"])
                )
                for one in _list(content["mapped"])
            ),
            int(content["excluded"]),
            int(content["seed"]),
            float(content["min_distance_m"]),
            tuple(_list(content.get("left_out", ()))),
        )
        if not found.strata or any(not 0 <= one.drawn <= one.tiles or one.hectares < 0 for one in found.strata):
            raise ValueError("a stratum has more drawn tiles than tiles")
        if len({one.name for one in found.strata}) < len(found.strata):
            raise ValueError("two strata have one name")
        if sum(one.tiles for one in found.strata) != sum(one.tiles for one in found.mapped):
            raise ValueError("the strata and the classes of the map have different numbers of tiles")
        return found


def _list(value: Any) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError("not a list")
    return value
