"""Classes whose names differ by one letter: likely the same class, misspelt in one of the two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Final

from bimors_cli.run_warnings import warn
from bimors_cli.training.examples.base import Examples

# Shorter words that differ by one letter are often different words: port and fort.
_LETTERS: Final = 5


def warn_of_alike_names(examples: Examples) -> None:
    """Warn of classes whose names differ by one letter, each with its number of examples."""
    names, counts = examples.labels.names, Counter(example.label for example in examples.examples)
    for one, other in alike(names):
        warn(
            "%s: the classes %r (%s) and %r (%s) differ by one letter: correct the spelling if they are the same",
            *(examples.name, names[one], _number(counts[one]), names[other], _number(counts[other])),
        )


def alike(names: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield pairs of names, as indices, of which a word has a letter more, less or another one, or two swapped.

    Names that differ by digits, and words of up to four letters, are not alike.
    """
    words = [name.casefold().split() for name in names]
    for (one, first), (other, second) in combinations(enumerate(words), 2):
        if len(first) != len(second):
            continue
        different = [pair for pair in zip(first, second, strict=True) if pair[0] != pair[1]]
        if len(different) == 1 and _one_letter(*different[0]):
            yield one, other


def _one_letter(first: str, second: str) -> bool:
    short, long = sorted((first, second), key=len)
    if len(long) < _LETTERS or len(long) - len(short) > 1 or not (short + long).isalpha():
        return False
    same = next((i for i, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    if len(short) < len(long):
        return short[same:] == long[same + 1 :]
    swapped = short[same : same + 2] == long[same : same + 2][::-1] and short[same + 2 :] == long[same + 2 :]
    return swapped or short[same + 1 :] == long[same + 1 :]


def _number(count: int) -> str:
    return f"{count:,} example{'' if count == 1 else 's'}"
