"""The caption cache: same rows with and without, and nothing that is wrong with it stops a run."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import torch
from geopandas.testing import assert_geodataframe_equal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bimors_cli.bundle.files import FileEntry
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import CacheError, InputError
from bimors_cli.model.captioner import Captioner
from bimors_cli.model.device import MAX_WORKERS
from bimors_cli.pipeline.inference import cache_db
from bimors_cli.pipeline.inference.cache_db import CaptionerId
from bimors_cli.pipeline.inference.caption_cache import (
    CachedCaptioner,
    CaptionCacheFile,
    cache_facts,
    cache_limit,
    clear_cache,
    open_caption_cache,
)
from bimors_cli.pipeline.inference.load import captioner_id, load_models
from bimors_cli.pipeline.summary import Summary
from tests import api
from tests.bundles import make_bundle
from tests.hardening.forks import Forks

LIMIT = 10**9
SOURCE = CaptionerId("tiny", "ab" * 32, "4 beams")
LABELS = ["forest", "river", "bare land", "port"]
Classify = Callable[..., Summary]


def random_images(count: int, side: int = 8, seed: int = 0) -> torch.Tensor:
    values = np.random.default_rng(seed).integers(0, 256, (count, 3, side, side), dtype=np.uint8)
    return torch.from_numpy(values)


class Speaker:
    """Says of each picture its sum, and counts its random_images."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, images: torch.Tensor) -> list[str]:
        self.batches.append(len(images))
        return [f"a sum of {int(image.sum())}" for image in images]


def ask(cache: CaptionCacheFile, images: torch.Tensor, source: CaptionerId = SOURCE) -> tuple[list[str], list[int]]:
    speaker = Speaker()
    return CachedCaptioner(cache, source).caption(images, speaker), speaker.batches


def test_only_what_is_missing_is_described_and_equal_pictures_once(caption_cache: Path) -> None:
    images = random_images(6)
    expected = Speaker()(images)
    with open_caption_cache() as cache:
        assert ask(cache, images[:2]) == (expected[:2], [2])
        assert ask(cache, images[[0, 2, 2, 1, 3, 0]]) == ([expected[i] for i in (0, 2, 2, 1, 3, 0)], [2])
        assert (cache.hits, cache.misses) == (4, 4)
    with open_caption_cache() as cache:  # another run
        assert ask(cache, images) == (expected, [2])
        assert ask(cache, images) == (expected, [])
    assert caption_cache.stat().st_size > 0


def test_the_key_is_pixels_shape_captioner_and_settings() -> None:
    images = random_images(1)
    with open_caption_cache() as cache:
        ask(cache, images)
        assert ask(cache, images)[1] == []
        assert ask(cache, images.reshape(1, 3, 4, 16))[1] == [1]
        changed = images.clone()
        changed[0, 2, 7, 7] ^= 1
        assert ask(cache, changed)[1] == [1]
        assert ask(cache, images, CaptionerId("tiny", "cd" * 32, "4 beams"))[1] == [1]
        assert ask(cache, images, CaptionerId("tiny", "ab" * 32, "5 beams"))[1] == [1]
        assert ask(cache, images, CaptionerId("renamed", "ab" * 32, "4 beams"))[1] == []
        assert ask(cache, images.transpose(2, 3).contiguous().transpose(2, 3))[1] == []  # the same, otherwise in memory


def test_the_source_is_the_captioner_alone(tiny_bundle: Bundle, tmp_path: Path) -> None:
    source = captioner_id(tiny_bundle, torch.float32)
    assert source.settings == "4 beams, 15 new tokens, float32"
    assert captioner_id(tiny_bundle, torch.bfloat16).id != source.id
    elsewhere = [FileEntry(entry.path, 1, "0" * 64) for entry in tiny_bundle.files if entry.path.startswith("clip/")]
    rest = [entry for entry in tiny_bundle.files if not entry.path.startswith("clip/")]
    assert captioner_id(replace(tiny_bundle, files=(*elsewhere, *rest)), torch.float32) == source
    other = make_bundle(tmp_path / "other", seed=1)
    assert captioner_id(other, torch.float32).id != source.id


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(captions=st.dictionaries(st.binary(min_size=32, max_size=32), st.text(st.characters(codec="utf-8"))))
def test_any_caption_comes_back(captions: dict[bytes, str]) -> None:
    with open_caption_cache(keep=False) as cache:
        cache.put(SOURCE, captions)
        assert cache.get([*captions, b"no key"]) == captions


