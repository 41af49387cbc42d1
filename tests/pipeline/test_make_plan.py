"""What decides rows: synonyms and templates do, and change nothing for runs without them."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bimors_cli.bundle.manifest import MANIFEST, Bundle
from bimors_cli.errors import InputError, JournalError, OutputExistsError
from bimors_cli.labels import Labels
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.options.templates import REMOTE_SENSING
from bimors_cli.output.geopackage import read_provenance
from bimors_cli.pipeline.make_plan import make_plan
from bimors_cli.pipeline.plan import Plan
from tests import api
from tests.conftest import MakeRaster

MakePlan = Callable[..., Plan]


@pytest.fixture
def scene(make_raster: MakeRaster) -> str:
    return make_raster(np.random.default_rng(0).integers(1, 256, (3, 32, 64), dtype=np.uint8))


@pytest.fixture
def plan(scene: str, tiny_bundle: Bundle) -> MakePlan:
    def make(*labels: str, model: Path = tiny_bundle.folder, **options: Any) -> Plan:
        lines = Labels.of(labels or ["forest", "river"])
        return make_plan(ClassifyOptions(scenes=(scene,), labels=lines, model=str(model), tile_size="32", **options))

    return make


def test_runs_without_either_say_what_they_always_said(plan: MakePlan) -> None:
    rows = plan().run_key()
    assert rows["labels"] == ["forest", "river"] and not {"synonyms", "templates"} & set(rows)


def test_synonyms_decide_rows(plan: MakePlan) -> None:
    found = [
        plan(*labels).run_key()
        for labels in (["forest", "river"], ["forest | woodland", "river"], ["forest", "river | woodland"])
    ]
    assert all(rows["labels"] == ["forest", "river"] for rows in found)
    assert [rows.get("synonyms") for rows in found] == [None, {"forest": ["woodland"]}, {"river": ["woodland"]}]


def test_templates_decide_rows_of_zero_shot(plan: MakePlan, tiny_bundle: Bundle, tmp_path: Path) -> None:
    assert plan(head="zero-shot").run_key()["templates"] == list(REMOTE_SENSING)
    asked = plan(head="zero-shot", templates=("{}", "a {}."))
    assert asked.run_key()["templates"] == ["{}", "a {}."] == list(asked.templates)
    # As runs were before there were templates.
    assert "templates" not in plan(head="zero-shot", templates=("a photo of a {}.",)).run_key()
    shutil.copytree(tiny_bundle.folder, tmp_path / "own")
    manifest = json.loads((tmp_path / "own" / MANIFEST).read_text())
    (tmp_path / "own" / MANIFEST).write_text(json.dumps({**manifest, "templates": ["a photo of a {}."]}))
    assert "templates" not in plan(head="zero-shot", model=tmp_path / "own").run_key()


def test_the_embedded_bundle_says_what_it_always_said(plan: MakePlan) -> None:
    rows = plan(model=Path("mini"), head="zero-shot").run_key()
    assert rows["head"] == "zero-shot" and "templates" not in rows


def test_templates_are_for_zero_shot_alone(plan: MakePlan, tiny_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not supported with the adapter untrained") as caught:
        plan(templates=("a {}.",))
    assert "--head zero-shot" in str(caught.value.hint)
    with pytest.raises(InputError, match=r"has no \{\}"):
        plan(head="zero-shot", templates=("forest",))
    # A bundle without an adapter answers zero-shot.
    shutil.copytree(tiny_bundle.folder, tmp_path / "bare", ignore=shutil.ignore_patterns("adapter"))
    assert plan(model=tmp_path / "bare", templates=("a {}.",)).templates == ("a {}.",)
    assert plan().templates == ()


def test_words_of_synonyms_are_looked_up(plan: MakePlan) -> None:
    found = plan("forest | solar_panels | river", "pond | lake", "port")
    assert found.unknown_words() == {"forest": ("solar", "panels"), "pond": ("lake",)}


def test_a_label_is_new_to_the_adapter_if_all_its_names_are(plan: MakePlan) -> None:
    assert plan("woodland | Forest", "lake | pond", "river").new_labels() == ("lake",)


def test_a_run_goes_on_with_the_same_names_and_templates_alone(
    scene: str, tiny_bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def run(*labels: str, **options: Any) -> Any:
        return api.classify(
            scene, labels, tmp_path / "out.gpkg", model=str(tiny_bundle.folder), tile_size="32", device="cpu",
            head="zero-shot", **options,
        )  # fmt: skip

    names, templates = ("forest | woodland", "river"), ("a {}.", "{}")
    with caplog.at_level(logging.WARNING):
        summary = run(*names, templates=templates)
    assert sum(summary.labels.values()) == 2 and set(summary.labels) <= {"forest", "river"}
    provenance = read_provenance(tmp_path / "out.gpkg", "tiles")
    assert list(json.loads(provenance["labels"])) == ["forest", "river"]
    assert json.loads(provenance["run"])["synonyms"] == {"forest": ["woodland"]}
    run(*names, templates=templates, resume=True)
    for changed, other in ((("forest", "river"), templates), (names, ("a {}.",)), (names, ())):
        with pytest.raises((JournalError, OutputExistsError)):
            run(*changed, templates=other, resume=True)
