"""An engine that is not part of bimors: one class and one row of the table, added at run time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
from geopandas.testing import assert_geodataframe_equal

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import InputError
from bimors_cli.labels import Labels
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.options.engines import ENGINES, EngineEntry
from bimors_cli.options.inference import InferenceOptions
from bimors_cli.pipeline.engines.engine import Engine, get_engine
from bimors_cli.pipeline.engines.single_process import predict_job
from bimors_cli.pipeline.job import Job
from bimors_cli.pipeline.plan import TileIndices, num_tiles
from bimors_cli.pipeline.progress import NullProgress, Progress, StopRequest
from bimors_cli.pipeline.run import run
from bimors_cli.pipeline.tile_result import TileResult
from tests.conftest import MakeRaster

OPTIONS_CHECKED: list[InferenceOptions] = []


class MemoryStore:
    """Results in memory, sorted when they are read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.finished: list[TileResult] = []

    def pending(self, tiles: TileIndices) -> TileIndices:
        done = {(result.scene, result.index) for result in self.finished}
        return tuple(
            np.array([i for i in part if (scene, int(i)) not in done], np.int64) for scene, part in enumerate(tiles)
        )

    def count(self) -> int:
        return len(self.finished)

    def results(self) -> Iterator[TileResult]:
        yield from sorted(self.finished, key=lambda result: (result.scene, result.index))

    def delete(self) -> None:
        self.finished.clear()


class ToyEngine(Engine):
    """Computes the scenes last to first, as a worker would, and stores nothing on disk."""

    def check(self, options: InferenceOptions) -> None:
        OPTIONS_CHECKED.append(options)
        if options.batch_size == 7:
            raise InputError("--batch-size 7: not supported by the engine toy")

    def checkpoint_path(self, job: Job) -> Path:
        return job.plan.output.with_suffix(".toy")

    @contextmanager
    def run(self, job: Job, progress: Progress, stop: StopRequest) -> Iterator[MemoryStore]:
        store, tiles = MemoryStore(self.checkpoint_path(job)), job.tiles()
        progress.begin(num_tiles(tiles))
        worker = job.for_worker("cpu")
        for scene in reversed(range(len(tiles))):
            part = tuple(indices if number == scene else indices[:0] for number, indices in enumerate(tiles))
            for batch in predict_job(worker, part):
                store.finished += batch
                progress.advance(len(batch))
        yield store


@pytest.fixture
def options(make_raster: MakeRaster, tiny_bundle: Bundle, tmp_path: Path) -> ClassifyOptions:
    random = np.random.default_rng(0)
    scenes = [make_raster(random.integers(1, 256, (3, 48, 64), dtype=np.uint8), name=f"{name}.tif") for name in "ab"]
    return ClassifyOptions(
        scenes=tuple(map(str, scenes)), labels=Labels.of(["forest", "river", "port"]), model=str(tiny_bundle.folder),
        output=str(tmp_path / "local.gpkg"), tile_size="16", probabilities=True,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "toy", EngineEntry("toy", f"{__name__}:ToyEngine", "memory of this process"))


def with_engine(options: ClassifyOptions, **other: object) -> ClassifyOptions:
    return replace(options, engine="toy", output=options.output.replace("local", "toy"), **other)  # type: ignore


def test_rows_are_those_of_the_local_engine(options: ClassifyOptions) -> None:
    class Count(NullProgress):
        tiles = 0

        def advance(self, count: int) -> None:
            self.tiles += count

    run(options)
    progress = Count()
    OPTIONS_CHECKED.clear()
    summary = run(with_engine(options), progress=progress)
    assert summary.rows == progress.tiles == 24 and not summary.failed
    assert [checked.engine for checked in OPTIONS_CHECKED] == ["toy"]
    local, toy = (geopandas.read_file(path, layer="tiles") for path in (options.output, summary.output))
    assert_geodataframe_equal(toy, local)


def test_its_check_comes_before_scenes_and_models(options: ClassifyOptions) -> None:
    with pytest.raises(InputError, match="--batch-size 7: not supported by the engine toy"):
        run(with_engine(options, batch_size=7, scenes=("missing.tif",)))


def test_standard_output_is_refused_unless_the_engine_streams(options: ClassifyOptions) -> None:
    with pytest.raises(InputError, match=r"standard output|stream"):
        run(replace(with_engine(options), output="-"))


def test_an_unknown_engine() -> None:
    with pytest.raises(InputError, match="--engine cloud: unknown") as error:
        get_engine("cloud")
    assert error.value.hint == "use one of local, ray, toy"
