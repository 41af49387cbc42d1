"""Shards that are merged are the run that they are parts of; whatever does not go together is refused by name."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from geopandas.testing import assert_geodataframe_equal

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import BimorsError, InputError, Interrupted, JournalError, OutputExistsError
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.options.merge import MergeOptions
from bimors_cli.options.shard import Shard
from bimors_cli.output.geopackage import read_provenance
from bimors_cli.pipeline.checkpoint.journal import Journal
from bimors_cli.pipeline.checkpoint.journal_format import line
from bimors_cli.pipeline.checkpoint.shard_header import options_of, shard_header
from bimors_cli.pipeline.engines.single_process import open_job_journal
from bimors_cli.pipeline.merge import merge
from bimors_cli.pipeline.progress import NullProgress
from bimors_cli.pipeline.tile_result import TileResult
from tests import api
from tests.conftest import NORTH_UP, MakeRaster
from tests.pipeline.sharded import LABELS, Shards


@pytest.fixture
def scene(make_raster: MakeRaster) -> str:
    """36 tiles of 16 pixels, some of them without data."""
    noise = np.random.default_rng(0).integers(1, 256, (3, 96, 96), dtype=np.uint8)
    noise[:, 16:64, 32:60] = 0
    return make_raster(noise, nodata=0)


@pytest.fixture
def shards(tmp_path: Path, tiny_bundle: Bundle, scene: str) -> Shards:
    return Shards(tmp_path, tiny_bundle, scene)


def layer(path: Path, name: str = "tiles") -> geopandas.GeoDataFrame:
    return geopandas.read_file(path, layer=name)


def merged(output: Path, journals: list[Path], **options: Any) -> geopandas.GeoDataFrame:
    api.merge(output, journals, **options)
    return layer(output)


def refused(output: Path, journals: list[Path], kind: type[BimorsError] = InputError, **options: Any) -> str:
    """What a merge is refused with; nothing changes."""
    before = {path: path.read_bytes() for path in output.parent.iterdir() if path.is_file()}
    with pytest.raises(kind) as error:
        api.merge(output, journals, **options)
    assert {path: path.read_bytes() for path in output.parent.iterdir() if path.is_file()} == before
    assert "\n" not in f"{error.value.message}{error.value.hint}"
    return f"{error.value.message}; {error.value.hint}"


def journals_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.bimors-journal"))


# --- Rows are those of the run without shards ---


def assert_same_rows(one: geopandas.GeoDataFrame, other: geopandas.GeoDataFrame) -> None:
    """To the letter; what another batch does to the last decimal of a number apart."""
    numbers = [name for name in one if name.startswith(("confidence", "p_"))]
    assert_geodataframe_equal(one.drop(columns=numbers), other.drop(columns=numbers))
    np.testing.assert_allclose(one[numbers].astype(float), other[numbers].astype(float), atol=1.01e-4)


def test_a_run_with_all_that_goes_beside_the_layer(tmp_path: Path, tiny_bundle: Bundle, scene: str) -> None:
    how = {
        "labels": LABELS, "model": str(tiny_bundle.folder), "tile_size": "16", "captions": False, "keep_empty": True,
        "probabilities": True, "keep_features": True, "top_k": 3, "batch_size": 4,
    }  # fmt: skip
    whole, out = tmp_path / "whole.gpkg", tmp_path / "out.gpkg"
    one = api.classify(scene, output=whole, raster=str(tmp_path / "whole.tif"), **how)
    for number in (3, 1, 2):
        part = api.classify(
            scene, output=out, raster=str(tmp_path / "out.tif"), shard=f"{number}/3", overwrite=True, **how
        )
        assert part.output == f"{out}.{number}-of-3.bimors-journal" and not out.exists()
    other = api.merge(out, [*reversed(journals_of(tmp_path)), *journals_of(tmp_path)])
    assert (other.answered, other.reasons, other.rows) == (one.answered, one.reasons, one.rows) and other.reasons
    assert_same_rows(layer(out), layer(whole))
    with rasterio.open(tmp_path / "out.tif") as a, rasterio.open(tmp_path / "whole.tif") as b:
        np.testing.assert_array_equal(a.read(1), b.read(1))
    tables = []
    for path in (out, whole):
        with closing(sqlite3.connect(path)) as database:
            tables.append(database.execute("SELECT tile_id, feature FROM bimors_features ORDER BY 1").fetchall())
    assert [row[0] for row in tables[0]] == [row[0] for row in tables[1]] and len(tables[0]) == one.answered
    assert not journals_of(tmp_path) and not list(tmp_path.glob("*.lock"))


def test_two_scenes_and_an_area(tmp_path: Path, make_raster: MakeRaster, tiny_bundle: Bundle, scene: str) -> None:
    """More shards than some scenes have tiles, one of which settles its labels with all others."""
    noise = np.random.default_rng(1).integers(1, 256, (3, 40, 50), dtype=np.uint8)
    other = make_raster(noise, name="b.tif", transform=NORTH_UP @ NORTH_UP.translation(100, 0))
    area = tmp_path / "area.gpkg"
    box = shapely.box(500_100, 4_599_100, 501_300, 4_599_990)
    geopandas.GeoDataFrame(geometry=[box], crs=32618).to_file(area)
    how = {"labels": LABELS, "model": str(tiny_bundle.folder), "tile_size": "16", "captions": False, "aoi": str(area)}
    whole, out = tmp_path / "whole.fgb", tmp_path / "out.fgb"
    api.classify([scene, other], output=whole, refine="transductive", **how)
    for number in range(1, 6):
        api.classify([scene, other], output=out, refine="transductive", shard=f"{number}/5", **how)
    api.merge(out, journals_of(tmp_path))
    assert_same_rows(geopandas.read_file(out), geopandas.read_file(whole))
    assert set(geopandas.read_file(out)["scene"]) == {"scene.tif", "b.tif"} and not journals_of(tmp_path)


@pytest.mark.parametrize("how", [{"vote": True, "overlap": "50%"}, {"refine": "spatial", "min_confidence": 0.4}])
def test_answers_that_all_tiles_settle(tmp_path: Path, tiny_bundle: Bundle, scene: str, how: dict[str, Any]) -> None:
    """They are settled when all shards are together."""
    how |= {"labels": LABELS, "model": str(tiny_bundle.folder), "tile_size": "32", "captions": False}
    api.classify(scene, output=tmp_path / "whole.gpkg", **how)
    for number in (1, 2):
        api.classify(scene, output=tmp_path / "out.gpkg", shard=f"{number}/2", **how)
    assert_same_rows(merged(tmp_path / "out.gpkg", journals_of(tmp_path)), layer(tmp_path / "whole.gpkg"))


@pytest.mark.parametrize("count", [1, 7, 50])
def test_any_number_of_shards(shards: Shards, tmp_path: Path, count: int) -> None:
    """Of fifty, fourteen have no tile."""
    rows = merged(tmp_path / "out.gpkg", shards.all(count))
    records = [record for record in shards.whole() if record.reason is None]
    assert rows["caption"].tolist() == [record.caption for record in records]
    assert read_provenance(tmp_path / "out.gpkg", "tiles")["run"] == json.dumps(
        shards.job(None).plan.run_key(), ensure_ascii=False
    )


def test_into_a_geopackage_that_is_there(shards: Shards, tmp_path: Path) -> None:
    merged(tmp_path / "out.gpkg", shards.all(2))
    journals = [shards.work(f"{n}/2", append=True, layer="second") for n in (1, 2)]
    api.merge(tmp_path / "out.gpkg", journals)
    assert_geodataframe_equal(layer(tmp_path / "out.gpkg"), layer(tmp_path / "out.gpkg", "second"))


def test_another_name_format_and_layer(shards: Shards, tmp_path: Path) -> None:
    folder = tmp_path / "maps"
    folder.mkdir()
    journals = shards.all(2)
    assert "unsupported suffix" not in refused(folder / "map.gpkg", journals[:1])
    api.merge(folder / "map.geojson", journals, keep_journals=True)
    api.merge(folder / "map.gpkg", journals, keep_journals=True, layer="land")
    api.merge(folder / "flat", journals, keep_journals=True, format="FlatGeobuf")
    named = layer(folder / "map.gpkg", "land")
    assert len(geopandas.read_file(folder / "map.geojson")) == len(geopandas.read_file(folder / "flat")) == len(named)
    assert geopandas.read_file(folder / "map.geojson").crs.to_epsg() == 4326
    assert refused(folder / "map.xyz", journals, format=None)


# --- What does not go together ---


def test_nothing_and_streams(shards: Shards, tmp_path: Path) -> None:
    assert "JOURNAL is missing" in refused(tmp_path / "out.gpkg", [])
    with pytest.raises(InputError, match="not into a stream"):
        api.merge("-", shards.all(1))


def test_missing_shards_are_named_with_the_command_that_makes_one(shards: Shards, tmp_path: Path) -> None:
    journals = shards.all(16)
    told = refused(tmp_path / "out.gpkg", [path for n, path in enumerate(journals, 1) if n != 3])
    assert "no journal given of shard 3/16" in told
    assert told.endswith(f"bimors classify {tmp_path / 'scene.tif'} --shard 3/16 -o {tmp_path / 'out.gpkg'}")
    told = refused(tmp_path / "out.gpkg", journals[8:9])
    assert "no journal given of shards 1/16, 2/16, 3/16, 4/16, 5/16 and 10 more" in told


def test_two_of_one_shard_and_of_other_numbers(shards: Shards, tmp_path: Path) -> None:
    journals = shards.all(2)
    copy = Path(shutil.copy(journals[1], tmp_path / "copy"))
    assert "both journals of shard 2/2" in refused(tmp_path / "out.gpkg", [*journals, copy])
    third = shards.work("3/3")
    told = refused(tmp_path / "out.gpkg", [*journals, third])
    assert "1-of-2.bimors-journal is from a run of 2 shards" in told and "3-of-3.bimors-journal from one of 3" in told


@pytest.mark.parametrize(
    ("other", "says"), [({"min_valid": 0.25}, "min valid (0.5, now 0.25)"), ({"tile_size": "24"}, "tile size")]
)
def test_shards_of_other_runs(shards: Shards, tmp_path: Path, other: dict[str, Any], says: str) -> None:
    told = refused(tmp_path / "out.gpkg", [shards.work("1/2"), shards.work("2/2", **other)])
    assert "2-of-2.bimors-journal is not from the run of out.gpkg.1-of-2" in told and says in told


def test_files_that_are_no_shards(shards: Shards, tmp_path: Path) -> None:
    journals = shards.all(2)
    plan = shards.job(None).plan
    with Journal(tmp_path / "whole.bimors-journal", plan.run_key(), [36], resume=False):
        pass
    told = refused(tmp_path / "out.gpkg", [*journals, tmp_path / "whole.bimors-journal"])
    assert "whole.bimors-journal is the journal of a run without --shard" in told
    assert "No such file" in refused(tmp_path / "out.gpkg", [tmp_path / "none"], JournalError)
    header = json.loads(journals[0].read_bytes().split(b"\n")[0][9:])
    for wrong in (
        b"", b"a diary\n", line({**header, "bimors_journal": 2}), line({**header, "shard": [3, 2]}),
        line({**header, "shard": "1/2"}), line({**header, "options": None}), line([1, 2]),
    ):  # fmt: skip
        (tmp_path / "wrong").write_bytes(wrong)
        assert "not a journal of this bimors version" in refused(
            tmp_path / "out.gpkg", [tmp_path / "wrong"], JournalError
        )
    journals[0].write_bytes(line({**header, "options": {"scenes": 3}}) + journals[0].read_bytes().partition(b"\n")[2])
    assert "options in the shards' journals are invalid: scenes: not an array" in refused(
        tmp_path / "out.gpkg", journals
    )


def test_unfinished_and_torn(shards: Shards, tmp_path: Path) -> None:
    journals = [shards.work("1/3"), shards.work("2/3", leave=4), shards.work("3/3")]
    torn = journals[2].read_bytes()[:-10]
    journals[2].write_bytes(torn)
    told = refused(tmp_path / "out.gpkg", journals)
    assert "shard 2/3 lacks 4 of 12 tiles, shard 3/3 lacks 1 of 12 tiles" in told
    assert "continue each shard with: bimors classify" in told and told.endswith("--resume") and "--shard 2/3" in told
    for number in (2, 3):
        shards.work(f"{number}/3", resume=True)
    assert len(merged(tmp_path / "out.gpkg", journals)) == 31


def test_records_of_another_shard(shards: Shards, tmp_path: Path) -> None:
    journals = shards.all(2)
    with journals[0].open("ab") as file:
        file.write(line(TileResult(0, 35, None, ((0, 0.5),), "stray").to_json()))
    assert "the journal is damaged" in refused(tmp_path / "out.gpkg", journals, JournalError)


def test_a_shard_that_is_still_at_work(shards: Shards, tmp_path: Path) -> None:
    first = shards.work("1/2")

    def try_to_merge(journal: Journal) -> None:
        with pytest.raises(JournalError, match=r"shard 2/2 is still running \(process"):
            api.merge(tmp_path / "out.gpkg", [first, journal.path])
        with pytest.raises(JournalError, match="another run is writing shard 2/2 of this output"):
            shards.work("2/2", resume=True)

    second = shards.work("2/2", inside=try_to_merge)
    assert len(merged(tmp_path / "out.gpkg", [first, second])) == 31


def test_a_journal_by_the_name_of_another_shard(shards: Shards, tmp_path: Path) -> None:
    """What it says of itself counts, not its name; and no shard goes on with that of another, or of a whole run."""
    first, second = shards.all(2)
    first.rename(tmp_path / "a")
    second.rename(first)
    with pytest.raises(InputError, match=r'shard \("2/2", now "1/2"\)'):
        shards.work("1/2", resume=True)
    first.rename(tmp_path / "out.gpkg.bimors-journal")
    with (
        pytest.raises(InputError, match=r'shard \("2/2", now null\)'),
        open_job_journal(shards.job(None, resume=True), NullProgress()),
    ):
        pass
    (tmp_path / "out.gpkg.bimors-journal").rename(tmp_path / "b")
    assert len(merged(tmp_path / "out.gpkg", [tmp_path / "b", tmp_path / "a"])) == 31


def test_journals_that_cannot_be_removed(
    shards: Shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The layer is there all the same."""
    journals = shards.all(2)
    real = Path.unlink

    def protected(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".bimors-journal":
            raise PermissionError(13, "Permission denied")
        real(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", protected)
    assert len(merged(tmp_path / "out.gpkg", journals)) == 31
    assert caplog.text.count("cannot be deleted: Permission denied") == 2


def test_an_output_that_is_there(shards: Shards, tmp_path: Path) -> None:
    out = tmp_path / "out.gpkg"
    journals = shards.all(2)
    out.write_bytes(b"precious")
    assert "--overwrite" in refused(out, journals, OutputExistsError)
    assert len(merged(out, journals, overwrite=True)) == 31 and not journals_of(tmp_path)


# --- Other machines ---


def test_copies_of_a_scene(shards: Shards, tmp_path: Path, scene: str, caplog: pytest.LogCaptureFixture) -> None:
    """Modified at another time on each machine; the run goes on and is merged all the same, with a warning."""
    journals = [shards.work("1/2", leave=3)]
    os.utime(scene, ns=(1, 1))
    with caplog.at_level(logging.WARNING):
        shards.work("1/2", resume=True)
    assert "was started with another copy of a scene" in caplog.text
    journals.append(shards.work("2/2"))
    os.utime(scene, ns=(2, 2))
    with caplog.at_level(logging.WARNING):
        rows = merged(tmp_path / "out.gpkg", journals)
    assert "other modification times" in caplog.text and len(rows) == 31


def test_a_whole_run_still_sees_when_its_scene_was_modified(shards: Shards, tmp_path: Path, scene: str) -> None:
    path = tmp_path / "out.gpkg.bimors-journal"
    with Journal(path, shards.job(None).plan.run_key(), [36], resume=False):
        pass
    os.utime(scene, ns=(1, 1))
    with pytest.raises(InputError, match="other options: scenes"):
        Journal(path, shards.job(None).plan.run_key(), [36], resume=True)


def test_a_scene_that_is_elsewhere(shards: Shards, tmp_path: Path, scene: str, make_raster: MakeRaster) -> None:
    journals = shards.all(2)
    there = tmp_path / "there"
    there.mkdir()
    shutil.move(scene, there)
    told = refused(tmp_path / "out.gpkg", journals)
    assert "scene.tif: scene of the shards not found" in told and "--scene PATH" in told
    told = refused(tmp_path / "out.gpkg", journals, scenes=("elsewhere/other.tif",))
    assert "no scene of the shards has this name" in told and told.endswith("the scenes are: scene.tif")
    make_raster(np.ones((3, 96, 96), dtype=np.uint8))
    told = refused(tmp_path / "out.gpkg", journals)
    assert "differ from those of the shards: scenes" in told
    assert len(merged(tmp_path / "out.gpkg", journals, scenes=(str(there / "scene.tif"),))) == 31


def test_models_and_areas_that_are_elsewhere(tmp_path: Path, tiny_bundle: Bundle, scene: str) -> None:
    area, bundle = tmp_path / "area.gpkg", tmp_path / "bundle"
    box = shapely.box(500_000, 4_599_500, 500_500, 4_600_000)
    geopandas.GeoDataFrame(geometry=[box], crs=32618).to_file(area)
    shutil.copytree(tiny_bundle.folder, bundle)
    shards = Shards(tmp_path, tiny_bundle, scene, aoi=str(area), model=str(bundle), adapter=str(bundle / "adapter"))
    journals = shards.all(2)
    area.rename(tmp_path / "moved.gpkg")
    shutil.rmtree(bundle)
    refused(tmp_path / "out.gpkg", journals, BimorsError)
    here = {"aoi": str(tmp_path / "moved.gpkg"), "model": str(tiny_bundle.folder)}
    here["adapter"] = str(tiny_bundle.folder / "adapter")
    assert len(merged(tmp_path / "out.gpkg", journals, **here)) == 7


def test_options_come_back_as_they_were(tiny_bundle: Bundle, scene: str) -> None:
    """Every one of them, and none that is missing here when another is added."""
    other: dict[str, Any] = {
        "bidx": (3, 2, 1), "allow_drivers": ("ERS",), "min_valid": 0.25, "aoi": "area.gpkg:a", "top_k": 3,
        "nodata": "nan", "batch_size": 7, "device": "cpu,cpu", "overwrite": True, "templates": ("a {}", "the {}"),
        "probabilities": True, "dst_crs": "EPSG:4326", "shard": "2/3",
    }  # fmt: skip
    options = ClassifyOptions(scenes=(scene, "/vsicurl/https://host/b.tif"), labels=LABELS, **other)
    origin = shard_header(options, Shard(2, 3), ("bimors", "classify"))
    assert options_of(json.loads(json.dumps(origin.options))) == options
    assert options_of(origin.options, shard=None).shard is None
    assert options.labels.items[0].synonyms == ("woodland",) and options.labels.items[0].colour == "#00ff00"


def test_addresses_keep_their_secrets(shards: Shards, scene: str) -> None:
    options = dataclasses.replace(
        shards.job("1/1").plan.options, scenes=("https://user:hush@host/a.tif?sig=hush", scene)
    )
    command = ("bimors", "classify", "https://user:hush@host/a.tif?sig=hush")
    origin = shard_header(options, Shard(1, 1), command)
    assert "hush" not in repr(origin) and "https://host/a.tif" in origin.options["scenes"]


# --- Kills, signals, failures ---


class Killed(Exception):
    pass


def kill(monkeypatch: pytest.MonkeyPatch, target: str, nth: int = 1) -> None:
    """End the next merge before the n-th call of a function, as a kill does: nothing behind it is done."""
    import importlib

    module, _, name = target.partition(":")
    owner: Any = importlib.import_module(module)
    *classes, name = name.split(".")
    for each in classes:
        owner = getattr(owner, each)
    real, calls = getattr(owner, name), 0

    def fatal(*args: Any, **kw: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth:
            raise Killed
        return real(*args, **kw)

    monkeypatch.setattr(owner, name, fatal)


@pytest.mark.parametrize("name", ["out.gpkg", "out.fgb"])
@pytest.mark.parametrize(
    ("target", "nth"),
    [
        ("bimors_cli.pipeline.output_target:OutputTarget.write", 1),
        ("bimors_cli.pipeline.checkpoint.shard_journals:ShardJournals.delete", 1),
        ("bimors_cli.pipeline.checkpoint.shard_journals:delete_journals", 1),
        ("pathlib:Path.unlink", 4),
    ],
)
def test_a_merge_that_was_killed_goes_on(
    shards: Shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, nth: int, name: str
) -> None:
    """The same command again, with the journals that are left, whatever is there by then."""
    shards.all(3)
    out = tmp_path / name
    with monkeypatch.context() as patch:
        kill(patch, target, nth)
        with pytest.raises(Killed):
            api.merge(out, journals_of(tmp_path))
    left = journals_of(tmp_path)
    assert left
    summary = api.merge(out, left)
    assert summary.output == str(out) and summary.finished_before == (len(left) < 3 or "delete_journals" in target)
    assert not journals_of(tmp_path)
    rows = layer(out) if name.endswith("gpkg") else geopandas.read_file(out)
    assert sorted(rows["caption"]) == sorted(record.caption for record in shards.whole() if record.reason is None)


def test_kept_journals_stay_to_the_letter(shards: Shards, tmp_path: Path) -> None:
    journals = shards.all(2)
    before = [path.read_bytes() for path in journals]
    merged(tmp_path / "out.gpkg", journals, keep_journals=True)
    assert [path.read_bytes() for path in journals] == before
    assert "--overwrite" in refused(tmp_path / "out.gpkg", journals, OutputExistsError)


def test_a_signal_leaves_the_journals(shards: Shards, tmp_path: Path) -> None:
    journals = shards.all(2)

    class Stop:
        signal_number = 2

    options = MergeOptions(output=str(tmp_path / "out.gpkg"), journals=tuple(map(str, journals)))
    with pytest.raises(Interrupted, match="interrupted") as told:
        merge(options, stop=Stop())
    assert told.value.hint == "run the same command again to continue" and journals_of(tmp_path) == journals


def test_tiles_that_failed_are_tried_again(shards: Shards, tmp_path: Path) -> None:
    """The layer says which; the journals stay; a shard that was resumed is merged over it without being asked for."""

    def failing(scene: int, index: int) -> TileResult:
        failed = TileResult(scene, index, "read_error")
        return failed if index == 20 else TileResult(scene, index, None, ((0, 0.5), (1, 0.2)), "x")

    journals = shards.all(3, answer=failing)
    summary = api.merge(tmp_path / "out.gpkg", journals)
    assert summary.failed == 1 and journals_of(tmp_path) == journals
    told = list(summary.lines(str))
    assert any("1 tiles failed, in shards 2/3" in each and "--shard 2/3" in each for each in told)
    assert not any("same command with --resume" in each for each in told)
    assert layer(tmp_path / "out.gpkg")["reason"].tolist().count("read_error") == 1
    shards.work("2/3", resume=True)
    summary = api.merge(tmp_path / "out.gpkg", journals)
    assert summary.failed == 0 and not journals_of(tmp_path)
    assert layer(tmp_path / "out.gpkg")["label"].notna().all()
