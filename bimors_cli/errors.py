"""The errors that bimors raises, with the exit code and the hint that the command line shows."""

from __future__ import annotations

from typing import ClassVar


class BimorsError(Exception):
    """Base class of all errors for the user.

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
    """An option or an input is invalid; the run was not started (exit code 2)."""

    exit_code = 2


class SceneError(InputError):
    """The scene cannot be used: it is not a raster, or has no CRS, no bands or complex pixels."""


class LabelsError(InputError):
    """The labels file is missing or invalid."""


class VectorError(InputError):
    """A vector file cannot be used as area of interest or as training features."""


class OutputExistsError(InputError):
    """The output exists, and neither --overwrite nor --resume was given."""


class ReadError(BimorsError, OSError):
    """The pixels of a tile or scene could not be read."""


class OutputError(BimorsError, OSError):
    """The output could not be written."""


class JournalError(BimorsError):
    """The journal is locked, damaged, or belongs to another run."""


class BundleError(BimorsError):
    """A bundle or an adapter is missing, damaged or incompatible."""


class CacheError(BimorsError):
    """The caption cache cannot be used. Runs continue without it; only the commands that manage it fail."""


class DeviceError(InputError):
    """The requested device was not found, or does not have enough memory."""


class WorkerError(BimorsError):
    """A worker process of a run ended unexpectedly."""


class ModelError(BimorsError):
    """The model's output is invalid."""


class Interrupted(BimorsError):
    """The run was stopped by a signal; finished tiles are in the journal (exit code 128 + signal number)."""

    def __init__(self, signal_number: int, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.signal_number = signal_number


def one_line(error: BaseException) -> str:
    """Return the message of an error as one line."""
    return " ".join(str(error).split())
