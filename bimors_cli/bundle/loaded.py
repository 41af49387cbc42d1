"""What is known of a model of the catalog from machines on which its published weights were loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Loaded:
    """That the published files of a source were loaded and used: by which version of bimors, when, and on what."""

    version: str
    date: str
    platform: str

    @classmethod
    def read(cls, content: Mapping[str, Any] | None) -> Loaded | None:
        """Read the field ``loaded`` of the catalog; None if the files were never loaded."""
        return None if content is None else cls(**content)

    def __str__(self) -> str:
        return f"loaded by bimors {self.version} on {self.date}, {self.platform}"


@dataclass(frozen=True)
class Expected:
    """The answers of a CLIP to the example that is part of bimors.

    Attributes
    ----------
    example : str
        SHA-256 of the example: answers to another one are not compared.
    labels : tuple of str
        The label of each tile, in the order of the tiles.
    probabilities : tuple of float
        Its probability, 0..1.
    """

    example: str
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]

    @classmethod
    def read(cls, content: Mapping[str, Any] | None) -> Expected | None:
        """Read the field ``expected`` of the catalog; None if no answers are recorded."""
        if content is None:
            return None
        return cls(content["example"], tuple(content["labels"]), tuple(content["probabilities"]))

    def as_json(self) -> dict[str, Any]:
        """Return the field of the catalog."""
        return {"example": self.example, "labels": list(self.labels), "probabilities": list(self.probabilities)}
