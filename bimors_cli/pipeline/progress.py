"""Who watches a long run: how far it is, and whether it is to end early."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Who shows how far a run is."""

    def begin(self, total: int, done: int) -> None:
        """Start: ``total`` tiles, of which ``done`` are done."""

    def advance(self, tiles: int) -> None:
        """Count finished tiles."""


class StopRequest(Protocol):
    """Who asks a run to end early: ``signal_number`` is that of the signal, None to go on."""

    signal_number: int | None


class NullProgress:
    """Shows nothing and never asks to stop."""

    signal_number: int | None = None

    def begin(self, total: int, done: int) -> None:
        """Show nothing."""

    def advance(self, tiles: int) -> None:
        """Show nothing."""
