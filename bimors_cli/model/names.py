"""How a label is said, and which of the user's labels a head knows. No torch: a plan asks before a model is loaded."""

from __future__ import annotations

from collections.abc import Sequence


def spoken(name: str) -> str:
    """A label as one says it: underscores are spaces."""
    return name.replace("_", " ")


def places(names: Sequence[str], trained: Sequence[str]) -> tuple[int | None, ...]:
    """Return the place of each name among those trained on; None for a name that is new.

    Names that the text tower reads alike are one name: case, underscores and the width of spaces do not count.

    Parameters
    ----------
    names : sequence of str
        K labels of the user.
    trained : sequence of str
        Labels of an adapter, in the order of its rows.
    """
    found: dict[str, int] = {}
    for place, name in enumerate(trained):
        found.setdefault(_key(name), place)
    return tuple(found.get(_key(name)) for name in names)


def new_names(names: Sequence[str], trained: Sequence[str]) -> tuple[str, ...]:
    """Return the names that were not trained on, in their order."""
    return tuple(name for name, place in zip(names, places(names, trained), strict=True) if place is None)


def _key(name: str) -> str:
    return " ".join(spoken(name).casefold().split())
