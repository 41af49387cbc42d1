"""Refining the answers of the embedded bundle on real pictures, as `bimors evaluate` shows it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bimors_cli.evaluation.evaluate import evaluate
from bimors_cli.evaluation.options import EvaluateOptions


@pytest.mark.shared
def test_refining_does_no_harm_to_a_bundle_that_learned_these_classes(shared: Path, tmp_path: Path) -> None:
    """RSSCN7's 838 test pictures, base and new classes; its features hardly tell more than its text reads."""
    evaluate(
        EvaluateOptions(
            sources=(str(shared / "imagery/rsscn7/images"),),
            heads=("zero-shot", "zero-shot:transductive"),
            protocols=("base-to-new",),
            output=str(tmp_path / "results"),
            device="cpu",
        )
    )
    results = json.loads((tmp_path / "results/results.json").read_text())
    plain, refined = (trial["answers"] for trial in results["trials"])
    assert len(plain) == len(refined) == 2
    for before, after in zip(plain, refined, strict=True):
        low, _ = before["accuracy"]["interval"]
        assert low <= after["accuracy"]["value"]
        assert after["calibration_error"] != before["calibration_error"]
        assert after["calibration_error"] < before["calibration_error"] + 0.02
