"""Blocks: how tiles are cut into them, what their files hold, and what a run finds in them when it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import InputError, JournalError, OutputExistsError, WorkerError
from bimors_cli.pipeline.checkpoint.journal_format import journal_path
from bimors_cli.pipeline.checkpoint.parquet_part import LEAST_TILES, MOST_TILES, TileTask, make_tasks
from bimors_cli.pipeline.checkpoint.parquet_store import ATTEMPTS, ParquetStore, ParquetWriter, blocks_store
from bimors_cli.pipeline.checkpoint.unfinished import blocks_path
from bimors_cli.pipeline.plan import Plan, TileIndices, all_tiles, num_tiles
from bimors_cli.pipeline.tile_result import TileResult
from tests.conftest import MakeRaster
from tests.pipeline.planned import planned

pytest.importorskip("pyarrow")

MakePlan = Callable[..., Plan]
places = st.lists(st.sets(st.integers(0, 5000)).map(sorted), min_size=1, max_size=3)


@pytest.fixture
def make(make_raster: MakeRaster, tiny_bundle: Bundle, tmp_path: Path) -> MakePlan:
    """Plan the run of `tests.pipeline.planned`, with options."""
    return lambda **options: planned(make_raster, tiny_bundle, tmp_path / "out.gpkg", **options).plan


def record(scene: int, index: int, reason: str | None = None) -> TileResult:
    """Make a record with a value in every field."""
    ranking = () if reason else ((index % 3, 0.1 + index / 1000), ((index + 1) % 3, 1e-4))
    some = bytes([index, 0, 255])
    return TileResult(
        scene, index, reason, ranking, f"trees {index}\x07\ud800é", (0.123457, 0.0, 1.0), some, some, some, 0.25, (2, 0)
    )


def whole(plan: Plan) -> list[TileResult]:
    return [record(n, i) for n, scene in enumerate(plan.scenes) for i in range(len(scene.grid))]


def write(plan: Plan, session: int = 1, skip: int = 0, reason: str | None = None) -> None:
    """Write the files of a session, all but the first blocks."""
    writer = ParquetWriter(blocks_store(plan), plan, session)
    for block in list(make_tasks(all_tiles(plan), 1))[skip:]:
        missing = writer.begin(block)
        writer.append(block, [record(block.scene, int(i), reason) for i in reversed(missing)])


@given(places, st.integers(1, 40))
def test_blocks_have_each_tile_once(tiles: list[list[int]], workers: int) -> None:
    todo: TileIndices = tuple(np.array(part, dtype=np.int64) for part in tiles)
    blocks = list(make_tasks(todo, workers))
    assert [block.number for block in blocks] == list(range(len(blocks)))
    assert [TileTask.from_json(block.to_json()) for block in blocks] == blocks
    for scene, part in enumerate(todo):
        held = [block.indices() for block in blocks if block.scene == scene]
        np.testing.assert_array_equal(np.concatenate([np.empty(0, np.int64), *held]), part)
        assert all(0 < len(each) <= MOST_TILES for each in held)


def test_ten_million_tiles_are_few_objects() -> None:
    blocks = list(make_tasks((np.arange(10_000_000),), 64))
    assert len(blocks) < 2000 and all(len(block.runs) == 1 for block in blocks)
    assert len(list(make_tasks((np.arange(10),), 4))) == 1 and LEAST_TILES > 10


def test_records_come_back_as_they_were(make: MakePlan) -> None:
    plan = make()
    with ParquetStore(plan) as blocks:
        write(plan)
        blocks.refresh()
        assert list(blocks.results()) == whole(plan) == list(blocks.results())
        assert blocks.count() == len(whole(plan)) == 63
    assert all(getattr(record(0, 1), field.name) is not None for field in fields(TileResult) if field.name != "reason")


def test_a_file_is_geoparquet_that_others_read(make: MakePlan) -> None:
    plan = make(dst_crs="EPSG:4326")
    with ParquetStore(plan):
        write(plan)
    files = sorted(blocks_path(plan.output).rglob("*.parquet"))
    frame = geopandas.read_parquet(files[0])
    assert frame.crs == "EPSG:4326" and frame["tile_id"][0] == "first/0/0" and frame["label"][1] == "river"
    assert frame.geometry.is_valid.all() and {"confidence", "caption", "reason", "row", "col", "scene"} <= {*frame}


def test_a_run_goes_on(make: MakePlan) -> None:
    plan = make()
    with pytest.raises(RuntimeError), ParquetStore(plan) as blocks:
        write(plan, skip=1)
        assert (
            blocks.report(1, 5) == 5 and blocks.report(1, 3) == 0 and blocks.report(1, 7) == 2 and blocks.count() == 7
        )
        raise RuntimeError
    with pytest.raises(OutputExistsError, match="not finished"):
        ParquetStore(plan)
    resumed = replace(plan, options=replace(plan.options, resume=True))
    with ParquetStore(resumed) as blocks:
        assert blocks.session == 2
        missing = blocks.pending(all_tiles(plan))
        assert [part.tolist() for part in missing] == [list(range(32)), []]
        blocks.delete()
    assert not blocks_path(plan.output).exists() and not list(plan.output.parent.glob("*.lock"))


def test_nothing_is_left_of_a_run_that_finished_nothing(make: MakePlan, tmp_path: Path) -> None:
    plan = make()
    before = set(tmp_path.iterdir())
    with pytest.raises(RuntimeError), ParquetStore(plan):
        raise RuntimeError
    assert set(tmp_path.iterdir()) == before


def test_tiles_that_failed_are_done_again_and_the_last_answer_counts(make: MakePlan) -> None:
    plan = make()
    with ParquetStore(plan) as blocks:
        write(plan, reason="read_error")
        blocks.refresh()
        assert num_tiles(blocks.pending(all_tiles(plan))) == 63 and num_tiles(blocks.missing(all_tiles(plan))) == 0
    resumed = replace(plan, options=replace(plan.options, resume=True))
    with ParquetStore(resumed) as blocks:
        assert {each.reason for each in blocks.results()} == {"read_error"} and blocks.session == 2
        write(plan, session=2, skip=1)
        blocks.refresh()
        assert [each.reason for each in blocks.results()] == ["read_error"] * 32 + [None] * 31
        assert num_tiles(blocks.pending(all_tiles(plan))) == 32


def test_half_a_file_is_not_taken(make: MakePlan, caplog: pytest.LogCaptureFixture) -> None:
    plan = make()
    with ParquetStore(plan):
        write(plan)
    first = sorted(blocks_path(plan.output).rglob("*.parquet"))[0]
    content = first.read_bytes()
    for torn in (content[: len(content) // 2], b"", content[:-1], b"PAR1" + bytes(100) + b"PAR1"):
        first.write_bytes(torn)
        with ParquetStore(replace(plan, options=replace(plan.options, resume=True))) as blocks:
            assert num_tiles(blocks.pending(all_tiles(plan))) == 32 == num_tiles(blocks.missing(all_tiles(plan)))
        assert "cannot be read" in caplog.text
        caplog.clear()
    (first.parent / "x.parquet.part-1").write_bytes(content)
    (first.parent / "of somebody else.parquet").write_bytes(content)
    with ParquetStore(replace(plan, options=replace(plan.options, resume=True))) as blocks:
        assert num_tiles(blocks.pending(all_tiles(plan))) == 32


def test_what_was_changed_meanwhile_is_said(make: MakePlan) -> None:
    plan = make()
    with ParquetStore(plan) as blocks:
        write(plan)
        blocks.refresh()
        next(blocks_path(plan.output).rglob("*.parquet")).write_bytes(b"?")
        with pytest.raises(JournalError, match="meanwhile"):
            list(blocks.results())


def test_another_run_is_named_by_what_differs(make: MakePlan) -> None:
    with ParquetStore(make()):
        pass
    with pytest.raises(InputError, match=r"the unfinished run has other options: min valid \(0.5, now 0.7\)"):
        ParquetStore(make(min_valid=0.7, resume=True))
    with ParquetStore(make(workers=3, device="auto", batch_size=3, resume=True)):
        pass
    with ParquetStore(make(min_valid=0.7, overwrite=True)) as blocks:
        assert blocks.session == 1


def test_one_run_at_a_time_whatever_its_engine(make: MakePlan) -> None:
    plan = make()
    with FileLock(str(journal_path(plan.output)) + ".lock"), pytest.raises(JournalError, match="another run"):
        ParquetStore(plan)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"bimors_blocks": 99, "run": {}}', b"\xff"])
def test_a_folder_of_something_else_is_left_alone(make: MakePlan, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "run.json").write_bytes(content)
    for options in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(JournalError, match="not the blocks"):
            ParquetStore(make(blocks=str(tmp_path / "data"), **options))
    (tmp_path / "data" / "run.json").unlink()
    (tmp_path / "data" / "tiles").mkdir()
    (tmp_path / "data" / "tiles" / "photo.tif").touch()
    with pytest.raises(InputError, match="another program"):
        ParquetStore(make(blocks=str(tmp_path / "data"), overwrite=True))
    assert (tmp_path / "data" / "tiles" / "photo.tif").exists()


def test_blocks_elsewhere_are_remembered_beside_the_output(make: MakePlan, tmp_path: Path) -> None:
    url = (tmp_path / "store").as_uri()
    plan = make(blocks=url)
    with ParquetStore(plan):
        write(plan)
    assert blocks_path(plan.output).exists()
    with pytest.raises(InputError, match="are in file://"):
        ParquetStore(make(resume=True))
    (blocks_path(plan.output) / "elsewhere.txt").unlink()  # the machine was lost, and the store was not
    with ParquetStore(make(blocks=url, resume=True)) as blocks:
        assert list(blocks.results()) == whole(plan) and (blocks_path(plan.output) / "elsewhere.txt").exists()
        blocks.delete()
    assert not (tmp_path / "store").exists() and not blocks_path(plan.output).exists()
    with ParquetStore(make()):
        pass
    with pytest.raises(InputError, match="the blocks of the unfinished run are in this folder"):
        ParquetStore(make(blocks=url, resume=True))


def test_a_block_that_kills_its_workers_is_given_up(make: MakePlan) -> None:
    plan = make()
    block, *_ = make_tasks(all_tiles(plan), 1)
    writer = ParquetWriter(blocks_store(plan), plan, 1)
    assert len(writer.begin(block)) == 32
    writer.append(block, [record(0, i) for i in range(10)])
    for _ in range(ATTEMPTS - 1):
        assert writer.begin(block).tolist() == list(range(10, 32))
    with pytest.raises(WorkerError, match="5 workers died while processing tiles 0 to 31"):
        writer.begin(block)
    assert len(ParquetWriter(blocks_store(plan), plan, 2).begin(block)) == 32
