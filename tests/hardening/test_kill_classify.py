"""`bimors classify` killed with -9, wherever that is worst."""

from __future__ import annotations

import random
import re
import sqlite3
import zlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from geopandas.testing import assert_geodataframe_equal

from bimors_cli.bundle.manifest import Bundle
from tests.conftest import NORTH_UP
from tests.hardening.forks import Fault, Forks, Outcome

KILLED = -9
TILES = 36
RAW_WRITE = "pyogrio.raw:write"
VERIFY = "bimors_cli.output.geopackage:verify_layer"
DELETE = "bimors_cli.pipeline.checkpoint.journal:Journal.delete"
# Where a run of nine batches spends its life, from the trial of the output to the removal of the journal.
MOMENTS = (
    Fault("os:replace", about="bimors-journal"),
    Fault("os:write", act="half", about="null,[["),
    Fault("os:write", act="half", about='"session"'),
    Fault("os:fsync", nth=6),
    Fault("bimors_cli.pipeline.checkpoint.journal:Journal.append", nth=3, act="kill after"),
    Fault("os:write", nth=2, act="half", about="null,[["),
    Fault(RAW_WRITE, nth=2),
    Fault(RAW_WRITE, nth=3, act="kill after"),
    Fault(VERIFY, nth=2, act="kill after"),
    Fault("os:replace", nth=2, about="out.gpkg"),
    Fault("os:replace", nth=2, act="kill after", about="out.gpkg"),
    Fault(DELETE),
)


