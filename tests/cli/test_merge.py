"""`bimors classify --shard` and `bimors merge` from outside."""

from __future__ import annotations

import contextlib
from pathlib import Path

import geopandas
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli.main import app
from tests.conftest import MakeRaster


@pytest.fixture
def scene(make_raster: MakeRaster, tmp_path: Path) -> Path:
    """Nine tiles of 32 pixels."""
    (tmp_path / "labels.txt").write_text("forest\nriver\t#0000ff\nport\n")
    return Path(make_raster(np.random.default_rng(0).integers(1, 256, (3, 96, 96), dtype=np.uint8)))


def bimors(*args: object, cwd: Path, env: dict[str, str] | None = None) -> Result:
    with contextlib.chdir(cwd):
        return CliRunner().invoke(app, [*map(str, args)], env=env)


def classify(scene: Path, bundle: Bundle, *args: object, **kw: dict[str, str]) -> Result:
    how = ["-l", "labels.txt", "--model", bundle.folder, "--tile-size", 32, "--no-captions"]
    return bimors("classify", scene, *how, *args, cwd=scene.parent, **kw)  # type: ignore[arg-type]


def names(scene: Path) -> set[str]:
    return {path.name for path in scene.parent.iterdir()} - {"scene.tif", "labels.txt"}


@pytest.mark.parametrize(
    ("shard", "says"),
    [
        ("0/16", "K must be from 1 to N"),
        ("17/16", "K must be from 1 to N"),
        ("3", "not of the form K/N"),
        ("a/b", "not of the form K/N"),
        ("", "not of the form K/N"),
    ],
)
def test_what_is_no_shard_is_one_line(scene: Path, tiny_bundle: Bundle, shard: str, says: str) -> None:
    result = classify(scene, tiny_bundle, "--shard", shard)
    assert (result.exit_code, result.stdout) == (2, "")
    error, hint = result.stderr.strip().splitlines()
    assert error.startswith(f"error: --shard {shard}") and says in error and hint.startswith("hint: ")
    assert names(scene) == set()


@pytest.mark.parametrize(
    ("args", "says"),
    [(("-o", "-"), "writes a journal, not a stream"), (("--engine", "ray"), "not supported with --engine ray")],
)
def test_what_shards_do_not_go_with(scene: Path, tiny_bundle: Bundle, args: tuple[str, ...], says: str) -> None:
    result = classify(scene, tiny_bundle, "--shard", "1/2", *args)
    assert (result.exit_code, result.stdout) == (2, "") and says in result.stderr


def test_shards_and_their_merge(scene: Path, tiny_bundle: Bundle) -> None:
    """The journals' paths and then the layer's go to standard output; the environment may name the shard."""
    first = classify(scene, tiny_bundle, "--shard", "1/2")
    second = classify(scene, tiny_bundle, env={"BIMORS_SHARD": "2/2"})
    for number, result in ((1, first), (2, second)):
        assert (result.exit_code, result.stdout) == (0, f"scene.gpkg.{number}-of-2.bimors-journal\n"), result.stderr
        assert "when all 2 shards are finished: bimors merge scene.gpkg scene.gpkg.*-of-2" in result.stderr
    assert "4 of 4 tiles" in first.stderr and "5 of 5 tiles" in second.stderr
    wrong = bimors("merge", "scene.gpkg", "scene.gpkg.*-of-3.bimors-journal", cwd=scene.parent)
    assert wrong.exit_code == 2 and "no file matches" in wrong.stderr
    missing = bimors("merge", "scene.gpkg", "scene.gpkg.2-of-2.bimors-journal", cwd=scene.parent)
    assert missing.exit_code == 2 and missing.stdout == "" and "no journal given of shard 1/2" in missing.stderr
    assert "run shard 1/2 with: bimors" in missing.stderr
    done = bimors("merge", "scene.gpkg", "scene.gpkg.*-of-2.bimors-journal", cwd=scene.parent)
    assert (done.exit_code, done.stdout) == (0, "scene.gpkg\n") and "9 of 9 tiles labelled" in done.stderr
    assert names(scene) == {"scene.gpkg"}
    assert len(geopandas.read_file(scene.parent / "scene.gpkg", layer="tiles")) == 9


def test_a_shard_without_tiles_is_finished(scene: Path, tiny_bundle: Bundle) -> None:
    result = classify(scene, tiny_bundle, "--shard", "1/10", "-o", "out.fgb")
    assert (result.exit_code, result.stdout) == (0, "out.fgb.1-of-10.bimors-journal\n")
    assert "shard 1/10 has no tiles" in result.stderr and "loading the model" not in result.stderr
    again = classify(scene, tiny_bundle, "--shard", "1/10", "-o", "out.fgb")
    assert again.exit_code == 2 and "--resume" in again.stderr


def test_a_dry_run_says_the_share(scene: Path, tiny_bundle: Bundle) -> None:
    result = classify(scene, tiny_bundle, "--shard", "2/2", "--dry-run", "--device", "cpu,cpu")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "5 tiles of 9 in shard 2/2" in result.stderr and "on cpu alone, one of 2 devices" in result.stderr
    empty = classify(scene, tiny_bundle, "--shard", "1/10", "--dry-run")
    assert empty.exit_code == 0 and "0 tiles of 9 in shard 1/10" in empty.stderr
    assert names(scene) == set()


def test_nothing_to_merge_is_wrong_usage(tmp_path: Path) -> None:
    assert bimors("merge", cwd=tmp_path).exit_code == 2
    assert bimors("merge", "out.gpkg", cwd=tmp_path).exit_code == 2
    stream = bimors("merge", "-", "a.bimors-journal", cwd=tmp_path)
    assert stream.exit_code == 2 and "not into a stream" in stream.stderr


def test_one_device_where_one_is_meant(scene: Path, tiny_bundle: Bundle) -> None:
    result = bimors("bench", "--model", tiny_bundle.folder, "--device", "cpu,cpu", cwd=scene.parent)
    assert result.exit_code == 2 and "this command runs on one device" in result.stderr
