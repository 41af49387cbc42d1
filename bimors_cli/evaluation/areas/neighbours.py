"""The tiles around those of a sample, which show whoever labels where a tile is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import shapely

from bimors_cli.output.classified_schema import make_frame
from bimors_cli.output.layer_schema import TILE_COLUMNS, TileSchema
from bimors_cli.output.sample_style import neighbours_qml
from bimors_cli.output.style import Style

if TYPE_CHECKING:
    import geopandas

LAYER: Final = "neighbours"

_AROUND: Final = tuple((row, col) for row in (-1, 0, 1) for col in (-1, 0, 1) if row or col)
_PLACE: Final = ["scene", "row", "col"]


def neighbours(grid: Any, drawn: Any) -> tuple[geopandas.GeoDataFrame, TileSchema]:
    """Return the tiles of a layer next to drawn ones, up to eight for each, with the layer that shows them.

    Parameters
    ----------
    grid : GeoDataFrame
        Columns of `TILE_COLUMNS` and the polygons of all tiles of the layer. Neither result has other columns: labels
        would bias whoever sees them.
    drawn : DataFrame
        Columns scene, row and col of the drawn tiles, which are not among the result.
    """
    import pandas as pd

    places = pd.MultiIndex.from_frame(grid[_PLACE])
    centres = list(drawn[_PLACE].itertuples(index=False, name=None))
    around = {(scene, row + down, col + right) for scene, row, col in centres for down, right in _AROUND}
    found = grid[places.isin(list(around - set(centres)))]
    polygons = found.geometry.to_numpy()
    schema = TileSchema(
        LAYER,
        grid.crs.to_wkt(),
        TILE_COLUMNS,
        Style("outlines", neighbours_qml(), "tiles around those to label, by bimors"),
        multipart=bool((shapely.get_type_id(polygons) == shapely.GeometryType.MULTIPOLYGON).any()),
    )
    return make_frame({name: found[name].tolist() for name in TILE_COLUMNS}, polygons, schema), schema
