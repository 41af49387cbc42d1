"""Samples of tiles whose strata, labels and areas the test gives, without a map."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely

from bimors_cli.evaluation.areas.design import MappedClass, SampleDesign, Stratum
from bimors_cli.evaluation.areas.sample_file import DrawnTiles, write_sample
from bimors_cli.provenance import RunProvenance

UTM = pyproj.CRS.from_epsg(32618).to_wkt()
# A scene of 1 x 1000 pixels of 100 m, each of them a tile; the first is the southernmost.
SCENE = {
    "name": "s.tif", "pixels": [1, 1000], "tile": [1, 1], "stride": [1, 1], "crs": UTM, "bands": [1, 2, 3],
    "transform": [100, 0, 5e5, 0, 100, 4.6e6], "stretch": ["none", [], []], "nodata": "file",
}  # fmt: skip
SOURCE = RunProvenance(
    version="0", command="bimors classify", run_key={"layer": "tiles", "scenes": [SCENE]}, scene_paths=("/s.tif",),
    labels={"forest": "#00ff00", "river": None},
)  # fmt: skip


def drawn_tiles(labels: Sequence[str | None], **changed: Any) -> DrawnTiles:
    """A column of tiles of one hectare, the stratum of each its label."""
    n = len(labels)
    values: dict[str, Any] = {
        "tile_ids": tuple(f"s/{row}/0" for row in range(n)),
        "scenes": ("s.tif",) * n,
        "rows": tuple(range(n)),
        "cols": (0,) * n,
        "polygons": np.array(
            [shapely.box(5e5, 4.6e6 + 100 * row, 500_100, 4_600_100 + 100 * row) for row in range(n)], object
        ),
        "mapped": tuple(labels),
        "strata": tuple(label or "no label" for label in labels),
        "hectares": np.arange(1.0, n + 1),
    } | changed
    return DrawnTiles(**values)


def design_of(tiles: DrawnTiles, times: int = 10) -> SampleDesign:
    """A design in which every stratum has so many times the tiles that were drawn."""
    strata = Counter(tiles.strata)
    classes = Counter(tiles.mapped)
    return SampleDesign(
        "stratified",
        "label",
        tuple(Stratum(name, times * count, 2.5 * times * count, count) for name, count in strata.items()),
        tuple(MappedClass(label, times * count, 2.5 * times * count) for label, count in classes.items()),
        excluded=3,
        seed=1,
        min_distance_m=0.0,
    )


def write(path: Path, tiles: DrawnTiles, design: SampleDesign | None = None, **options: Any) -> Path:
    given: dict[str, Any] = {"source": SOURCE, "command": ("bimors", "sample"), "crs_wkt": UTM} | options
    write_sample(path, tiles, design or design_of(tiles), **given)
    return path


def edit(path: Path, *statements: str) -> Path:
    """Change a layer as QGIS would, whose triggers Python's SQLite cannot run."""
    with closing(sqlite3.connect(path)) as database, database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        for statement in statements:
            database.execute(statement)
    return path


def fill(path: Path, references: Mapping[str, str | None]) -> Path:
    """Fill in the references of tiles, by their ids."""
    texts = {tile: "NULL" if text is None else f"'{text}'" for tile, text in references.items()}
    return edit(path, *(f"UPDATE sample SET reference = {text} WHERE tile_id = '{id_}'" for id_, text in texts.items()))
