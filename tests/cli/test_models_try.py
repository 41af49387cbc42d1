"""`bimors models try` on a hub on this machine: a report to paste, and an exit code that says whether all went well."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load, save
from typer.testing import CliRunner, Result

import bimors_cli
from bimors_cli.bundle.loaded import Expected
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.bundle.schemas import check_schema
from bimors_cli.cli.main import app
from bimors_cli.errors import BundleError
from bimors_cli.model.clip import Clip, build_clip
from bimors_cli.pipeline.bundles.example import LABELS, example_hash
from bimors_cli.pipeline.bundles.tried import TileAnswer, compare
from tests.pipeline.bundles.test_clip_entry import SMALL
from tests.published_layouts.published import Published, as_catalog, published, use_hub

NAME = "bimors-b16"
STEPS = ("fetch", "verify", "classify", "caption", "embed captions", "compare")
WEIGHTS = "open_clip_model.safetensors"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Published]:
    monkeypatch.setenv("BIMORS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with published(NAME) as served, as_catalog(served.content):
        use_hub(served.hub, monkeypatch)
        yield served


def models(*args: object) -> Result:
    return CliRunner().invoke(app, ["models", *map(str, args)])


def steps(report: str) -> dict[str, tuple[str, str]]:
    """Return outcome and detail of each step of a report."""
    table = report.partition("### Steps")[2].splitlines()[4:]
    rows = [line.strip("|").split(" | ") for line in table[: table.index("") if "" in table else None]]
    return {name.strip(): (outcome, detail.strip()) for name, outcome, _, detail in rows}


def outcomes(report: str) -> list[str]:
    found = steps(report)
    assert tuple(found) == STEPS
    return [outcome for outcome, _ in found.values()]


def test_a_report_can_be_pasted_and_its_facts_recorded(world: Published, tmp_path: Path) -> None:
    result = models("try", NAME)
    assert result.exit_code == 0, (result.stdout, result.stderr)
    report = result.stdout
    assert report.startswith(f"## bimors models try {NAME}\n\n**All steps passed.**\n")
    assert outcomes(report) == ["passed"] * 5 + ["skipped"]
    assert f"| commit of clip | {world.hub.commit} |" in report and "| torch | " in report and "| platform | " in report
    content = world.hub.repositories["google-bert/bert-base-uncased"]["tokenizer.json"]
    line = f"| caption_encoder/tokenizer.json | {len(content):,} | {hashlib.sha256(content).hexdigest()} | no |"
    assert line in report and f"| clip/{WEIGHTS} | " in report and str(tmp_path) not in report
    assert len([line for line in report.partition("### Answers")[2].splitlines() if line[:3] in ("| 0", "| 5")]) == 2
    assert "never loaded by us" in models("show", NAME).stdout
    assert "1 of 1 bundles of the catalog were never loaded by us" in models("list").stderr

    # What a maintainer pastes is valid, and from then on the same weights are recognised.
    facts = json.loads(report.partition("```json")[2].partition("```")[0])
    for source in world.content["sources"].values():
        source.update(facts["sources"][source["repository"]])
    world.content["bundles"][0]["expected"] = facts["bundle"]["expected"]
    check_schema(tmp_path, world.content, "catalogue")
    with as_catalog(world.content):
        shown = models("show", NAME).stdout
        assert "never loaded" not in shown and f"loaded by bimors {bimors_cli.__version__} on " in shown
        assert "never loaded" not in models("list").stderr
        again = models("try", NAME, "--offline")
        assert again.exit_code == 0 and outcomes(again.stdout) == ["skipped"] + ["passed"] * 5
        assert "6 tiles as recorded; the largest difference is 0.000" in again.stdout
        world.content["bundles"][0]["expected"]["probabilities"][3] -= 0.1
    with as_catalog(world.content):
        other = models("try", NAME, "--offline")
        assert other.exit_code == 1 and outcomes(other.stdout)[-1] == "failed" and "tile 3 is " in other.stdout
        assert "```json" not in other.stdout


def test_a_step_that_fails_ends_the_try_and_is_in_the_report(world: Published) -> None:
    files = world.hub.repositories["timm/vit_base_patch16_clip_224.openai"]
    tensors = load(files[WEIGHTS])
    del tensors["visual.proj"]
    files[WEIGHTS] = save(tensors)
    source = world.content["sources"]["openai-vit-b-16"]["files"][0]
    refused = models("try", NAME)
    assert refused.exit_code == 1 and outcomes(refused.stdout) == ["failed", *["not run"] * 5]
    assert "is not the expected file" in refused.stdout and "**The step fetch failed.**" in refused.stdout
    source["size"] = source["sha256"] = None
    with as_catalog(world.content):
        result = models("try", NAME)
    assert result.exit_code == 1
    assert outcomes(result.stdout) == ["passed", "passed", "failed", "not run", "not run", "not run"]
    assert "missing tensor visual.proj" in steps(result.stdout)["classify"][1] and "Traceback" not in result.stdout
    assert f"error: {NAME}: the step classify failed: " in result.stderr and "hint: " in result.stderr
    assert "### Files" in result.stdout  # what was downloaded matters now


def test_an_error_that_nobody_thought_of_comes_with_its_traceback(
    world: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError(f"in {Path.home()}/secret")

    monkeypatch.setattr(Clip, "load", fail)
    result = models("try", NAME)
    assert result.exit_code == 1 and outcomes(result.stdout)[2] == "failed"
    assert "ZeroDivisionError: in ~/secret" in result.stdout and "Traceback (most recent call last)" in result.stdout


def test_names_that_cannot_be_tried(world: Published) -> None:
    for args, message in (
        (("nothing",), "no bundle or folder of that name"),
        ((NAME, "--offline"), f"--model {NAME}: this bundle is not installed"),
        ((NAME, "--captioner", "blip"), "blip: not a captioner"),
        ((NAME, "--device", "abacus"), "--device abacus: unknown device"),
        (("openclip:ViT-B-32",), "not a name of a CLIP"),
    ):
        result = models("try", *args)
        assert (result.exit_code, result.stdout) == (2, "") and message in result.stderr, (args, result.stderr)
    assert world.hub.requests == []


def test_the_embedded_model_answers_the_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIMORS_HOME", str(tmp_path / "home"))
    tried = bimors_cli.try_model("mini")
    assert tried.passed and [step.outcome for step in tried.steps] == ["skipped", *["passed"] * 4, "skipped"]
    assert [answer.labels[0] for answer in tried.answers][2::2] == ["pond", "pond"]  # as one sees
    assert tried.facts.example == example_hash() and set(tried.facts.labels) <= set(LABELS)
    assert all(answer.caption for answer in tried.answers) and tried.files == () and tried.size > 30e6


def test_a_model_of_bands_gets_an_image_of_its_bands(band_bundle: Bundle) -> None:
    tried = bimors_cli.try_model(band_bundle.folder)
    assert tried.passed, tried.steps
    assert len(tried.answers) == 6 and [step.outcome for step in tried.steps[3:]] == ["skipped"] * 3


def test_answers_are_compared_by_the_probability_of_the_recorded_label() -> None:
    answers = [TileAnswer(("pond", "meadow"), (0.5, 0.49)), TileAnswer(("forest", "pond"), (0.9, 0.05))]
    near = Expected("0" * 64, ("meadow", "forest"), (0.5, 0.88))
    assert "largest difference is 0.020" in compare(near, answers)
    for expected in (
        Expected("", ("meadow", "forest"), (0.6, 0.9)),
        Expected("", ("farmland", "forest"), (0.5, 0.9)),
        Expected("", ("meadow",), (0.5,)),
    ):
        with pytest.raises(BundleError, match="recorded"):
            compare(expected, answers)


def test_a_clip_of_the_hub_that_is_not_in_the_catalog(world: Published) -> None:
    config = {"model_cfg": SMALL, "preprocess_cfg": {}}
    weights = {name: tensor.contiguous() for name, tensor in build_clip(SMALL).state_dict().items()}
    world.hub.repositories["me/mine"] = {"open_clip_config.json": json.dumps(config).encode(), WEIGHTS: save(weights)}
    result = models("try", "hf:me/mine")
    assert result.exit_code == 0, result.stderr
    assert outcomes(result.stdout) == ["passed"] * 3 + ["skipped"] * 3
    assert f"| clip/{WEIGHTS} | {len(save(weights)):,} | " in result.stdout


def test_no_text_of_an_error_breaks_the_table(world: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("a | b\nsecond line https://me:secret@host/x?token=1")

    monkeypatch.setattr(Clip, "load", fail)
    result = models("try", NAME)
    assert steps(result.stdout)["classify"][1] == r"ValueError: a \| b second line https://host/x"
    assert "secret" not in result.stdout
