"""`bimors finetune` and `bimors evaluate` killed with -9, wherever that is worst."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bimors_cli.bundle.adapter import MANIFEST, open_adapter
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.evaluation.results import TABLES
from bimors_cli.evaluation.trial_log import RESULTS, TRIAL_LOG
from tests.hardening.forks import Fault, Forks, Outcome
from tests.training.test_run import draw_pictures

KILLED = -9
EPOCHS = 4
TRIALS = 5
SAVE = "bimors_cli.training.checkpoint:TrainingCheckpoint.save"
FILE = "bimors_cli.training.tensor_file:save_file"
LEDGER_ADD = "bimors_cli.evaluation.trial_log:TrialLog.add"
WRITE_RESULTS = "bimors_cli.evaluation.results:write_results"


class Lessons:
    """Pictures to learn from, and what undisturbed runs make of them."""

    def __init__(self, folder: Path, bundle: Bundle, forks: Forks) -> None:
        self.folder, self.bundle, self.forks = folder, bundle, forks
        levels = {"beach": 220, "forest": 60, "meadow": 110, "river": 150}
        self.pictures = draw_pictures(folder / "coast", levels, count=12)
        self.env = {"BIMORS_CACHE": str(folder / "cache")}
        self.calm = folder / "calm"
        self.calm.mkdir()
        done = self.finetune(self.calm)
        assert done.code == 0, done.stderr
        self.adapter = open_adapter(self.calm / "adapter", bundle).sha256
        done = self.evaluate(self.calm)
        assert done.code == 0, done.stderr
        self.findings = findings(self.calm)

    def finetune_args(self) -> list[object]:
        how = ["--head", "bimors", "--shots", 2, "--epochs", EPOCHS]
        return ["finetune", self.pictures, *how, *self.model(), "-o", "adapter"]

    def evaluate_args(self) -> list[object]:
        how = ["--epochs", 1, "--shots", 2, "--seeds", "1,2", "--heads", "zero-shot,coop,cache"]
        return ["evaluate", self.pictures, *how, *self.model(), "-o", "results"]

    def model(self) -> list[object]:
        return ["--model", self.bundle.folder]

    def finetune(self, cwd: Path, *args: object, faults: Sequence[Fault] = ()) -> Outcome:
        return self.forks.run([*self.finetune_args(), *args], cwd, faults=faults, env=self.env)

    def evaluate(self, cwd: Path, *args: object, faults: Sequence[Fault] = ()) -> Outcome:
        return self.forks.run([*self.evaluate_args(), *args], cwd, faults=faults, env=self.env)

    def assert_adapter(self, cwd: Path) -> None:
        """Whatever is at the output's name is the undisturbed adapter, to the last bit."""
        assert open_adapter(cwd / "adapter", self.bundle).sha256 == self.adapter
        assert {path.name for path in (cwd / "adapter").iterdir()} >= {MANIFEST, "README.md", "metrics.json"}

    def assert_results(self, cwd: Path) -> None:
        assert findings(cwd) == self.findings
        assert len(ledger(cwd)) == TRIALS
        assert {path.name for path in (cwd / "results").iterdir()} == {RESULTS, TABLES, TRIAL_LOG, "pictures"}


