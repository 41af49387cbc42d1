"""A worker of the engine Ray, called as Ray calls it, without Ray; and what it is sent with."""

from __future__ import annotations

import json
import logging
import pickle
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.pipeline.checkpoint.parquet_part import TileTask, make_tasks
from bimors_cli.pipeline.checkpoint.parquet_store import ParquetStore
from bimors_cli.pipeline.checkpoint.unfinished import blocks_path
from bimors_cli.pipeline.classify import Classification
from bimors_cli.pipeline.engines import ray_worker as worker
from bimors_cli.pipeline.engines.ray_worker import Worker
from bimors_cli.pipeline.engines.single_process import predict_job
from bimors_cli.pipeline.engines.worker_spec import WorkerSpec, WorkerUpdate, adapter_files, forwarded_environment
from bimors_cli.pipeline.plan import all_tiles
from tests.bundles import make_bundle
from tests.conftest import MakeRaster
from tests.pipeline.planned import planned

pytest.importorskip("pyarrow")

Make = Callable[..., Classification]


@pytest.fixture
def make(make_raster: MakeRaster, tiny_bundle: Bundle, tmp_path: Path) -> Make:
    return lambda **options: planned(make_raster, tiny_bundle, tmp_path / "out.gpkg", **options)


@pytest.fixture(autouse=True)
def same_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what a worker does to its process: its folder, its environment, its log."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.chdir(Path.cwd())
    monkeypatch.setattr(
        "os.environ.update", lambda variables: [monkeypatch.setenv(*item) for item in variables.items()]
    )
    yield
    root.handlers[:], root.level = handlers, level


def worker_spec(job: Classification, **other: Any) -> WorkerSpec:
    """Make what the driver would send, by way of a pickle."""
    from bimors_cli.version import __version__

    files = None if job.plan.adapter is None else adapter_files(job.plan.adapter)
    sent = WorkerSpec(version=__version__, job=job, adapter=files, environment={}, folder="/", session=1, threads=1)
    return pickle.loads(pickle.dumps(replace(sent, **other)))  # type: ignore[no-any-return]


def ask(worker: Worker, blocks: list[TileTask]) -> list[WorkerUpdate]:
    rows = worker({"task": np.array([block.to_json() for block in blocks])})
    return [WorkerUpdate.from_json(text) for row in rows for text in row["update"]]


def test_its_records_are_those_of_the_local_engine(make: Make) -> None:
    job = make(batch_size=1)
    tiles = all_tiles(job.plan)
    expected = sorted(
        (record for batch in predict_job(job, tiles) for record in batch), key=lambda r: (r.scene, r.index)
    )
    with ParquetStore(job.plan) as blocks:
        told = ask(Worker(worker_spec(job)), list(make_tasks(tiles, 2)))
        assert not [each for each in told if each.error is not None]
        assert sum(blocks.report(each.task, each.done) for each in told) == len(expected)
        assert sum(each.caption_hits + each.caption_misses for each in told) == 63 - 2
        assert any("cache" in each.seconds for each in told)
        blocks.refresh()
        assert list(blocks.results()) == expected


def test_doubtful_tiles_are_captioned_as_by_the_local_engine(make: Make) -> None:
    job = make(head="zero-shot", captions="doubtful", doubtful_below=0.9, batch_size=4)
    tiles = all_tiles(job.plan)
    expected = {(r.scene, r.index): r.caption for batch in predict_job(job, tiles) for r in batch}
    assert any(caption is not None for caption in expected.values())
    with ParquetStore(job.plan) as blocks:
        told = ask(Worker(worker_spec(job)), list(make_tasks(tiles, 2)))
        assert not [each for each in told if each.error is not None]
        blocks.refresh()
        assert {(r.scene, r.index): r.caption for r in blocks.results()} == expected


def test_what_is_slow_is_written_on_the_way(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "WRITE_SECONDS", 0)
    job = make(batch_size=4)
    (first, *_) = blocks = list(make_tasks(all_tiles(job.plan), 1))
    with ParquetStore(job.plan):
        done = [told.done for told in ask(Worker(worker_spec(job)), blocks) if told.task == first.number and told.done]
        assert done[-1] == 32 and len(done) >= 7 and done == sorted(done)
        files = [*blocks_path(job.plan.output).rglob("*.parquet")]
        again = ask(Worker(worker_spec(job)), [first])
        assert [told.done for told in again if told.done] == [32]
        assert {*blocks_path(job.plan.output).rglob("*.parquet")} == {*files}, "a tile was done again"


