"""The folder of an unfinished training, next to its output."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bimors_cli.errors import OutputExistsError

PLAN: Final = "plan.json"


def training_folder(output: Path) -> Path:
    """Return the folder of the unfinished run of an adapter: ``<output>.training``."""
    return output.with_name(f"{output.name}.training")


def is_unfinished(output: Path) -> bool:
    """Tell whether there is an unfinished run for this output."""
    return (training_folder(output) / PLAN).exists()


def check_unfinished(output: Path, *, resume: bool, overwrite: bool) -> None:
    """Raise OutputExistsError if there is an unfinished run, and it is neither continued nor discarded."""
    if is_unfinished(output) and not (resume or overwrite):
        raise OutputExistsError(
            f"{training_folder(output)}: the previous run for this output is unfinished",
            "continue with --resume, or start from scratch with --overwrite",
        )
