"""The tiles that the adapter of a layer learned from, as the layer records them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bimors_cli.errors import InputError
from bimors_cli.scene.tile_set import TileSet


def example_sets(recorded: Sequence[Mapping[str, Any]], layer_file: Path) -> tuple[TileSet, ...]:
    """Parse the record of the examples.

    Parameters
    ----------
    recorded : sequence of mapping
        See `TileSet.to_json`.
    layer_file : Path
        The file of the layer, for messages.

    Raises
    ------
    InputError
        The record is damaged.
    """
    try:
        return tuple(TileSet.from_json(one) for one in recorded)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{layer_file}: the record of the examples of the adapter is damaged: {error!r}", "classify again"
        ) from error
