"""Steps that take seconds and have nothing to count, such as importing the libraries of the models.

    with step("loading the libraries"):
        from bimors_cli.pipeline.inference.load import load_models

The command line shows them; in Python nothing is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar, Final

LIBRARIES: Final = "loading the libraries of the models"

Show = Callable[[str], AbstractContextManager[object]]


class _Steps:
    show: ClassVar[Show] = nullcontext


def step(text: str) -> AbstractContextManager[object]:
    """Return a context that shows, as long as it lasts, what is done in it: ``loading the model mini``."""
    return _Steps.show(text)


def show_steps(show: Show) -> None:
    """Show all following steps by ``show``, which gets their text and returns the context."""
    _Steps.show = staticmethod(show)