class Place:
    """A folder with a scene and labels, and what an undisturbed run makes of them."""

    def __init__(self, folder: Path, bundle: Bundle, forks: Forks) -> None:
        self.folder, self.forks = folder, forks
        pixels = np.random.default_rng(0).integers(1, 256, (3, 96, 96), dtype=np.uint8)
        pixels[:, :16, 32:48] = 0
        profile = {"driver": "GTiff", "count": 3, "height": 96, "width": 96, "dtype": "uint8", "nodata": 0}
        with rasterio.open(folder / "scene.tif", "w", crs="EPSG:32618", transform=NORTH_UP, **profile) as dataset:
            dataset.write(pixels)
        (folder / "labels.txt").write_text("forest\nriver\nport\n")
        self.env = {"BIMORS_CACHE": str(folder / "cache")}
        how = ["--tile-size", "16", "--batch-size", "4", "--probabilities", "--keep-empty", "-v"]
        self.args = ["classify", folder / "scene.tif", "-l", folder / "labels.txt", "--model", bundle.folder, *how]
        self.calm = folder / "calm"
        self.calm.mkdir()
        done = self.run(self.calm)
        assert done.code == 0, done.stderr
        self.rows = self.read(self.calm)
        assert len(self.rows) == TILES and self.rows["reason"].tolist().count("nodata") == 1

    def run(self, cwd: Path, *args: object, faults: Sequence[Fault] = ()) -> Outcome:
        return self.forks.run([*self.args, "-o", "out.gpkg", *args], cwd, faults=faults, env=self.env)

    def read(self, cwd: Path) -> geopandas.GeoDataFrame:
        """Read the layer, and let SQLite look at the file."""
        with closing(sqlite3.connect(f"{(cwd / 'out.gpkg').as_uri()}?mode=ro", uri=True)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return geopandas.read_file(cwd / "out.gpkg", layer="tiles")

    def assert_whole(self, cwd: Path) -> None:
        """Row by row as undisturbed; what another batch does to the last decimal apart."""
        rows = self.read(cwd)
        numbers = [name for name in self.rows if name.startswith(("confidence", "p_"))]
        assert_geodataframe_equal(rows.drop(columns=numbers), self.rows.drop(columns=numbers))
        np.testing.assert_allclose(rows[numbers].astype(float), self.rows[numbers].astype(float), atol=1.01e-4)

    def assert_end(self, cwd: Path) -> None:
        self.assert_whole(cwd)
        # An empty lock that nobody holds may stay of the very last moment.
        assert {path.name for path in cwd.iterdir()} - {"out.gpkg.bimors-journal.lock"} == {"out.gpkg"}


@pytest.fixture(scope="module")
def place(forks: Forks, tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("kill"), tiny_bundle, forks)


def finished(cwd: Path) -> dict[str, bytes]:
    """The whole records in the journal, by tile."""
    journal = cwd / "out.gpkg.bimors-journal"
    lines = journal.read_bytes().splitlines(keepends=True) if journal.exists() else []
    whole = [line[9:-1] for line in lines if line.endswith(b"\n") and line[:8] == b"%08x" % zlib.crc32(line[9:-1])]
    records = [line for line in whole if line.startswith(b"[")]
    found = {line.split(b",")[1].decode(): line for line in records}
    assert len(found) == len(records), "a tile twice"
    return found


def go_on(place: Place, cwd: Path, before: dict[str, bytes], faults: Sequence[Fault] = ()) -> dict[str, bytes]:
    """Resume after a kill: what was finished counts, and nothing is lost of it. Returns what is finished now."""
    done = place.run(cwd, "--resume", faults=faults)
    if done.code == KILLED:
        now = finished(cwd)
        if (cwd / "out.gpkg").exists():
            place.assert_whole(cwd)
        assert before.items() <= now.items()
        return now
    assert done.code == 0, done.stderr
    if "is already complete" not in done.stderr and before:
        assert f"tiles labelled, {len(before)} by earlier runs" in done.stderr
    place.assert_end(cwd)
    return before


def test_killed_again_and_again_on_the_way(place: Place, tmp_path: Path) -> None:
    """One run, killed at twelve chosen moments one after the other, each time a little further."""
    done: dict[str, bytes] = {}
    for fault in MOMENTS:
        before, done = done, go_on(place, tmp_path, done, [fault])
        assert not (tmp_path / "out.gpkg").exists() or fault in MOMENTS[-2:], str(fault)
        assert len(list(tmp_path.glob("*.tmp-*"))) <= 1
        assert len(done) >= len(before)
    assert len(done) == TILES and (tmp_path / "out.gpkg").exists()
    go_on(place, tmp_path, done)


def test_the_earlier_output_survives_an_overwrite_that_is_killed(place: Place, tmp_path: Path) -> None:
    old = (place.calm / "out.gpkg").read_bytes()
    for fault in (Fault(RAW_WRITE, nth=3), Fault("os:replace", nth=3)):
        (tmp_path / "out.gpkg").write_bytes(old)
        assert place.run(tmp_path, "--overwrite", faults=[fault]).code == KILLED
        assert (tmp_path / "out.gpkg").read_bytes() == old
        refused = place.run(tmp_path)
        assert refused.code == 2 and "--resume" in refused.hint and (tmp_path / "out.gpkg").read_bytes() == old
    go_on(place, tmp_path, finished(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "target", ["os:fsync", "os:replace", "os:unlink", "os:rename", "os:write", "os:open", RAW_WRITE, "os:rmdir"]
)
def test_killed_at_every_call_there_is(place: Place, tmp_path: Path, target: str, overwrite: bool) -> None:
    """A fresh run for each call of a function, killed there, and then resumed."""
    old = (place.calm / "out.gpkg").read_bytes()
    about = "null,[[" if target == "os:write" else ".gpkg" if target in ("os:open", "os:rmdir") else ""
    for nth in range(1, 100):
        cwd = tmp_path / str(nth)
        cwd.mkdir()
        if overwrite:
            (cwd / "out.gpkg").write_bytes(old)
        act = "half" if target == "os:write" else ("kill", "kill after")[nth % 2]
        ended = place.run(cwd, *["--overwrite"] * overwrite, faults=[Fault(target, nth, act, about)])
        if ended.code == 0:
            break
        assert ended.code == KILLED, ended.stderr
        if (cwd / "out.gpkg").exists() and (cwd / "out.gpkg").read_bytes() != old:
            place.assert_whole(cwd)
        if overwrite:
            assert (cwd / "out.gpkg").exists()
        if not (cwd / "out.gpkg.bimors-journal").exists() and overwrite:
            assert place.run(cwd, "--overwrite").code == 0
            place.assert_end(cwd)
        else:
            go_on(place, cwd, finished(cwd))
    print(f"\n{nth - 1} kills at {target}")
    assert 1 <= nth < 99


@pytest.mark.slow
def test_killed_at_random_times(place: Place, tmp_path: Path) -> None:
    chance = random.Random(1)
    kills = runs = 0
    while kills < 40:
        cwd = tmp_path / str(runs)
        cwd.mkdir()
        runs += 1
        done: dict[str, bytes] = {}
        for _ in range(100):
            args = [*place.args, "-o", "out.gpkg", *["--resume"] * bool(chance.getrandbits(1) or done)]
            run = place.forks.start(args, cwd, env=place.env)
            ended = run.kill_after(chance.uniform(0.05, 1.6))
            if ended.code == KILLED:
                kills += 1
                if (cwd / "out.gpkg").exists():
                    place.assert_whole(cwd)
                now = finished(cwd)
                if (cwd / "out.gpkg.bimors-journal").exists():
                    assert done.items() <= now.items()
                done = now
            elif ended.code == 0:
                place.assert_end(cwd)
                break
            else:  # an unfinished run is there, and the die said no --resume
                assert ended.code == 2 and re.search("--resume|--overwrite", ended.hint)
    print(f"\n{kills} kills in {runs} runs")
