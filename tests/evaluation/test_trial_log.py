"""The log: what is in it stays, what was cut short is run again."""

from __future__ import annotations

from pathlib import Path

import pytest

from bimors_cli.errors import JournalError, OutputError
from bimors_cli.evaluation.trial_log import TrialLog
from bimors_cli.evaluation.trials import Outcome, Trial
from bimors_cli.evaluation.variants import HeadVariant

TRIAL = Trial(HeadVariant("zero-shot", None), None, 0, 0, ())


def outcome(seconds: float) -> Outcome:
    return Outcome(0, 1.0, None, None, seconds, ({"accuracy": {"value": 0.5}}, None))


def test_what_is_added_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    log = TrialLog(path)
    for i in range(3):
        log.add(f"key {i}", TRIAL, outcome(i))
    again = TrialLog(path)
    assert [again[f"key {i}"] for i in range(3)] == [outcome(i) for i in range(3)]
    assert "key 3" not in again


def test_a_line_cut_anywhere_costs_that_trial_alone(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    log = TrialLog(path)
    log.add("first", TRIAL, outcome(1))
    whole = path.stat().st_size
    log.add("second", TRIAL, outcome(2))
    content = path.read_bytes()
    for size in range(whole, len(content) - 1):
        path.write_bytes(content[:size])
        cut = TrialLog(path)
        assert "first" in cut and "second" not in cut
    cut.add("third", TRIAL, outcome(3))
    again = TrialLog(path)
    assert again["third"] == outcome(3) and again["first"] == outcome(1) and "second" not in again


def test_damage_in_the_middle_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    log = TrialLog(path)
    for i in range(2):
        log.add(f"key {i}", TRIAL, outcome(i))
    path.write_bytes(b"x" + path.read_bytes())
    with pytest.raises(JournalError, match="line 1: invalid entry"):
        TrialLog(path)


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        TrialLog(tmp_path / "missing" / "trials.jsonl").add("key", TRIAL, outcome(1))
