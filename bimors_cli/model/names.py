"""Which of the user's labels a head knows. No torch: a plan asks before a model is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bimors_cli.labels import BAR, Labels, reading


def places(names: Sequence[str], trained: Sequence[str]) -> tuple[int | None, ...]:
    """Return the place of each name among those trained on; None for a name that is new.

    Names that the text tower reads alike are one name: case, underscores and the width of spaces do not count. A class
    of a folder or a field may be called ``forest | woodland``; a labels file has no such name, so either part finds it.

    Parameters
    ----------
    names : sequence of str
        K names.
    trained : sequence of str
        Labels of an adapter, in the order of its rows.
    """
    found = _by_reading(trained)
    return tuple(found.get(reading(name)) for name in names)


def label_places(labels: Labels, trained: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Return the places of each label among those trained on, by any of its names; none for a label that is new.

    Several where several of its names were classes of their own: ``water | river | lake``.
    """
    found = _by_reading(trained)
    known = ([found.get(reading(name)) for name in label.names] for label in labels.items)
    return tuple(tuple(dict.fromkeys(place for place in some if place is not None)) for some in known)


def new_names(names: Sequence[str], trained: Sequence[str]) -> tuple[str, ...]:
    """Return the names that were not trained on, in their order."""
    return tuple(name for name, place in zip(names, places(names, trained), strict=True) if place is None)


def new_labels(labels: Labels, trained: Sequence[str]) -> tuple[str, ...]:
    """Return the labels of which no name was trained on, in their order."""
    return tuple(name for name, some in zip(labels.names, label_places(labels, trained), strict=True) if not some)


def _by_reading(trained: Sequence[str]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for place, name in enumerate(trained):
        found.setdefault(reading(name), place)
    for place, name in enumerate(trained):  # whole names come first
        for part in name.split(BAR):
            found.setdefault(reading(part), place)
    return found