@pytest.fixture(scope="module")
def lessons(forks: Forks, tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Lessons:
    return Lessons(tmp_path_factory.mktemp("lessons"), tiny_bundle, forks)


def findings(cwd: Path) -> Any:
    """The results, but for how long they took."""

    def timeless(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: timeless(each) for key, each in value.items() if key != "seconds"}
        return [timeless(each) for each in value] if isinstance(value, list) else value

    return timeless(json.loads((cwd / "results" / RESULTS).read_text()))


def ledger(cwd: Path) -> dict[str, bytes]:
    """The whole lines of the ledger, by key."""
    path = cwd / "results" / TRIAL_LOG
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    whole = [line for line in lines if line.endswith(b"\n")]
    found = {json.loads(line)["key"]: line for line in whole}
    assert len(found) == len(whole), "a trial twice"
    return found


def go_on_training(lessons: Lessons, cwd: Path, faults: Sequence[Fault] = ()) -> Outcome:
    done = lessons.finetune(cwd, "--resume", faults=faults)
    if (cwd / "adapter").exists():
        lessons.assert_adapter(cwd)
    assert done.code == KILLED or (done.code == 0 and [p.name for p in cwd.iterdir()] == ["adapter"]), done.stderr
    return done


def go_on_evaluating(lessons: Lessons, cwd: Path, faults: Sequence[Fault] = ()) -> Outcome:
    before = ledger(cwd)
    done = lessons.evaluate(cwd, "--resume", faults=faults)
    if done.code == KILLED:
        assert before.items() <= ledger(cwd).items()
        return done
    assert done.code == 0, done.stderr
    if before:
        assert f"{TRIALS} trials, {len(before)} of them from an earlier run" in done.stderr
    lessons.assert_results(cwd)
    return done


def test_finetune_killed_again_and_again_on_the_way(lessons: Lessons, tmp_path: Path) -> None:
    for fault in (
        Fault("os:replace", about="plan.json"),
        Fault("bimors_cli.training.run:save_features"),
        Fault(SAVE, nth=1, act="kill after"),
        Fault(SAVE, nth=3),
        Fault("os:replace", nth=2, about="adapter.tmp-"),
        Fault("bimors_cli.training.checkpoint:TrainingCheckpoint.finish"),
    ):
        assert go_on_training(lessons, tmp_path, [fault]).code == KILLED, str(fault)
    # It is finished but for the removal of what it worked with.
    lessons.assert_adapter(tmp_path)
    refused = lessons.finetune(tmp_path)
    assert refused.code == 2


def test_the_earlier_adapter_survives_an_overwrite_that_is_killed(lessons: Lessons, tmp_path: Path) -> None:
    """Also between the two renames that a folder takes: then it comes back with the next run."""
    assert lessons.finetune(tmp_path, "--seed", 2).code == 0
    old = open_adapter(tmp_path / "adapter", lessons.bundle).sha256
    assert old != lessons.adapter
    for fault in (Fault(SAVE, nth=2), Fault("os:replace", about="replaced")):
        assert lessons.finetune(tmp_path, "--overwrite", faults=[fault]).code == KILLED
        assert open_adapter(tmp_path / "adapter", lessons.bundle).sha256 == old
    between = Fault("os:replace", act="kill after", about="replaced")
    assert lessons.finetune(tmp_path, "--overwrite", faults=[between]).code == KILLED
    assert not (tmp_path / "adapter").exists()
    again = lessons.finetune(tmp_path, "--overwrite", "--resume")
    assert again.code == 2
    done = lessons.finetune(tmp_path, "--overwrite", faults=[Fault("bimors_cli.training.adapter_folder:_fill")])
    assert done.code == KILLED
    assert open_adapter(tmp_path / "adapter", lessons.bundle).sha256 == old
    assert lessons.finetune(tmp_path, "--overwrite").code == 0
    lessons.assert_adapter(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_evaluate_killed_again_and_again_on_the_way(lessons: Lessons, tmp_path: Path) -> None:
    for fault in (
        Fault("bimors_cli.evaluation.evaluate:TrialLog"),
        Fault("bimors_cli.evaluation.feature_store:save_features", act="kill after"),
        Fault(LEDGER_ADD),
        Fault("os:fsync", nth=4),
        Fault(LEDGER_ADD, nth=2, act="kill after"),
        Fault(WRITE_RESULTS),
        Fault("os:replace", act="kill after", about=RESULTS),
    ):
        assert go_on_evaluating(lessons, tmp_path, [fault]).code == KILLED, str(fault)
    assert len(ledger(tmp_path)) == TRIALS
    go_on_evaluating(lessons, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["finetune", "evaluate"])
@pytest.mark.parametrize("target", ["os:fsync", "os:replace", "os:unlink", "os:rename", FILE, "os:open"])
def test_killed_at_every_call_there_is(lessons: Lessons, tmp_path: Path, command: str, target: str) -> None:
    """A fresh run for each call of a function, killed there, and then resumed."""
    about = str(tmp_path) if target == "os:open" else ""
    for nth in range(1, 100):
        cwd = tmp_path / str(nth)
        cwd.mkdir()
        fault = Fault(target, nth, ("kill", "kill after")[nth % 2], about)
        start = lessons.finetune if command == "finetune" else lessons.evaluate
        ended = start(cwd, faults=[fault])
        if ended.code == 0:
            break
        assert ended.code == KILLED, ended.stderr
        if command == "evaluate":
            go_on_evaluating(lessons, cwd)
        elif (cwd / "adapter").exists() and not (cwd / "adapter.training").exists():
            lessons.assert_adapter(cwd)
        else:
            done = lessons.finetune(cwd, "--resume")
            finished = (cwd / "adapter").exists() and done.code == 2  # killed while its working folder was removed
            assert done.code == 0 or finished, done.stderr
            lessons.assert_adapter(cwd)
    print(f"\n{nth - 1} kills of {command} at {target}")
    assert nth < 99


@pytest.mark.slow
@pytest.mark.parametrize("command", ["finetune", "evaluate"])
def test_killed_at_random_times(lessons: Lessons, tmp_path: Path, command: str) -> None:
    chance = random.Random(2)
    kills = runs = 0
    args = lessons.finetune_args() if command == "finetune" else lessons.evaluate_args()
    while kills < 20:
        cwd = tmp_path / str(runs)
        cwd.mkdir()
        runs += 1
        for _ in range(100):
            before = ledger(cwd)
            run = lessons.forks.start([*args, "--resume"], cwd, env=lessons.env)
            if run.kill_after(chance.uniform(0.05, 3)).code == 0:
                break
            kills += 1
            if (cwd / "adapter").exists():
                lessons.assert_adapter(cwd)
            assert before.items() <= ledger(cwd).items()
        if command == "finetune":
            lessons.assert_adapter(cwd)
            assert [path.name for path in cwd.iterdir()] == ["adapter"]
        else:
            lessons.assert_results(cwd)
    print(f"\n{kills} kills of {command} in {runs} runs")
