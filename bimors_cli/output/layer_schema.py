"""Layers of tiles that say no labels: their columns and their style are given by whoever makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from bimors_cli.output.classified_schema import INTEGER, TEXT, check_layer_name
from bimors_cli.output.style import Style

# What every layer of tiles begins with.
TILE_COLUMNS: Final = {"tile_id": TEXT, "scene": TEXT, "row": INTEGER, "col": INTEGER}


@dataclass(frozen=True)
class TileSchema:
    """A layer of tiles with any columns and one style.

    Parameters
    ----------
    name, crs_wkt, metadata, multipart
        As `rows.LayerSpec`.
    fields : mapping of str to dtype
        The columns, in order: `rows.TEXT`, `rows.INTEGER` or `rows.REAL`.
    style : Style
        What QGIS applies.

    Raises
    ------
    InputError
        A layer name that a GeoPackage cannot have.
    """

    name: str
    crs_wkt: str
    fields: Mapping[str, np.dtype[Any]]
    style: Style
    metadata: Mapping[str, str] = field(default_factory=dict)
    multipart: bool = False

    def __post_init__(self) -> None:
        check_layer_name(self.name)

    def columns(self) -> dict[str, np.dtype[Any]]:
        """As `rows.Layer`."""
        return dict(self.fields)

    def styles(self) -> tuple[Style, ...]:
        """As `rows.Layer`."""
        return (self.style,)
