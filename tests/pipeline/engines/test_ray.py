"""`--engine ray`: kills, secrets, signals, and the rows of the local engine, in clusters of two workers."""

from __future__ import annotations

import io
import json
import os
import platform
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

import geopandas
import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from pandas.testing import assert_frame_equal

from bimors_cli.bundle.manifest import Bundle
from tests.conftest import NORTH_UP
from tests.hardening.conftest import Server
from tests.hardening.forks import Fault, Forks, Outcome, Run
from tests.pipeline.engines.ray_clusters import WORKER, Cluster, processes, running_cluster

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.serial,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds workers as Linux lists them"),
]

TILES = 12 * 20 + 6 * 8
BLOCKS = "out.gpkg.bimors-blocks"
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "hush-aws-key",
    "AWS_ACCESS_KEY_ID": "hush-aws-id",
    "GDAL_HTTP_HEADERS": "Authorization: Bearer hush-bearer",
    "AZURE_STORAGE_SAS_TOKEN": "hush-sas",
    "GDAL_HTTP_MAX_RETRY": "2",
}
AREA = [[5e5, 46e5], [5e5, 4_598_100], [503_100, 4_598_900], [503_100, 46e5], [5e5, 46e5]]


class Place:
    """A folder with two scenes, one of them on a server, an area and labels, and what the local engine makes of it."""

    def __init__(self, folder: Path, bundle: Bundle, forks: Forks) -> None:
        self.folder, self.bundle, self.forks = folder, bundle, forks
        random = np.random.default_rng(0)
        pixels = random.integers(1, 256, (3, 192, 320), dtype=np.uint8)
        pixels[:, 32:64, 80:160] = 0
        self.write("first.tif", pixels)
        self.write("second.tif", random.integers(1, 256, (3, 96, 128), dtype=np.uint8))
        (folder / "labels.txt").write_text("forest\nriver\nport\n")
        crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32618"}}
        feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [AREA]}}
        area = {"type": "FeatureCollection", "crs": crs, "features": [feature]}
        (folder / "area.geojson").write_text(json.dumps(area))
        self.server = Server(folder, folder / "requests.txt")
        url = self.server.url("token", "second.tif").replace("127.0.0.1", "hush-user:hush-word@127.0.0.1") + "?sig=hush"
        # One tile at a time: a neighbour in the batch may change the last bit.
        how = ["--tile-size", "16", "--batch-size", "1", "--probabilities", "--keep-empty", "--keep-features", "-v"]
        self.args = [
            "classify",
            "first.tif",
            url,
            "-l",
            "labels.txt",
            "--model",
            bundle.folder,
            "--aoi",
            "area.geojson",
        ]
        self.args += [*how, "--device", "cpu"]
        done = self.start("local.gpkg").wait()
        assert done.code == 0, done.stderr
        self.rows, self.features = self.read("local.gpkg"), self.read_features("local.gpkg")
        counts = self.rows["reason"].value_counts()
        assert len(self.rows) == TILES and counts["outside_aoi"] > 20 and counts["nodata"] == 10

    def write(self, name: str, pixels: npt.NDArray[np.uint8], **more: object) -> None:
        count, height, width = pixels.shape
        size = {"count": count, "height": height, "width": width}
        profile = {"driver": "GTiff", "dtype": "uint8", "nodata": 0, **size, **more}
        with rasterio.open(self.folder / name, "w", crs="EPSG:32618", transform=NORTH_UP, **profile) as dataset:
            dataset.write(pixels)

    def start(
        self, output: str, *args: object, env: Mapping[str, str] | None = None, faults: tuple[Fault, ...] = ()
    ) -> Run:
        variables = {"BIMORS_CACHE": str(self.folder / "cache"), "no_proxy": "127.0.0.1", **(env or {})}
        return self.forks.start([*self.args, "-o", output, *args], self.folder, env=variables, faults=faults)

    def ray(self, *args: object, cluster: Cluster | None = None, env: Mapping[str, str] | None = None) -> Run:
        """Start a run with two workers, which have a caption cache of their own."""
        where = {} if cluster is None else cluster.env
        address = [] if cluster is None else ["--ray-address", cluster.address]
        variables = {"BIMORS_CACHE": str(self.folder / "ray-cache"), **where, **SECRETS, **(env or {})}
        return self.start("out.gpkg", "--engine", "ray", "--workers", 2, *address, *args, env=variables)

    def read(self, name: str) -> geopandas.GeoDataFrame:
        return geopandas.read_file(self.folder / name, layer="tiles")

    def read_features(self, name: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.folder / name)) as database:
            return database.execute("SELECT * FROM bimors_features").fetchall()

    def files(self) -> dict[Path, bytes]:
        """The whole files of finished tiles."""
        return {path: path.read_bytes() for path in (self.folder / BLOCKS).glob("tiles/*/*.parquet")}

    def count(self) -> int:
        return sum(1 for _ in (self.folder / BLOCKS).glob("tiles/*/*.parquet"))

    def assert_done(self, ended: Outcome) -> None:
        """All rows are there, as the local engine wrote them, to the last bit; and nothing else."""
        assert ended.code == 0, ended.stderr
        assert ended.stdout == "out.gpkg\n"
        rows = self.read("out.gpkg")
        assert_frame_equal(rows.drop(columns="geometry"), self.rows.drop(columns="geometry"), check_exact=True)
        assert rows.geometry.geom_equals_exact(self.rows.geometry, 0).all() and rows.crs == self.rows.crs
        assert self.read_features("out.gpkg") == self.features
        assert not list(self.folder.glob("out.gpkg.*"))

    def clean(self) -> None:
        for path in self.folder.glob("out.gpkg*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.fixture(scope="module")
def module_place(forks: Forks, tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "127.0.0.1")
        place = Place(tmp_path_factory.mktemp("ray"), tiny_bundle, forks)
        yield place
        place.server.process.kill()
        place.server.process.wait()


@pytest.fixture
def place(module_place: Place) -> Iterator[Place]:
    module_place.clean()
    yield module_place
    module_place.clean()


@pytest.fixture(scope="module")
def cluster(module_place: Place) -> Iterator[Cluster]:
    with running_cluster(processors=2) as running:
        yield running


def wait_until_gone(place: Place, run: Run) -> None:
    """Nothing is left of a run's own cluster: no process, no file."""
    end = time.monotonic() + 30
    while left := processes(folder=place.folder):
        assert time.monotonic() < end, [Path(f"/proc/{pid}/cmdline").read_bytes()[:80] for pid in left]
        time.sleep(0.1)
    assert not own_folders(run)


def own_folders(run: Run) -> list[Path]:
    """The folder of a run's own cluster; Ray puts the number of the process into a name in it."""
    return [path.parent for path in Path(tempfile.gettempdir()).glob(f"bimors-ray-*/session_*_{run.process.pid}")]


def assert_no_secret(outcomes: list[Outcome], *folders: Path) -> None:
    for outcome in outcomes:
        assert "hush" not in outcome.stdout + outcome.stderr, outcome.stderr
    for folder in folders:
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert files
        assert not [path for path in files if b"hush" in path.read_bytes()]


def rows_in(files: Mapping[Path, bytes]) -> int:
    return sum(len(geopandas.read_parquet(io.BytesIO(content))) for content in files.values())


def test_killed_workers_and_drivers_lose_no_tile(place: Place, cluster: Cluster) -> None:
    """A worker is killed, then the driver; the next run does the rest, and no log has what address and keys hold."""
    run = place.ray(cluster=cluster).when(lambda: place.count() >= 2, timeout=90)
    workers = processes(WORKER, cluster=cluster)
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    run.when(lambda: place.count() >= 4 and len({*processes(WORKER, cluster=cluster)} - {*workers}) == 1, timeout=90)
    run.send(signal.SIGKILL)
    killed = run.wait()
    assert killed.code == -signal.SIGKILL
    end = time.monotonic() + 30
    while processes(WORKER, cluster=cluster):
        assert time.monotonic() < end, "workers outlive the run that they work for"
        time.sleep(0.1)
    done = place.files()
    assert 0 < rows_in(done) < TILES and not (place.folder / "out.gpkg").exists()
    torn = sorted(done)[0]  # as a machine that loses its power may leave it
    torn.write_bytes(done.pop(torn)[:1000])
    refused = place.ray(cluster=cluster).wait()
    assert refused.code == 2 and "--resume" in refused.hint
    other = place.ray("--resume", "--min-valid", "0.7", cluster=cluster).wait()
    assert other.code == 2 and "min valid (0.5, now 0.7)" in other.error

    run = place.ray("--resume", cluster=cluster).when(lambda: place.count() > len(done) + 1, timeout=90)
    now = place.files()
    assert all(now.get(path) == content for path, content in done.items())
    ended = run.wait()
    assert f"{rows_in(done):,} by earlier runs" in ended.stderr and "cannot be read" in ended.stderr
    assert_no_secret([killed, refused, other, ended], cluster.folder)
    place.assert_done(ended)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_signal_ends_it_within_seconds(place: Place, number: int, code: int) -> None:
    """With a cluster of its own, of which nothing is left; finished blocks are kept."""
    run = place.ray().when(lambda: place.count() >= 2, timeout=90)
    (folder,) = own_folders(run)
    assert_no_secret([], folder)
    before = place.files()
    run.send(number)
    clock = time.monotonic()
    ended = run.wait()
    assert time.monotonic() - clock < 10
    assert ended.code == code and "finished tiles are in out.gpkg.bimors-blocks" in ended.error
    assert "--resume" in ended.hint and ended.stdout == ""
    assert before.items() <= place.files().items()
    wait_until_gone(place, run)
    assert not list(place.folder.glob("out.gpkg.*.lock"))
    assert_no_secret([ended])


def test_no_cluster_at_the_address(place: Place) -> None:
    ended = place.ray("--ray-address", "127.0.0.1:9").wait()
    assert ended.code == 2 and "--ray-address 127.0.0.1:9: no cluster found" in ended.error and ended.hint
    assert not list(place.folder.glob("out.gpkg*")) and ended.stdout == ""


@pytest.mark.slow
def test_no_cluster_on_this_machine(place: Place) -> None:
    ended = place.ray("--ray-address", "auto").wait()
    assert ended.code == 2 and ended.error.startswith("error: --ray-address auto: ") and "ray start" in ended.hint
    assert not list(place.folder.glob("out.gpkg*"))


@pytest.mark.slow
def test_more_workers_than_processors(place: Place) -> None:
    run = place.ray("--workers", 999)
    ended = run.wait()
    wait_until_gone(place, run)
    assert ended.code == 2 and "--workers 999: this machine has" in ended.error and "or less" in ended.hint
    assert not list(place.folder.glob("out.gpkg*"))


@pytest.mark.slow
def test_what_a_worker_cannot_do_is_one_line(place: Place, cluster: Cluster) -> None:
    shutil.copytree(place.bundle.folder, place.folder / "gone")
    run = place.ray("--model", "gone", "--head", "zero-shot", cluster=cluster)
    run.when((place.folder / BLOCKS / "run.json").exists)
    shutil.rmtree(place.folder / "gone")
    ended = run.wait()
    assert ended.code == 1 and "--model gone" in ended.error and f"(on {platform.node()})" in ended.error
    assert ended.hint and not list(place.folder.glob("out.gpkg*"))


@pytest.mark.slow
def test_a_block_that_kills_every_worker_is_given_up(place: Place, cluster: Cluster) -> None:
    run = place.ray(cluster=cluster)
    end = time.monotonic() + 300
    while run.process.is_alive() and time.monotonic() < end:
        begun = len(list((place.folder / BLOCKS).glob("tiles/*/begun-*")))
        time.sleep(0.5)
        if len(list((place.folder / BLOCKS).glob("tiles/*/begun-*"))) > begun:
            for pid in processes(WORKER, cluster=cluster):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    ended = run.wait()
    assert ended.code == 1 and "5 workers died while processing tiles" in ended.error and "memory" in ended.hint


@pytest.mark.slow
def test_tiles_that_cannot_be_read_are_rows(place: Place, cluster: Cluster) -> None:
    """With blocks elsewhere; --resume tries them again."""
    torn = place.folder / "torn.tif"
    place.write("torn.tif", np.random.default_rng(1).integers(1, 256, (3, 96, 160), dtype=np.uint8), compress="deflate")
    whole, stat = torn.read_bytes(), torn.stat()
    torn.write_bytes(whole[: len(whole) // 2] + bytes(1000) + whole[len(whole) // 2 + 1000 :])
    os.utime(torn, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    args = [
        "classify",
        "torn.tif",
        *place.args[3 : place.args.index("--aoi")],
        "--tile-size",
        "16",
        "--batch-size",
        "1",
    ]
    env = {"BIMORS_CACHE": str(place.folder / "torn-cache"), **cluster.env}
    store = ["--blocks", (place.folder / "store").as_uri()]
    ray = [*args, "-o", "out.gpkg", "--engine", "ray", "--ray-address", cluster.address, *store]
    local = place.forks.run([*args, "-o", "local-torn.gpkg"], place.folder, env=env)
    assert local.code == 3
    ended = place.forks.run(ray, place.folder, env=env)
    assert ended.code == 3 and ended.stdout == "out.gpkg\n", ended.stderr
    found, expected = place.read("out.gpkg"), place.read("local-torn.gpkg")
    assert (found["reason"] == "read_error").any()
    assert_frame_equal(found.drop(columns="geometry"), expected.drop(columns="geometry"))
    torn.write_bytes(whole)
    os.utime(torn, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    again = place.forks.run([*ray, "--resume"], place.folder, env=env)
    assert again.code == 0 and not place.read("out.gpkg")["reason"].notna().any(), again.stderr
    assert not (place.folder / "store").exists() and not (place.folder / BLOCKS).exists()
    assert "nothing to do" in place.forks.run([*ray, "--resume"], place.folder, env=env).stderr


@pytest.mark.slow
def test_captions_too(place: Place, cluster: Cluster) -> None:
    args = [str(arg) for arg in place.args]
    kept = args[:3] + args[args.index("--model") : args.index("--probabilities")]
    for output, engine in (("c1.gpkg", []), ("c2.gpkg", ["--engine", "ray", "--ray-address", cluster.address])):
        env = {**cluster.env, "BIMORS_CACHE": str(place.folder / output) + "-cache", "no_proxy": "127.0.0.1"}
        ended = place.forks.run(["caption", *kept[1:], "-o", output, *engine], place.folder, env=env)
        assert ended.code == 0, ended.stderr
    first, second = (geopandas.read_file(place.folder / name, layer="captions") for name in ("c1.gpkg", "c2.gpkg"))
    assert_frame_equal(first.drop(columns="geometry"), second.drop(columns="geometry"))


@pytest.mark.slow
def test_answers_are_settled_together_as_by_the_local_engine(place: Place, cluster: Cluster) -> None:
    kept = [str(arg) for arg in place.args if arg != "--keep-features"]
    args = [*kept, "--overlap", "50%", "--refine", "spatial", "--vote", "--no-captions"]
    for output, engine in (("s1.gpkg", []), ("s2.gpkg", ["--engine", "ray", "--ray-address", cluster.address])):
        env = {**cluster.env, "no_proxy": "127.0.0.1"}
        ended = place.forks.run([*args, "-o", output, *engine], place.folder, env=env)
        assert ended.code == 0, ended.stderr
        assert "refined: " in ended.stderr
    first, second = (place.read(name) for name in ("s1.gpkg", "s2.gpkg"))
    assert_frame_equal(first.drop(columns="geometry"), second.drop(columns="geometry"), check_exact=True)
    assert first.geometry.geom_equals_exact(second.geometry, 0).all()