def test_many_keys_in_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    captions = {i.to_bytes(32): f"number {i}" for i in range(2500)}
    with open_caption_cache() as cache:
        cache.put(SOURCE, captions)
        assert cache.get(captions.keys()) == captions
        statements: list[str] = []
        cache._db.set_trace_callback(statements.append)
        cache.get(list(captions)[:32])
        assert len(statements) == 1


def test_the_file_is_the_users_alone(caption_cache: Path) -> None:
    before = os.umask(0)
    try:
        with open_caption_cache() as cache:
            ask(cache, random_images(2))
            files = [path for path in caption_cache.parent.iterdir() if not path.name.endswith(".lock")]
            assert len(files) == 3  # with the write-ahead log and its index
            assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    finally:
        os.umask(before)


def test_what_was_not_used_for_longest_goes_first(caption_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_db, "REMOVED_AT_ONCE", 100)
    limit = 400_000
    clock = [1_000_000.0]
    monkeypatch.setattr(cache_db.time, "time", lambda: clock[0])
    captions = [{(100 * i + j).to_bytes(32): "so " * 20 for j in range(100)} for i in range(60)]
    with CaptionCacheFile(caption_cache, limit) as cache:
        for some in captions:
            cache.put(SOURCE, some)
            assert cache.get(captions[0]) == captions[0]  # used all the time
            clock[0] += 2 * cache_db.USE_SECONDS
        assert cache.get(captions[1]) == {} and cache.get(captions[59]) == captions[59]
    assert caption_cache.stat().st_size <= 1.2 * limit
    with CaptionCacheFile(caption_cache, limit // 4) as cache:  # the user made it smaller
        cache.put(SOURCE, {b"new": "one"})
        assert cache.get([b"new"]) == {b"new": "one"}
    assert caption_cache.stat().st_size <= 1.2 * limit / 4


@pytest.mark.parametrize(
    ("given", "size"),
    [("", 2**30), ("0", 0), ("500MB", 500_000_000), ("2GiB", 2**31), ("1.5 k", 1500), ("12345", 12345), ("1g", 10**9)],
)
def test_sizes(monkeypatch: pytest.MonkeyPatch, given: str, size: int) -> None:
    monkeypatch.setenv("BIMORS_CACHE_SIZE", given)
    assert cache_limit() == size


@pytest.mark.parametrize("given", ["much", "-1", "1e9", "5 apples", "nan", "١GB"])
def test_no_sizes(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("BIMORS_CACHE_SIZE", given)
    with pytest.raises(InputError, match="not a size"):
        open_caption_cache()


def test_a_size_of_zero_keeps_nothing(caption_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIMORS_CACHE_SIZE", "0")
    with open_caption_cache() as cache:
        assert ask(cache, random_images(2)[[0, 1, 1]])[1] == [2]
    assert not caption_cache.parent.exists()


def wrong(path: Path, how: str) -> None:
    path.parent.mkdir(parents=True)
    if how == "text":
        path.write_text("no database " * 1000)
    elif how == "a folder":
        path.mkdir()
    elif how == "nowhere":
        path.parent.rmdir()
        path.parent.write_text("a file where the folder should be")
    elif how == "other program":
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE places (url TEXT)")
    else:
        with CaptionCacheFile(path, LIMIT) as cache:
            cache.put(SOURCE, {i.to_bytes(32): "word " * 20 for i in range(500)})
        if how == "torn":
            content = bytearray(path.read_bytes())
            content[4096:] = bytes(len(content) - 4096)
            path.write_bytes(content)
        elif how == "newer":
            with closing(sqlite3.connect(path)) as db:
                db.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize("how", ["text", "torn", "a folder", "nowhere", "other program", "newer"])
def test_a_cache_that_cannot_be_used_is_a_warning(
    caption_cache: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    wrong(caption_cache, how)
    before = caption_cache.read_bytes() if caption_cache.is_file() else b""
    images = random_images(3)
    with open_caption_cache() as cache:
        assert ask(cache, images)[0] == Speaker()(images)
        assert ask(cache, images)[1] == []  # known within the run all the same
    assert len(caplog.records) == 1 and caplog.records[0].levelno == logging.WARNING
    assert "caption cache is not used" in caplog.text and str(caption_cache) in caplog.text
    assert (caption_cache.read_bytes() if caption_cache.is_file() else b"") == before
    if how in ("text", "torn"):
        assert "bimors cache clear" in caplog.text
        assert clear_cache()[0] is None and not caption_cache.exists()
    elif how == "nowhere":
        assert clear_cache() == (0, 0)
    else:
        with pytest.raises(CacheError):
            clear_cache()
        assert (caption_cache.read_bytes() if caption_cache.is_file() else b"") == before


def test_a_locked_cache_is_a_warning(
    caption_cache: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_db, "WAIT_SECONDS", 0.05)
    images = random_images(2)
    with open_caption_cache() as cache, closing(sqlite3.connect(caption_cache, isolation_level=None)) as other:
        ask(cache, images[:1])
        other.execute("BEGIN IMMEDIATE")
        assert ask(cache, images) == (Speaker()(images), [1])
        assert "locked" in caplog.text
        with pytest.raises(CacheError, match="locked"):
            clear_cache()
        other.execute("ROLLBACK")
        assert cache.get([]) == {}
    assert clear_cache()[0] == 1


def test_a_full_disk_is_a_warning(caption_cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_caption_cache() as cache:
        pages = cache._db.execute("PRAGMA page_count").fetchone()[0]
        cache._db.execute(f"PRAGMA max_page_count = {pages}")
        assert ask(cache, random_images(500))[1] == [500]
        assert "full" in caplog.text
        assert ask(cache, random_images(500))[1] == []


def put_captions(path: Path, begin: int, end: int) -> None:
    cache = CaptionCacheFile(path, 10**9)
    assert cache._path is not None
    for i in range(begin, end):
        captions = {(10 * i + j).to_bytes(32): f"number {10 * i + j}" for j in range(10)}
        cache.put(CaptionerId("tiny", str(begin), "4 beams"), captions)
        print(i, flush=True)


def test_several_runs_at_once(caption_cache: Path, forks: Forks) -> None:
    writers = [forks.start_call(put_captions, caption_cache, begin, begin + 100) for begin in (0, 100, 150)]
    for writer in writers:
        done = writer.wait()
        assert done.code == 0 and done.stderr == "", done.stderr
    with open_caption_cache() as cache:
        assert cache.get([i.to_bytes(32) for i in range(2500)]) == {i.to_bytes(32): f"number {i}" for i in range(2500)}
    assert [entries for source, entries, *_ in cache_facts().sources if source.captioner == "0"] == [1000]


def test_a_killed_run_leaves_what_it_had_finished(
    caption_cache: Path, caplog: pytest.LogCaptureFixture, forks: Forks
) -> None:
    writer = forks.start_call(put_captions, caption_cache, 0, 10**6)
    writer.when(lambda: writer.out.read_text().count("\n") > 20).send(signal.SIGKILL)
    assert writer.wait().code == -signal.SIGKILL
    with open_caption_cache() as cache:
        keys = [i.to_bytes(32) for i in range(200)]
        assert cache.get(keys) == {key: f"number {i}" for i, key in enumerate(keys)}
        cache.put(SOURCE, {b"after": "it"})
    assert caplog.text == ""
    with closing(sqlite3.connect(caption_cache)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_facts_and_clearing(caption_cache: Path) -> None:
    assert cache_facts().entries == 0 and clear_cache() == (0, 0) and not caption_cache.exists()
    other = CaptionerId("large", "cd" * 32, "4 beams")
    with open_caption_cache() as cache:
        ask(cache, random_images(40))
        ask(cache, random_images(30), other)
        facts = cache_facts()  # while a run has it open
        assert {source: entries for source, entries, *_ in facts.sources} == {SOURCE: 40, other: 30}
        assert all(abs(newest.timestamp() - time.time()) < 100 for *_, newest in facts.sources)
        assert facts.entries == 70 and facts.bytes > 4096 and facts.limit == 2**30
        entries, size = clear_cache()
        assert entries == 70 and size > 0
        assert ask(cache, random_images(2))[1] == [2]  # the run goes on with the emptied one
    assert cache_facts().entries == 2


@pytest.fixture
def classify(tiny_bundle: Bundle, tmp_path: Path) -> Classify:
    def run(scene: Any, output: str, labels: Any = LABELS, **options: Any) -> Summary:
        options = {"model": str(tiny_bundle.folder), "tile_size": "32", "device": "cpu", **options}
        return api.classify(scene, labels, tmp_path / output, **options)

    return run


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many random_images the captioner was shown, batch by batch."""
    counts: list[int] = []
    describe = Captioner.caption

    def counted(self: Captioner, images: torch.Tensor) -> list[str]:
        counts.append(len(images))
        return describe(self, images)

    monkeypatch.setattr(Captioner, "caption", counted)
    return counts


def rows(summary: Summary) -> geopandas.GeoDataFrame:
    assert summary.output is not None
    return geopandas.read_file(summary.output, layer="tiles")


def test_rows_are_the_same_with_and_without(make_raster, classify: Classify, described: list[int]) -> None:  # type: ignore[no-untyped-def]
    scene = make_raster(np.random.default_rng(0).integers(1, 256, (3, 130, 130), dtype=np.uint8))
    without = classify(scene, "a.gpkg", caption_cache=False, probabilities=True)
    assert sum(described) == 25 and without.caption_hits == 0
    filling = classify(scene, "b.gpkg", probabilities=True, batch_size=7)
    assert sum(described) == 50 and filling.caption_misses == 25
    filled = classify(scene, "c.gpkg", probabilities=True, batch_size=4)
    assert sum(described) == 50 and (filled.caption_hits, filled.caption_misses) == (25, 0)
    assert "25 of 25 captions were known, from the cache or an equal tile" in list(filled.lines(str))
    exact = ["tile_id", "label", "reason", "label_2", "caption", "geometry"]
    numbers = [c for c in rows(without) if c.startswith(("p_", "confidence"))]
    for summary in (filling, filled):
        assert_geodataframe_equal(rows(summary)[exact], rows(without)[exact])
        np.testing.assert_allclose(rows(summary)[numbers], rows(without)[numbers], atol=1.01e-4, rtol=0)
    other_labels = classify(scene, "d.gpkg", labels=["meadow", "pond", "residential"])
    assert sum(described) == 50 and other_labels.caption_hits == 25
    assert rows(other_labels)["caption"].tolist() == rows(without)["caption"].tolist()


def test_equal_tiles_are_described_once_in_a_run(make_raster, classify: Classify, described: list[int]) -> None:  # type: ignore[no-untyped-def]
    data = np.full((3, 128, 128), 40, np.uint8)
    data[:, :32, :32] = np.random.default_rng(0).integers(1, 256, (3, 32, 32), dtype=np.uint8)
    summary = classify(make_raster(data), "a.gpkg", caption_cache=False, batch_size=5, stretch="none")
    # Workers that meet it at the same moment each describe it.
    assert 2 <= sum(described) == summary.caption_misses <= 1 + MAX_WORKERS
    assert summary.caption_hits + summary.caption_misses == 16


def test_without_captions_nothing_is_kept(make_raster, classify: Classify, caption_cache: Path) -> None:  # type: ignore[no-untyped-def]
    summary = classify(make_raster(np.full((3, 64, 64), 40, np.uint8)), "a.gpkg", captions=False)
    assert summary.caption_hits == summary.caption_misses == 0
    assert not caption_cache.exists()


def test_the_option_does_not_decide_rows(make_raster, classify: Classify) -> None:  # type: ignore[no-untyped-def]
    scene = make_raster(np.random.default_rng(0).integers(1, 256, (3, 64, 64), dtype=np.uint8))
    classify(scene, "a.gpkg")
    assert classify(scene, "a.gpkg", resume=True, caption_cache=False).finished_before


def test_models_ask_the_cache_first(tiny_bundle: Bundle, described: list[int]) -> None:
    images = random_images(3, side=32)
    with open_caption_cache() as cache:
        models = load_models(tiny_bundle, "cpu", caption_cache=cache)
        first = models.encode(images)
        assert models.encode(images).captions == first.captions and described == [3]
        facts = cache_facts().sources
    assert [source.settings for source, *_ in facts] == ["4 beams, 15 new tokens, float32"]


def test_a_clock_that_was_set_back(caption_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Captions of the future would otherwise be the last to go, for ever."""
    clock = [2_000_000_000.0]
    monkeypatch.setattr(cache_db.time, "time", lambda: clock[0])
    with CaptionCacheFile(caption_cache, 10**9) as cache:
        cache.put(SOURCE, {b"future": "one", b"unused": "two"})
        clock[0] = 1_000_000_000.0
        assert cache.get([b"future"]) == {b"future": "one"}
    with sqlite3.connect(caption_cache) as db:
        used = dict(db.execute("SELECT caption, used FROM captions").fetchall())
    assert used == {"one": 1_000_000_000, "two": 2_000_000_000}
