"""`bimors evaluate` on data sets from outside: streams, exit codes, kill and resume."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli.main import app
from tests.hardening.forks import GO, Fault, Forks
from tests.training.test_run import draw_pictures

LEVELS = {"beach": 220, "forest": 60, "meadow": 110, "river": 150}


def bimors(*args: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, args)])


@pytest.fixture(scope="module")
def coast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pictures(tmp_path_factory.mktemp("cli_evaluate") / "coast", LEVELS, count=40)


def arguments(coast: Path, bundle: Bundle, output: Path) -> list[str]:
    chosen = ["--model", str(bundle.folder), "-o", str(output), "--epochs", "1", "--shots", "2"]
    return [str(coast), *chosen, "--seeds", "1,2", "--heads", "zero-shot,coop,cache"]


def test_the_folder_goes_to_stdout_and_the_tables_to_stderr(coast: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    result = bimors(*arguments(coast, tiny_bundle, tmp_path / "results"))
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{tmp_path / 'results'}\n"
    assert "base-to-new, coast, 2 shots" in result.stderr and "harmonic mean, %" in result.stderr
    assert "5 of 5: cache trained on coast" in result.stderr
    again = bimors(*arguments(coast, tiny_bundle, tmp_path / "results"), "--resume", "--json")
    assert json.loads(again.stdout)["tables"][0]["columns"] == ["base", "new", "harmonic mean"]
    assert "5 of them from an earlier run" in again.stderr
    silent = bimors(*arguments(coast, tiny_bundle, tmp_path / "results"), "--resume", "-q")
    assert silent.stderr == "" and silent.exit_code == 0


def test_several_protocols_in_one_command(coast: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    other = draw_pictures(tmp_path / "lakes", {"forest": 50, "lake": 160}, count=40)
    result = bimors(
        coast, other, "--protocol", "plain, cross-dataset", "--heads", "zero-shot,bimors", "--seeds", "1",
        "--epochs", "1", "--shots", "1", "--model", tiny_bundle.folder, "-o", tmp_path / "results",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    for title in ("plain, all classes", "cross-dataset, from coast", "cross-dataset, from lakes"):
        assert title in result.stderr
    assert "3 of 3" in result.stderr  # zero-shot, and bimors once from each


@pytest.mark.parametrize(
    ("args", "told", "hint"),
    [
        (["missing"], "missing does not exist", "FOLDER/CLASS"),
        (["out.gpkg"], "a layer needs a reference", "--reference"),
        (["a.gpkg", "b.gpkg", "--reference", "t.gpkg", "--field", "class"], "one layer, 2 were given", "--reference"),
        (["a.gpkg", "--reference", "t.gpkg"], "needs --field", "class"),
        (["COAST", "--seeds", "one"], "--seeds one: not whole numbers", "1,2,3"),
        (["COAST", "--protocol", "few"], "--protocol few: unknown", "base-to-new"),
        (["COAST", "--heads", "bimors,maple"], "'maple'", "zero-shot, coop"),
        (["COAST", "--protocol", "cross-dataset"], "at least 2 data sets", "add a data set"),
        (["COAST", "--shots", "9", "--heads", "coop", "--device", "cuda:99"], "cuda:99", ""),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_a_hint(
    coast: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], told: str, hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = bimors(*(str(coast) if arg == "COAST" else arg for arg in args))
    assert result.exit_code == 2, result.stderr
    first, *rest = result.stderr.strip().splitlines()
    assert first.startswith("error: ") and told in first and len(rest) <= 1
    assert hint in "".join(rest)
    assert result.stdout == ""


def test_fewer_pictures_than_shots_are_used_and_said(tiny_bundle: Bundle, tmp_path: Path) -> None:
    few = draw_pictures(tmp_path / "few", LEVELS, count=20)
    result = bimors(
        few, "--shots", "16", "--seeds", "1", "--heads", "cache", "--epochs", "1", "--model", tiny_bundle.folder,
        "-o", tmp_path / "results",
    )  # fmt: skip
    assert result.exit_code == 0
    assert "fewer than 16" in result.stderr
    assert json.loads((tmp_path / "results" / "results.json").read_text())["data_sets"]["few"]["pictures"] == 80


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is of POSIX")
def test_killed_and_resumed_it_repeats_no_finished_trial(
    coast: Path, tiny_bundle: Bundle, tmp_path: Path, forks: Forks
) -> None:
    args = ["evaluate", *arguments(coast, tiny_bundle, tmp_path / "results")]
    trials = tmp_path / "results" / "trials.jsonl"
    third = Fault("bimors_cli.evaluation.run_trials:run_trials", nth=3, act="wait")
    run = forks.start(args, tmp_path, faults=[third])
    run.when(lambda: trials.exists() and trials.read_bytes().count(b"\n") >= 2).send(signal.SIGKILL)
    assert run.wait().code == -signal.SIGKILL
    finished = trials.read_bytes()
    assert finished.count(b"\n") == 2
    again = forks.run([*args, "--resume"], tmp_path)
    assert again.code == 0, again.stderr
    assert "2 of them from an earlier run" in again.stderr and trials.read_bytes().startswith(finished)
    assert trials.read_bytes().count(b"\n") == 5


@pytest.mark.skipif(os.name == "nt", reason="signals are of POSIX")
def test_ctrl_c_keeps_what_is_finished(coast: Path, tiny_bundle: Bundle, tmp_path: Path, forks: Forks) -> None:
    """In the middle of the training of the second trial: zero-shot is finished, coop is not."""
    args = ["evaluate", *arguments(coast, tiny_bundle, tmp_path / "results"), "--epochs", "4"]
    trials = tmp_path / "results" / "trials.jsonl"
    epoch = Fault("bimors_cli.training.train:_is_best", act="wait")
    run = forks.start(args, tmp_path, faults=[epoch])
    run.when(lambda: trials.exists() and trials.read_bytes().count(b"\n") == 1).send(signal.SIGINT)
    (tmp_path / GO).touch()
    ended = run.wait()
    assert ended.code == 130, ended.stderr
    assert ended.stdout == "" and "after 1 of 5 trials" in ended.error and "--resume" in ended.hint
