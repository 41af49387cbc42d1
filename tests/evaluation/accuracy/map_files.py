"""Layers as classify writes them, and references drawn on them, for the tests of checked maps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely

from bimors_cli.labels import Labels
from bimors_cli.output.classified_schema import ClassifiedSchema, TileRow, to_frame
from tests.geopackages import write_geopackage

LABELS = ("forest", "river", "bare land")
X, Y, SIDE = 500_000.0, 4_600_000.0, 100.0  # upper left corner and side of a tile, metres in UTM 18
COLUMNS = 4


def tile(row: int, col: int, rows: float = 1, cols: float = 1) -> shapely.Polygon:
    """Tiles from a place on, on the map."""
    left, top = X + SIDE * col, Y - SIDE * row
    return shapely.box(left, top - SIDE * rows, left + SIDE * cols, top)


def write_layer(
    path: Path,
    answers: Sequence[str | None],
    *,
    confidence: Sequence[float | None] | None = None,
    labels: Sequence[str] = LABELS,
    name: str = "tiles",
    crs: int = 32618,
    polygons: Sequence[Any] | None = None,
    provenance: bool = True,
    synonyms: dict[str, list[str]] | None = None,
) -> Path:
    """Write tiles in rows of four; None has no label, for its confidence was low."""
    sure = confidence or [0.75] * len(answers)
    rows = [
        TileRow(
            f"scene/{i // COLUMNS}/{i % COLUMNS}",
            "scene.tif",
            i // COLUMNS,
            i % COLUMNS,
            label=answer,
            confidence=sure[i],
            reason="low_confidence" if answer is None else None,
        )
        for i, answer in enumerate(answers)
    ]
    made = Labels.literal(labels)
    run = {"layer": name} | ({} if synonyms is None else {"synonyms": synonyms})
    told = {"run": json.dumps(run), "labels": json.dumps(dict.fromkeys(labels))} if provenance else {}
    spec = ClassifiedSchema(name, f"EPSG:{crs}", made, metadata=told)
    shapes = [tile(*divmod(i, COLUMNS)) for i in range(len(answers))] if polygons is None else polygons
    geometries = np.empty(len(shapes), object)
    geometries[:] = shapes
    if crs != 32618 and polygons is None:
        geometries = geopandas.GeoSeries(geometries, crs=32618).to_crs(crs).to_numpy()
    write_geopackage(path, [to_frame(rows, geometries, spec)], spec, overwrite=False)
    return path


def write_reference(
    path: Path,
    geometries: Sequence[Any],
    classes: Sequence[Any],
    *,
    crs: int | None = 32618,
    field: str = "class",
    **more: Any,
) -> str:
    """Write features that are drawn in UTM 18, in any CRS."""
    frame = geopandas.GeoDataFrame({field: list(classes)}, geometry=list(geometries), crs=32618)
    (frame.set_crs(None, allow_override=True) if crs is None else frame.to_crs(crs)).to_file(path, **more)
    return str(path)
