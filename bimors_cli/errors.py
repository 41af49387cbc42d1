"""Every error that bimors raises on purpose, with the exit code and the hint that the command line shows."""

from __future__ import annotations

from typing import ClassVar


class BimorsError(Exception):
    """Root of the errors that a user may meet; its text is one line that says what is wrong and where.

    Parameters
    ----------
    message : str
        What is wrong, and where. One line.
    hint : str, optional
        What to do next. One line.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(BimorsError, ValueError):
    """Wrong usage or unusable input: nothing was started (exit code 2)."""

    exit_code = 2


class SceneError(InputError):
    """The scene cannot be used: no CRS, complex pixels, no bands, not a raster."""


class LabelsError(InputError):
    """The labels file cannot be used."""


class VectorError(InputError):
    """A vector file cannot be used: an area of interest, or features to learn from."""


class OutputExistsError(InputError):
    """The output is already there and neither --overwrite nor --resume was given."""


class ReadError(BimorsError, OSError):
    """Pixels of one tile could not be read."""


class OutputError(BimorsError, OSError):
    """The output could not be written."""


class JournalError(BimorsError):
    """The journal is locked, damaged, or belongs to another run."""


class BundleError(BimorsError):
    """A bundle or an adapter is missing, damaged, or does not fit."""


class CacheError(BimorsError):
    """The caption cache cannot be used. A run goes on without it; only the commands about it end with this."""


class DeviceError(InputError):
    """The computing device that was asked for is not there, or its memory does not do."""


class WorkerError(BimorsError):
    """A process that looked at tiles for a run died."""


class ModelError(BimorsError):
    """The model's answer cannot be used."""


class Interrupted(BimorsError):
    """A signal asked the run to end; everything finished is in the journal (exit code 128 + the signal's number)."""

    def __init__(self, signal_number: int, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.signal_number = signal_number
