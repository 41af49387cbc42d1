"""Users without a home, few open files, paths that are not text, and other machines than the developer's."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from bimors_cli.bundle.manifest import Bundle
from tests.conftest import MakeRaster
from tests.hardening.forks import Forks, Outcome, bimors

UID = 12_345  # has no entry in /etc/passwd
Classify = Callable[..., Outcome]


def on_machine(
    cwd: str, args: tuple[str, ...], uid: int | None, files: int | None, env: Mapping[str, str | None]
) -> None:
    """Be the program, with another user, another environment, and a limit of open files; in the fork."""
    os.chdir(cwd)
    for name, value in env.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    if files is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    if uid is not None:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    bimors(*args)


@pytest.fixture
def classify(forks: Forks, tiny_bundle: Bundle, make_raster: MakeRaster, tmp_path: Path) -> Classify:
    """Classify a small scene; other options follow those that are given."""
    make_raster(np.random.default_rng(0).integers(1, 256, (3, 32, 32), dtype=np.uint8))
    (tmp_path / "labels.txt").write_text("forest\nriver\nport\n")
    how = ["--model", tiny_bundle.folder, "--tile-size", 16]

    def run(
        *args: object, scene: str = "scene.tif", uid: int | None = None, files: int | None = None, **env: str | None
    ) -> Outcome:
        given = ["classify", scene, "-l", "labels.txt", *how, *args]
        return forks.call(on_machine, str(tmp_path), tuple(map(str, given)), uid, files, env)

    return run


def test_a_scene_whose_name_is_not_text(classify: Classify, tmp_path: Path) -> None:
    """The name is bytes; it is written to standard output as it is."""
    name = os.fsdecode(b"sc\xffne.tif")
    (tmp_path / "scene.tif").rename(tmp_path / name)
    ended = classify("-o", "out.gpkg", "--no-captions", scene=name)
    assert "internal error" not in ended.stderr, ended.stderr


def test_a_path_that_the_encoding_of_standard_output_lacks(classify: Classify) -> None:
    ended = classify("-o", "wälder.gpkg", "--no-captions")
    assert (ended.code, ended.stdout) == (0, "wälder.gpkg\n"), ended.stderr


def test_without_a_home_captions_are_not_kept(classify: Classify) -> None:
    env = dict.fromkeys(("HOME", "BIMORS_CACHE", "XDG_CACHE_HOME"))
    ended = classify("-o", "out.gpkg", "--captions", "all", HOME="/nonexistent", BIMORS_CACHE="/proc/none")
    assert ended.code == 0, ended.stderr
    assert ended.stderr.count("the caption cache is not used") == 1 and "set BIMORS_CACHE" in ended.stderr
    assert set(env) >= {"HOME"}


def test_too_few_open_files_are_told(classify: Classify) -> None:
    ended = classify("-o", "out.gpkg", "--no-captions", files=13)
    assert ended.code == 1 and "too many open files" in ended.error and "ulimit -n" in ended.hint


def test_labels_from_a_pipe(classify: Classify, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").unlink()
    os.mkfifo(tmp_path / "labels.txt")
    writer = os.fork()
    if writer == 0:
        with (tmp_path / "labels.txt").open("w") as file:
            file.write("forest\nriver\nport\n")
        os._exit(0)
    ended = classify("-o", "out.gpkg", "--no-captions")
    os.waitpid(writer, 0)
    assert ended.code == 0, ended.stderr
