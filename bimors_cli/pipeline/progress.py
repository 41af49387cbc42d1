"""Progress of a long run, and the request to stop it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Shows how far a run is."""

    def begin(self, total: int, done: int = 0, stage: str = "") -> None:
        """Start a stage of ``total`` items, of which an earlier run finished ``done``."""

    def advance(self, count: int) -> None:
        """Count finished items."""


class StopRequest(Protocol):
    """A request to stop early: ``signal_number`` is the signal that was received, None while the run continues."""

    signal_number: int | None


class NullProgress:
    """Shows nothing, and never requests a stop. Serves runs over tiles, training and evaluation."""

    signal_number: int | None = None

    def begin(self, total: int, done: int = 0, stage: str = "") -> None:
        """Show nothing."""

    def advance(self, count: int) -> None:
        """Show nothing."""

    def epoch(self, figures: object, total: int) -> None:
        """Show nothing."""

    def trial(self, done: int, total: int, message: str) -> None:
        """Show nothing."""
