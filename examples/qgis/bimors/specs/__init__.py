"""The algorithms of the toolbox, as data."""

from __future__ import annotations

from . import accuracy, classification, review, scenes, training

ALGORITHMS = (
    *scenes.ALGORITHMS,
    *classification.ALGORITHMS,
    *review.ALGORITHMS,
    *training.ALGORITHMS,
    *accuracy.ALGORITHMS,
)
