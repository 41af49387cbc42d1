"""Tasks, which are tiles of one scene for one worker, and the Parquet files of their results.

A file is GeoParquet 1.0, so that finished tiles can be viewed during the run: polygons in the CRS of the layer, label,
confidence, reason and caption. Its column ``record`` is what the layer is made from: the result as in the journal.
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
from bimors_cli.output.classified_schema import INTEGER, REAL, RETRIED, TEXT, make_frame
from bimors_cli.output.geoparquet import build_geoparquet
from bimors_cli.output.layer_schema import TILE_COLUMNS, TileSchema
from bimors_cli.output.style import Style, caption_qml
from bimors_cli.pipeline.plan import InferencePlan, TileIndices, num_tiles
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.pipeline.tile_rows import frames, is_multipart, tile_columns
from bimors_cli.scene.polygons import Polygons

if TYPE_CHECKING:
    import geopandas
    import pyarrow

# So many tasks per worker that all workers end at about the same time; but each task has a cost: the scene is opened,
# and pixels at its edge are read twice.
TASKS_PER_WORKER: Final = 16
LEAST_TILES, MOST_TILES = 32, 8192
_FIELDS: Final = {
    **TILE_COLUMNS, "label": TEXT, "confidence": REAL, "reason": TEXT, "caption": TEXT, "tile": INTEGER, "record": TEXT,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TileTask:
    """Tiles of a scene, as ascending runs [first, end) of indices in its grid."""

    number: int
    scene: int
    runs: tuple[tuple[int, int], ...]

    def indices(self) -> npt.NDArray[np.int64]:
        """Return the indices of its tiles in the grid."""
        return np.concatenate([np.arange(*run, dtype=np.int64) for run in self.runs])

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps([self.number, self.scene, self.runs])

    @classmethod
    def from_json(cls, text: str) -> TileTask:
        """Invert `to_json`."""
        number, scene, runs = json.loads(text)
        return cls(number, scene, tuple((first, end) for first, end in runs))


def make_tasks(pending: TileIndices, num_workers: int) -> Iterator[TileTask]:
    """Divide tiles into tasks for so many workers, in the order of the grid."""
    size = min(max(math.ceil(num_tiles(pending) / (num_workers * TASKS_PER_WORKER)), LEAST_TILES), MOST_TILES)
    number = 0
    for scene, tiles in enumerate(pending):
        for begin in range(0, len(tiles), size):
            part = tiles[begin : begin + size]
            ends = np.flatnonzero(np.diff(part) != 1)
            firsts, lasts = part[np.append(0, ends + 1)], part[np.append(ends, len(part) - 1)]
            runs = zip(firsts.tolist(), (lasts + 1).tolist(), strict=True)
            yield TileTask(number, scene, tuple(runs))
            number += 1


def to_parquet(plan: InferencePlan, results: Sequence[TileResult]) -> bytes:
    """Return the content of a file of results, which are of one scene and in the order of its grid."""
    schema = TileSchema(
        "block",
        plan.crs.to_wkt(),
        _FIELDS,
        Style("block", caption_qml(), "of a run that is not finished"),
        multipart=is_multipart(plan),
    )
    with tempfile.TemporaryDirectory(prefix="bimors-") as folder:
        path = Path(folder) / "block.parquet"
        build_geoparquet(path, frames(plan, results, partial(_frame, plan, schema)), schema)
        return path.read_bytes()


def _frame(
    plan: InferencePlan, schema: TileSchema, results: Sequence[TileResult], polygons: Polygons
) -> geopandas.GeoDataFrame:
    names = plan.options.labels.names if isinstance(plan.options, ClassifyOptions) else ()
    best = [result.ranking[0] if result.ranking else (None, None) for result in results]
    data: dict[str, Sequence[Any]] = {
        **tile_columns(plan, results),
        "label": [None if label is None else names[label] for label, _ in best],
        "confidence": [probability for _, probability in best],
        "reason": [result.reason for result in results],
        "caption": [result.caption for result in results],
        "tile": [result.index for result in results],
        "record": [json.dumps(result.to_json(), separators=(",", ":")) for result in results],
    }
    return make_frame(data, polygons, schema)


def read_state(file: pyarrow.NativeFile) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the indices of a file's tiles, and which of them are to be tried again.

    Raises
    ------
    ValueError
        The file is damaged.
    """
    table = _table(file, ["tile", "reason"])
    tiles: npt.NDArray[np.int64] = table["tile"].to_numpy().astype(np.int64)
    return tiles, np.array([reason in RETRIED for reason in table["reason"].to_pylist()], dtype=bool)


def read_results(file: pyarrow.NativeFile) -> dict[int, TileResult]:
    """Return the results of a file by their indices in the grid. Raises ValueError as `read_state`."""
    texts = _table(file, ["record"])["record"].to_pylist()
    results = (TileResult.from_json(json.loads(text)) for text in texts)
    return {result.index: result for result in results}


def _table(file: pyarrow.NativeFile, columns: list[str]) -> pyarrow.Table:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_table(file, columns=columns)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(" ".join(str(error).split())) from error
