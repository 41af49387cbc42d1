"""Schema of layers of tiles other than those of classify."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

import numpy as np

from bimors_cli.output.classified_schema import INTEGER, TEXT, check_layer_name
from bimors_cli.output.style import Style

# The first columns of every layer of tiles.
TILE_COLUMNS: Final = {"tile_id": TEXT, "scene": TEXT, "row": INTEGER, "col": INTEGER}


@dataclass(frozen=True)
class TileSchema:
    """A layer of tiles with any columns and styles.

    Parameters
    ----------
    name, crs_wkt, metadata, multipart
        As `ClassifiedSchema`.
    fields : mapping of str to dtype
        The columns, in order: `TEXT`, `INTEGER` or `REAL` of `classified_schema`.
    style : Style
        Style that QGIS applies.
    other_styles : tuple of Style
        Further styles to choose from.

    Raises
    ------
    InputError
        The layer name is invalid in a GeoPackage.
    """

    name: str
    crs_wkt: str
    fields: Mapping[str, np.dtype[Any]]
    style: Style
    metadata: Mapping[str, str] = field(default_factory=dict)
    multipart: bool = False
    other_styles: tuple[Style, ...] = ()

    def __post_init__(self) -> None:
        check_layer_name(self.name)

    def with_metadata(self, metadata: Mapping[str, str]) -> Self:
        """As `LayerSchema`."""
        return replace(self, metadata=metadata)

    def columns(self) -> dict[str, np.dtype[Any]]:
        """As `LayerSchema`."""
        return dict(self.fields)

    def styles(self) -> tuple[Style, ...]:
        """As `LayerSchema`."""
        return (self.style, *self.other_styles)