def test_another_worker_goes_on_where_one_was_killed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "WRITE_SECONDS", 0)
    job = make(batch_size=4)
    (first, *_) = make_tasks(all_tiles(job.plan), 1)
    with ParquetStore(job.plan) as blocks:
        rows = Worker(worker_spec(job))({"task": [first.to_json()]})
        while WorkerUpdate.from_json(next(rows)["update"][0]).done < 8:
            pass
        rows.close()  # type: ignore[attr-defined]
        before = {path: path.read_bytes() for path in blocks_path(job.plan.output).rglob("*.parquet")}
        told = ask(Worker(worker_spec(job)), [first])
        assert told[0].done == 8 and told[-1].done == 32
        assert all(path.read_bytes() == content for path, content in before.items())
        blocks.refresh()
        assert [record.index for record in blocks.results()] == list(range(32))


def error_of(job: Classification, **other: Any) -> WorkerUpdate:
    with ParquetStore(job.plan):
        told = ask(Worker(worker_spec(job, **other)), list(make_tasks(all_tiles(job.plan), 1)))
    return next(each for each in told if each.error is not None)


def test_another_version(make: Make) -> None:
    told = error_of(make(), version="0.0.0")
    assert told.error == "InputError" and "but the run was started with 0.0.0 (on " in told.message and told.hint


def test_another_bundle_of_that_name(make: Make, tiny_bundle: Bundle, tmp_path: Path) -> None:
    here = shutil.copytree(tiny_bundle.folder, tmp_path / "bundle")
    job = make(model=str(here), head="zero-shot")
    shutil.rmtree(here)
    told = error_of(job)
    assert told.error == "BundleError" and "--model" in told.message and worker.NODE in told.message
    make_bundle(here, seed=1)
    told = error_of(replace_plan(job))
    assert told.error == "BundleError" and "differs from the one that the run was started with" in told.message


def replace_plan(job: Classification) -> Classification:
    return replace(job, plan=replace(job.plan, options=replace(job.plan.options, overwrite=True)))


def test_a_scene_that_is_not_there_or_another(make: Make, make_raster: MakeRaster, tmp_path: Path) -> None:
    job = make()
    (tmp_path / "first.tif").unlink()
    told = error_of(job)
    assert told.error == "SceneError" and "first.tif not found (on " in told.message
    make_raster(np.ones((3, 96, 144), dtype=np.uint8), name="first.tif", nodata=0)
    told = error_of(replace_plan(job))
    assert told.error == "InputError" and "first.tif differs from the file that" in told.message and told.hint


def test_the_adapter_is_that_of_whoever_sent_it(make: Make, tiny_bundle: Bundle, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bundle.part("adapter"), tmp_path / "coast")
    job = make(adapter=str(folder))
    sent = worker_spec(job)
    shutil.rmtree(folder)
    with ParquetStore(job.plan):
        assert not [told.message for told in ask(Worker(sent), list(make_tasks(all_tiles(job.plan), 1))) if told.error]
    assert sent.adapter is not None and "adapter.safetensors" in sent.adapter
    broken = {**sent.adapter, "adapter.safetensors": b"?"}
    with ParquetStore(replace_plan(job).plan):
        (told, *_) = ask(Worker(replace(sent, adapter=broken)), list(make_tasks(all_tiles(job.plan), 1)))
    assert told.error == "BundleError" and "adapter.safetensors" in told.message


def test_what_should_not_happen_is_told_without_secrets(
    make: Make, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no luck with https://u:hush@h/a.tif?sig=hush")

    monkeypatch.setattr(worker, "open_scene", fail)
    told = error_of(make())
    assert told.error == "" and "no luck with https://h/a.tif" in told.message
    said = capfd.readouterr()
    assert "no luck" in said.err and "hush" not in said.err and said.out == ""


def test_nothing_shows_what_it_carries(make: Make) -> None:
    sent = worker_spec(make(), environment={"AWS_SECRET_ACCESS_KEY": "hush"}, folder="hush")
    for shown in (repr(sent), str(sent), f"{sent}", repr([sent]), repr(Worker(sent)), str(vars(Worker(sent)))):
        assert "hush" not in shown and "first.tif" not in shown


def test_the_environment_that_travels(monkeypatch: pytest.MonkeyPatch) -> None:
    carried = {
        "GDAL_HTTP_MAX_RETRY": "2", "CPL_VSIL_CURL_CACHE_SIZE": "1", "AWS_SECRET_ACCESS_KEY": "hush", "GS_NO_SIGN": "1",
        "AZURE_STORAGE_SAS_TOKEN": "hush", "BIMORS_CACHE": "/c", "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    stays = {"GDAL_DATA": "/d", "CPL_DEBUG": "ON", "CPL_CURL_VERBOSE": "1", "PATH": "/b", "RAY_AUTH_TOKEN": "hush"}
    for name, value in {**carried, **stays}.items():
        monkeypatch.setenv(name, value)
    found = forwarded_environment()
    assert carried.items() <= found.items() and not stays.keys() & found.keys()


def test_what_it_tells_is_json() -> None:
    told = WorkerUpdate(task=3, done=5, seconds={"head": 0.5}, error="BundleError", message="é", hint=None)
    assert WorkerUpdate.from_json(json.dumps(json.loads(told.to_json()))) == told
