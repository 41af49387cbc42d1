"""A block: some tiles of one scene that one worker looks at, and the files that its records are kept in.

A file is GeoParquet 1.0, so that whoever waits can look at what is done: polygons in the CRS of the layer, label,
confidence, reason and caption. Its column ``record`` is what the layer is made of: the record as the journal has it.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.output.classified_schema import INTEGER, REAL, TEXT, make_frame
from bimors_cli.output.geoparquet import build_geoparquet
from bimors_cli.output.layer_schema import TILE_COLUMNS, TileSchema
from bimors_cli.output.style import Style, caption_qml
from bimors_cli.pipeline.plan import InferencePlan, TileIndices, num_tiles
from bimors_cli.pipeline.tile_result import RETRIED, TileResult
from bimors_cli.pipeline.tile_rows import frames, is_multipart, tile_columns
from bimors_cli.scene.polygons import Polygons

if TYPE_CHECKING:
    import geopandas
    import pyarrow

# So many blocks for each worker that at the end, when one has none left, the others soon have none either; but each
# block costs a start: the scene is opened, and pixels at its edge are read twice.
BLOCKS_A_WORKER: Final = 16
LEAST_TILES, MOST_TILES = 32, 8192
_FIELDS: Final = {
    **TILE_COLUMNS, "label": TEXT, "confidence": REAL, "reason": TEXT, "caption": TEXT, "tile": INTEGER, "record": TEXT,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TileTask:
    """Tiles of a scene, as runs [first, end) of places in its grid, ascending."""

    number: int
    scene: int
    runs: tuple[tuple[int, int], ...]

    def places(self) -> npt.NDArray[np.int64]:
        """Return the places of its tiles in the grid."""
        return np.concatenate([np.arange(*run, dtype=np.int64) for run in self.runs])

    def to_json(self) -> str:
        """Write it as JSON."""
        return json.dumps([self.number, self.scene, self.runs])

    @classmethod
    def from_json(cls, text: str) -> TileTask:
        """Undo `to_json`."""
        number, scene, runs = json.loads(text)
        return cls(number, scene, tuple((first, end) for first, end in runs))


def cut(todo: TileIndices, workers: int) -> Iterator[TileTask]:
    """Cut tiles into blocks for so many workers, in the order of the grid."""
    size = min(max(math.ceil(num_tiles(todo) / (workers * BLOCKS_A_WORKER)), LEAST_TILES), MOST_TILES)
    number = 0
    for scene, tiles in enumerate(todo):
        for begin in range(0, len(tiles), size):
            part = tiles[begin : begin + size]
            ends = np.flatnonzero(np.diff(part) != 1)
            firsts, lasts = part[np.append(0, ends + 1)], part[np.append(ends, len(part) - 1)]
            runs = zip(firsts.tolist(), (lasts + 1).tolist(), strict=True)
            yield TileTask(number, scene, tuple(runs))
            number += 1


def to_parquet(plan: InferencePlan, records: Sequence[TileResult]) -> bytes:
    """Make a file of records, which are of one scene and in the order of its grid."""
    spec = TileSchema(
        "block",
        plan.crs.to_wkt(),
        _FIELDS,
        Style("block", caption_qml(), "of a run that is not finished"),
        multipart=is_multipart(plan),
    )
    with tempfile.TemporaryDirectory(prefix="bimors-") as folder:
        path = Path(folder) / "block.parquet"
        build_geoparquet(path, frames(plan, records, partial(_frame, plan, spec)), spec)
        return path.read_bytes()


def _frame(
    plan: InferencePlan, spec: TileSchema, records: Sequence[TileResult], polygons: Polygons
) -> geopandas.GeoDataFrame:
    names = plan.options.labels.names if isinstance(plan.options, ClassifyOptions) else ()
    best = [record.ranking[0] if record.ranking else (None, None) for record in records]
    data: dict[str, Sequence[Any]] = {
        **tile_columns(plan, records),
        "label": [None if label is None else names[label] for label, _ in best],
        "confidence": [share for _, share in best],
        "reason": [record.reason for record in records],
        "caption": [record.caption for record in records],
        "tile": [record.index for record in records],
        "record": [json.dumps(record.to_json(), separators=(",", ":")) for record in records],
    }
    return make_frame(data, polygons, spec)


def read_state(file: pyarrow.NativeFile) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Read which tiles a file holds, by their places, and which of them are to be tried again.

    Raises
    ------
    ValueError
        The file is not whole.
    """
    table = _table(file, ["tile", "reason"])
    tiles: npt.NDArray[np.int64] = table["tile"].to_numpy().astype(np.int64)
    return tiles, np.array([reason in RETRIED for reason in table["reason"].to_pylist()], dtype=bool)


def read_records(file: pyarrow.NativeFile) -> dict[int, TileResult]:
    """Read the records of a file, by their places in the grid. Raises ValueError as `read_state`."""
    texts = _table(file, ["record"])["record"].to_pylist()
    records = (TileResult.from_json(json.loads(text)) for text in texts)
    return {record.index: record for record in records}


def _table(file: pyarrow.NativeFile, columns: list[str]) -> pyarrow.Table:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_table(file, columns=columns)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(" ".join(str(error).split())) from error
