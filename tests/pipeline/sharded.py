"""Shards of a run whose answers are given by a test: journals as classify leaves them, without a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.labels import Labels, parse_labels
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.pipeline.checkpoint.journal import Journal
from bimors_cli.pipeline.classify import Classification
from bimors_cli.pipeline.engines.single_process import open_job_journal
from bimors_cli.pipeline.make_plan import make_plan
from bimors_cli.pipeline.plan import TileIndices
from bimors_cli.pipeline.progress import NullProgress
from bimors_cli.pipeline.tile_result import TileResult

LABELS = parse_labels(b"forest | woodland\t#00ff00\nriver\nport\n", "labels.txt")


def answer(scene: int, index: int) -> TileResult:
    """Label tiles in turn; every seventh has no data."""
    if index % 7 == 6:
        return TileResult(scene, index, "nodata")
    best = (scene + index) % 3
    ranking = ((best, 0.5 + index % 50 / 100), ((best + 1) % 3, 0.25))
    return TileResult(scene, index, None, ranking, f"tile {index} of scene {scene}")


class Shards:
    """Writes journals of shards of a run into ``folder``."""

    def __init__(self, folder: Path, bundle: Bundle, *scenes: str, labels: Labels = LABELS, **options: Any) -> None:
        self.folder = folder
        self.options = {
            "scenes": scenes, "labels": labels, "model": str(bundle.folder), "tile_size": "16",
            "output": str(folder / "out.gpkg"), **options,
        }  # fmt: skip

    def job(self, shard: str | None, **options: Any) -> Classification:
        chosen = ClassifyOptions(**{**self.options, "shard": shard, **options})
        command = ["/bin/bimors", "classify", *chosen.scenes, "--shard", str(shard), "-o", str(chosen.output)]
        return Classification.from_plan(make_plan(chosen), command)

    def work(
        self,
        shard: str,
        *,
        leave: int = 0,
        answer: Callable[[int, int], TileResult] = answer,
        inside: Callable[[Journal], None] = lambda journal: None,
        **options: Any,
    ) -> Path:
        """Do a shard, but for some tiles at its end; ``inside`` is called while it is held."""
        job = self.job(shard, **options)
        with open_job_journal(job, NullProgress()) as (journal, pending):
            records = _records(pending, answer)
            journal.append(records[: len(records) - leave])
            inside(journal)
            return journal.path

    def all(self, count: int, **how: Any) -> list[Path]:
        """Do all of so many shards."""
        return [self.work(f"{number}/{count}", **how) for number in range(1, count + 1)]

    def whole(self, **options: Any) -> list[TileResult]:
        """Return the records of the run without shards."""
        return _records(self.job(None, **options).tiles(), answer)


def _records(tiles: TileIndices, answer: Callable[[int, int], TileResult]) -> list[TileResult]:
    return [answer(scene, int(index)) for scene, indices in enumerate(tiles) for index in indices]
