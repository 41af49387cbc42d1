"""The training domain of a bundle: pixel sizes, image sizes, bands and sensors of its training images."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bimors_cli.bundle.training_features import TrainingFeatures, parse_training_features
from bimors_cli.errors import InputError

Range = tuple[float, float]


@dataclass(frozen=True)
class TrainingDomain:
    """What the models of a bundle were trained on.

    Attributes
    ----------
    pixel_size_m : (float, float)
        Smallest and largest ground sampling distance of the training images, in metres.
    tile_size_m : (float, float)
        Smallest and largest ground side that one training image covers, in metres.
    bands : tuple of str
        Names of the bands, ``("red", "green", "blue")``; empty if not stated.
    sensors : tuple of str
        Kinds of imagery, for display; may be empty.
    image_feature : TrainingFeatures or None
        Where their image features are; None if not stated.
    """

    pixel_size_m: Range
    tile_size_m: Range
    bands: tuple[str, ...] = ()
    sensors: tuple[str, ...] = ()
    image_feature: TrainingFeatures | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the object as it is written to a manifest; `parse_training_domain` is its inverse."""
        lists = {
            "pixel_size_m": self.pixel_size_m,
            "tile_size_m": self.tile_size_m,
            "bands": self.bands,
            "sensors": self.sensors,
        }
        return {
            **{key: list(value) for key, value in lists.items() if value},
            **({} if self.image_feature is None else {"image_feature": self.image_feature.as_json()}),
        }


def parse_training_domain(content: Mapping[str, Any]) -> TrainingDomain:
    """Parse the object of a manifest.

    Raises
    ------
    KeyError, TypeError, ValueError
        A value is missing, or invalid.
    """
    return TrainingDomain(
        pixel_size_m=_range(content["pixel_size_m"], "pixel_size_m"),
        tile_size_m=_range(content["tile_size_m"], "tile_size_m"),
        bands=_names(content.get("bands", []), "bands"),
        sensors=_names(content.get("sensors", []), "sensors"),
        image_feature=parse_training_features(content["image_feature"]) if "image_feature" in content else None,
    )


def read_training_domain(path: Path) -> TrainingDomain:
    """Read the object from a JSON file of its own.

    Raises
    ------
    InputError
        The file cannot be read, or is not such an object.
    """
    try:
        return parse_training_domain(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (KeyError, TypeError, ValueError) as error:
        hint = 'write {"pixel_size_m": [MIN, MAX], "tile_size_m": [MIN, MAX]}, in metres'
        raise InputError(f"{path}: not a training domain: {error}", hint) from error


def _range(given: Any, name: str) -> Range:
    low, high = given
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in (low, high)):
        raise TypeError(f"training_domain: {name} is not a pair of numbers")
    if not (0 < low <= high and math.isfinite(high)):
        raise ValueError(f"training_domain: {name} {low:g} to {high:g} is not a range of lengths")
    return float(low), float(high)


def _names(given: Any, name: str) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise TypeError(f"training_domain: {name} is not a list of strings")
    return tuple(given)
