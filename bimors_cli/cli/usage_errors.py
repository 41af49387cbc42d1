"""A command line that typer refuses is reported as every other mistake: one line, and a hint that says what to do."""

from __future__ import annotations

import re
import shlex
from difflib import get_close_matches
from pathlib import PurePath
from typing import Any, Final

from bimors_cli.errors import InputError, one_line

_UNKNOWN_COMMAND: Final = re.compile(r"No such command '(?P<word>.*?)'\.?(?: Did you mean (?P<close>.*)\?)?$")
_RASTERS: Final = frozenset({".tif", ".tiff", ".vrt", ".jp2", ".img", ".nc", ".png", ".jpg", ".jpeg"})


def is_usage_error(error: Exception) -> bool:
    """Tell whether typer raised it for a command line. A command without arguments, which shows its help, is not one.

    typer has its own copy of click, or uses an installed one: its exceptions are recognised by what they have.
    """
    return hasattr(error, "format_message") and hasattr(error, "ctx") and type(error).__name__ != "NoArgsIsHelpError"


def usage_error(error: Any) -> InputError:
    """Return the error to show for a UsageError of typer: its message as one line, and what to do."""
    context = error.ctx
    path = "bimors" if context is None else context.command_path
    message = one_line(error.format_message())
    unknown = _UNKNOWN_COMMAND.match(message)
    if unknown is not None:
        return _unknown_command(unknown["word"], unknown["close"], path, is_root=context.parent is None)
    if hasattr(error, "possibilities"):
        if context is None or context.parent is None:
            return InputError(one_line(error.message), f"options come after the command; {path} -h lists the commands")
        close = get_close_matches(error.option_name, error.possibilities or (), n=1)
        meant = f"did you mean {close[0]}? " if close else ""
        return InputError(one_line(error.message), f"{meant}{path} -h lists the options")
    message = message.removesuffix(".")
    if message.startswith("Missing") and context is not None and context.command.epilog:
        return InputError(message, f"for example: {context.command.epilog.removeprefix('Example: ')}")
    return InputError(message, f"{path} -h describes the options and arguments")


def _unknown_command(word: str, close: str | None, path: str, *, is_root: bool) -> InputError:
    """Return the error for a word in place of a command: a raster, a misspelt command, or another word."""
    if is_root and PurePath(word).suffix.lower() in _RASTERS:
        file = shlex.quote(word)
        return InputError(
            f"No such command {word!r}: the command comes before the file",
            f"{path} info {file}, or {path} classify {file} --labels labels.txt",
        )
    if is_root and word == "version":
        hint = f"{path} --version shows the version"
    elif close is not None:
        hint = f"did you mean {close}? {path} -h lists the commands"
    else:
        hint = f"{path} -h lists the commands, {path} COMMAND -h describes one"
    return InputError(f"No such command {word!r}", hint)
