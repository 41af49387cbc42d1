"""The tiles around a sample: up to eight for each, of its scene, none of them drawn, without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import pyogrio
import shapely

from bimors_cli.evaluation.areas.neighbours import neighbours
from bimors_cli.evaluation.areas.sample_file import is_sample, read_sample
from bimors_cli.output.layer_schema import TILE_COLUMNS
from bimors_cli.provenance import read_run
from tests.evaluation.areas.samples import drawn_tiles, write


def grid(rows: int = 5, cols: int = 4) -> Any:
    """Two scenes on one ground; the first lacks tile 1/1, as one without data."""
    places = [(scene, row, col) for scene in ("a", "b") for row in range(rows) for col in range(cols)]
    places.remove(("a", 1, 1))
    return geopandas.GeoDataFrame(
        {
            "tile_id": [f"{scene}/{row}/{col}" for scene, row, col in places],
            "scene": [f"{scene}.tif" for scene, _, _ in places],
            "row": [row for _, row, _ in places],
            "col": [col for _, _, col in places],
            "label": ["secret"] * len(places),
        },
        geometry=[shapely.box(5e5 + 100 * col, 4.6e6 - 100 * row, 5e5 + 100 * col + 100, 4.6e6 - 100 * row + 100)
                  for _, row, col in places],
        crs=32618,
    )  # fmt: skip


def around(*tile_ids: str) -> set[str]:
    tiles = grid()
    frame, _ = neighbours(tiles, tiles[tiles["tile_id"].isin(tile_ids)])
    assert list(frame.columns) == [*TILE_COLUMNS, "geometry"]
    return set(frame["tile_id"])


def test_neighbours() -> None:
    assert around("b/2/2") == {"b/1/1", "b/1/2", "b/1/3", "b/2/1", "b/2/3", "b/3/1", "b/3/2", "b/3/3"}
    assert around("a/0/0") == {"a/0/1", "a/1/0"}  # at the corner, and a/1/1 has no row
    assert around("a/0/0", "a/0/1", "b/4/3") == {"a/1/0", "a/1/2", "a/0/2", "b/4/2", "b/3/3", "b/3/2"}
    assert around() == set()


def test_they_are_another_layer_of_the_sample(tmp_path: Path) -> None:
    tiles = grid()
    context = neighbours(tiles, tiles[tiles["tile_id"] == "b/2/2"])
    path = write(tmp_path / "s.gpkg", drawn_tiles(["river", None]), context=context)
    assert pyogrio.list_layers(path)[:, 0].tolist() == ["sample", "neighbours", "layer_styles"]
    shown = pyogrio.read_dataframe(path, layer="neighbours")
    assert len(shown) == 8 and "secret" not in str(shown.to_dict()) and read_run(path, "neighbours").sample is None
    assert is_sample(path) and read_sample(path).mapped == ("river", None)
