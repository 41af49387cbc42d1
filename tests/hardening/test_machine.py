"""Machines unlike the developer's: few open files, caches that cannot be written, names of any bytes, pipes."""

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

Classify = Callable[..., Outcome]


def on_machine(cwd: str, args: tuple[str, ...], files: int | None, env: Mapping[str, str]) -> None:
    """Be the program, with another environment, and a limit of open files; in the fork."""
    os.chdir(cwd)
    os.environ.update(env)
    if files is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    bimors(*args)


@pytest.fixture
def classify(forks: Forks, tiny_bundle: Bundle, make_raster: MakeRaster, tmp_path: Path) -> Classify:
    """Classify a small scene; other options follow those that are given."""
    make_raster(np.random.default_rng(0).integers(1, 256, (3, 32, 32), dtype=np.uint8))
    (tmp_path / "labels.txt").write_text("forest\nriver\nport\n")
    how = ["--model", tiny_bundle.folder, "--tile-size", 16]

    def run(*args: object, scene: str = "scene.tif", files: int | None = None, **env: str) -> Outcome:
        given = ["classify", scene, "-l", "labels.txt", *how, *args]
        return forks.call(on_machine, str(tmp_path), tuple(map(str, given)), files, env)

    return run


def test_a_scene_whose_name_is_not_text(classify: Classify, tmp_path: Path) -> None:
    name = os.fsdecode(b"sc\xffne.tif")
    (tmp_path / "scene.tif").rename(tmp_path / name)
    ended = classify("-o", "out.gpkg", "--no-captions", scene=name)
    assert ended.code == 2 and "UTF-8" in ended.error and ended.hint == "hint: rename the file"


def test_a_path_that_the_encoding_of_standard_output_lacks(classify: Classify) -> None:
    ended = classify("-o", "wälder.gpkg", "--no-captions")
    assert (ended.code, ended.stdout) == (0, "wälder.gpkg\n"), ended.stderr


def test_a_cache_folder_that_cannot_be_made_costs_a_warning(classify: Classify) -> None:
    ended = classify("-o", "out.gpkg", "--captions", "all", HOME="/nonexistent", BIMORS_CACHE="/proc/none")
    assert ended.code == 0, ended.stderr
    assert ended.stderr.count("the caption cache is not used") == 1 and "set BIMORS_CACHE" in ended.stderr


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
