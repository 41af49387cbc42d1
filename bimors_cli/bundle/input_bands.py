"""The bands that the CLIP of a bundle takes in place of a colour image, by name, with mean and standard deviation."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bimors_cli.errors import InputError
from bimors_cli.options.band_names import BAND_NAMES


@dataclass(frozen=True)
class InputBand:
    """A band by its name in `bimors_cli.options.band_names`, and mean and standard deviation of its training pixels."""

    name: str
    mean: float
    std: float


@dataclass(frozen=True)
class InputBands:
    """The bands that a CLIP takes, in their order.

    Pixels are used as they are stored: neither stretched, nor multiplied by the scale of the file, nor added to its
    offset.

    Attributes
    ----------
    bands : tuple of InputBand
        At least one, none twice.
    unit : str
        What the pixels are, for display: ``Sentinel-2 L2A digital numbers``; may be empty.
    """

    bands: tuple[InputBand, ...]
    unit: str = ""

    def __len__(self) -> int:
        return len(self.bands)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the bands."""
        return tuple(band.name for band in self.bands)

    @property
    def mean(self) -> tuple[float, ...]:
        """The mean of each band."""
        return tuple(band.mean for band in self.bands)

    @property
    def std(self) -> tuple[float, ...]:
        """The standard deviation of each band."""
        return tuple(band.std for band in self.bands)

    def as_json(self) -> dict[str, Any]:
        """Return the keys of a manifest; `parse_input_bands` is the inverse."""
        return {"bands": [asdict(band) for band in self.bands], **({"bands_unit": self.unit} if self.unit else {})}


def parse_input_bands(content: Mapping[str, Any]) -> InputBands:
    """Parse the keys ``bands`` and ``bands_unit`` of a manifest.

    Raises
    ------
    AttributeError, KeyError, TypeError, ValueError
        A value is missing or invalid, or two bands have the same name.
    """
    bands = []
    for given in content["bands"]:
        mean, std = (_number(given[key], key) for key in ("mean", "std"))
        if not std > 0:
            raise ValueError(f"bands: std {std:g} is not positive")
        if given["name"] not in BAND_NAMES:
            raise ValueError(f"bands: unknown name {given['name']!r} (known: {', '.join(BAND_NAMES)})")
        bands.append(InputBand(given["name"], mean, std))
    found = InputBands(tuple(bands), str(content.get("bands_unit", "")))
    if not bands or len(set(found.names)) < len(bands):
        raise ValueError("bands: no band, or two with the same name")
    return found


def read_input_bands(path: Path) -> InputBands:
    """Read the bands from a JSON file with the keys of a manifest.

    Raises
    ------
    InputError
        The file cannot be read, or does not have them.
    """
    try:
        return parse_input_bands(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        hint = 'write {"bands": [{"name": "blue", "mean": 925.2, "std": 1205.6}, ...]}, in the order of the model'
        raise InputError(f"{path}: not a list of bands: {error}", hint) from error


def _number(given: Any, name: str) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise TypeError(f"bands: {name} is not a number")
    return float(given)
