"""What the command line gives, as text, becomes the values of options."""

from __future__ import annotations

import glob
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from bimors_cli.errors import InputError
from bimors_cli.labels import Labels, parse_labels, read_labels
from bimors_cli.run_warnings import warn
from bimors_cli.wordlists import is_wordlist, read_wordlist


def parse_bidx(values: Sequence[str]) -> tuple[int, ...]:
    """Parse the values of a repeatable option such as ``-b 3 -b 2 -b 1`` or ``-b 3,2,1``: band numbers, as given.

    Raises
    ------
    InputError
        A value is not a whole number from 1.
    """
    parts = [part.strip() for value in values for part in value.split(",")]
    for part in parts:
        if not (part.isascii() and part.isdigit() and int(part) > 0):
            raise InputError(f"{part!r} is not a band number", "write bands as 3,2,1, numbered from 1")
    return tuple(map(int, parts))


def parse_assets(values: Sequence[str]) -> tuple[str, ...]:
    """Parse the values of a repeatable option such as ``--asset red,green,blue``: names, as given, repeats kept."""
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


def parse_tile_ids(values: Sequence[str]) -> tuple[str, ...]:
    """Parse the values of a repeatable option such as ``--like a/0/1 --like a/2/3`` or ``--like a/0/1,a/2/3``."""
    parts = (part.strip() for value in values for part in value.split(","))
    return tuple(dict.fromkeys(part for part in parts if part))


def parse_coverage(text: str) -> float:
    """Parse the fraction of sets that is to hold the true label, such as ``90%`` or ``0.9``. Raises InputError."""
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = math.nan
    if not 0 < value < 1:
        raise InputError(f"--coverage {text}: not a share above 0 % and below 100 %", "write 90% or 0.9")
    return value


def parse_labels_file(name: str) -> Labels:
    """Read a labels file, a wordlist by its name, or standard input for ``-``. Raises LabelsError."""
    return parse_labels(sys.stdin.buffer.read(), "standard input") if name == "-" else named_labels(name)


def named_labels(name: str) -> Labels:
    """Read a labels file, or the wordlist of this name. Raises LabelsError."""
    return read_labels(Path(name)) if is_file_not_wordlist(name) else read_wordlist(name).labels()


def is_file_not_wordlist(name: str) -> bool:
    """Tell whether a name is to be read as a file: it exists, or it cannot be the name of a wordlist.

    A file that is called like a wordlist is used, and a warning says so.
    """
    path = Path(name)
    if path.exists():
        if is_wordlist(name):
            warn("%s: the file of this name is used, not the wordlist: rename the file to use the list", name)
        return True
    return not is_wordlist(name) and (path.suffix != "" or path.name != name)


def expand_globs(patterns: Sequence[str]) -> tuple[str, ...]:
    """Expand the patterns that the shell left alone; every other name stays as it is, in order, once.

    Raises
    ------
    InputError
        No file matches a pattern.
    """
    paths: list[str] = []
    for pattern in patterns:
        if glob.has_magic(pattern) and not Path(pattern).exists() and "://" not in pattern:
            found = sorted(glob.glob(pattern, recursive=True))
            if not found:
                raise InputError(f"{pattern}: no file matches this pattern")
            paths += found
        else:
            paths.append(pattern)
    return tuple(dict.fromkeys(paths))
