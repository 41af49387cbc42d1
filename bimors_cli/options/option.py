"""What an option is: one annotated field of a class.

The field's type, default and `Option` are the only declaration. The command line (`bimors_cli.cli.command`), its help
and completion, the checks, the resume key and the provenance follow from it; the Python API takes the class itself:

    tile_size: Annotated[str, Option("--tile-size", "Side of a tile.", metavar="SIZE", rows=RowKey("tile size"))] =
    "224"
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, get_type_hints

from bimors_cli.errors import InputError
from bimors_cli.labels import Labels

# Panels of the help, in the order in which it shows them.
OUTPUT, EXAMPLES, COMPARISON, ACCURACY = "Output", "Examples", "Comparison of heads", "Accuracy of a layer"
TILES, INPUT, MODEL, TRAINING, CLUSTER, RUN = "Tiles", "Input", "Model", "Training", "Cluster", "Run"
PANELS: Final = (None, OUTPUT, EXAMPLES, COMPARISON, ACCURACY, TILES, INPUT, MODEL, TRAINING, CLUSTER, RUN)


@dataclass(frozen=True)
class RowKey:
    """The option decides the rows of a layer: its value is part of the resume key, under this name.

    With ``only_if_changed`` the default is left out, since earlier versions, which had no such option, wrote no key.
    """

    name: str
    only_if_changed: bool = False


# What the value comes to is part of the resume key (bands, a hash of the adapter): the plan writes it.
RESOLVED: Final = "resolved"
# The option says where, when or how fast rows are made, and changes none of them.
NO_EFFECT: Final = "no effect"


@dataclass(frozen=True)
class Option:
    """The declaration of an option, next to the type and default of its field.

    Attributes
    ----------
    flags : str
        Names on the command line, separated by spaces; empty for a positional argument.
    help : str
        What it does and what it takes.
    rows : RowKey or str, optional
        Whether it decides the rows of a layer: a `RowKey`, `RESOLVED` or `NO_EFFECT`. Needed in classes of runs that
        can be resumed from tiles (a test holds that).
    panel, metavar, envvar : str, optional
        Panel of the help, name of the value in it, environment variable with a default.
    choices : mapping, optional
        The legal values, each with a few words for completion: a str, or a row of a table with ``help``. The mapping is
        read when it is needed, so that a row that another package adds is a choice.
    minimum, maximum : float, optional
        Inclusive range of a number.
    required : bool
        The command line does not go without it. In Python the field starts empty, and `Options.check_required` refuses
        that.
    commas : bool
        The command line takes several values in one word, separated by commas.
    reads_scenes : bool
        Its values are paths that ``--offline`` checks; shell patterns in them are expanded.
    parse : callable, optional
        Makes the field's value of what the command line gives (str, or list of str for a tuple); raises InputError.
    complete : str, optional
        Name of a function of `bimors_cli.cli.completion`.
    flag_for : (str, str), optional
        A flag of the command line that means one of the choices: ``("--no-captions", "none")``.
    former : str, optional
        Former flags of a yes or no, ``--cache/--no-cache``, which the command line takes and its help does not show.
    """

    flags: str
    help: str
    rows: RowKey | str | None = None
    panel: str | None = None
    metavar: str | None = None
    envvar: str | None = None
    choices: Mapping[str, Any] | None = None
    minimum: float | None = None
    maximum: float | None = None
    required: bool = False
    commas: bool = False
    reads_scenes: bool = False
    parse: Callable[[Any], Any] | None = None
    complete: str | None = None
    flag_for: tuple[str, str] | None = None
    former: str | None = None

    @property
    def name(self) -> str:
        """How messages call it: its longest flag, or the metavar of an argument."""
        names = [flag.partition("/")[0] for flag in self.flags.split()]
        return max(names, key=len) if names else str(self.metavar)

    def check(self, value: Any) -> None:
        """Check a value against choices and range. Raises InputError."""
        if value is None or value == "":
            return
        if self.choices is not None and value not in self.choices:
            raise InputError(f"{self.name} {value}: unknown value", f"use one of {', '.join(self.choices)}")
        for number in value if isinstance(value, tuple) else (value,):
            self._check_range(number)

    def _check_range(self, value: Any) -> None:
        low, high = self.minimum, self.maximum
        if (low is None or low <= value) and (high is None or value <= high):
            return
        if low is None:
            raise InputError(f"{self.name} {value}: must be {high:g} at most")
        if high is None:
            raise InputError(f"{self.name} {value}: must be at least {low:g}")
        raise InputError(f"{self.name} {value}: must be between {low:g} and {high:,g}")


@dataclass(frozen=True)
class OptionField:
    """A field of an options class: its name, type, default and declaration."""

    name: str
    type: Any
    default: Any
    option: Option


def option_fields(cls: type[Any]) -> tuple[OptionField, ...]:
    """Return the fields of an options class that have an `Option`, in the order of their declaration."""
    hints = get_type_hints(cls, include_extras=True)
    found = []
    for field in fields(cls):
        hint = hints[field.name]
        options = [meta for meta in getattr(hint, "__metadata__", ()) if isinstance(meta, Option)]
        if options:
            found.append(OptionField(field.name, hint.__origin__, field.default, options[-1]))
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Root of the classes of options. Construction checks each value by itself, then what goes with what."""

    def __post_init__(self) -> None:
        for field in option_fields(type(self)):
            field.option.check(getattr(self, field.name))
        self.check_combination()

    def check_combination(self) -> None:
        """Refuse options that do not go together. Raises InputError. A subclass calls its parent's first."""

    def check_required(self) -> None:
        """Refuse to run without the options that are required. Raises InputError."""
        for field in option_fields(type(self)):
            if field.option.required and getattr(self, field.name) in (None, (), "", Path(), Labels(())):
                raise InputError(f"{field.option.name} is missing", field.option.help)

    def row_key(self) -> dict[str, Any]:
        """Return the part of the resume key that follows from the options alone."""
        return dict(self._row_key())

    def _row_key(self) -> Iterator[tuple[str, Any]]:
        for field in option_fields(type(self)):
            key, value = field.option.rows, getattr(self, field.name)
            if isinstance(key, RowKey) and not (key.only_if_changed and value == field.default):
                yield key.name, value
