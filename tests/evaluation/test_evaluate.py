"""A comparison from end to end on the small random bundle."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from bimors_cli.bundle.manifest import Bundle, open_bundle
from bimors_cli.errors import InputError, Interrupted, JournalError, OutputExistsError
from bimors_cli.evaluation import feature_store as feature_store_module
from bimors_cli.evaluation import run_trials as trials_module
from bimors_cli.evaluation.datasets import open_data_sets
from bimors_cli.evaluation.evaluate import EvaluationResult, evaluate
from bimors_cli.evaluation.options import EvaluateOptions
from bimors_cli.evaluation.protocols import tasks_of
from bimors_cli.evaluation.trial_log import trial_key
from bimors_cli.evaluation.trials import trials_of
from bimors_cli.evaluation.variants import parse_variants
from bimors_cli.options.scene import SceneOptions
from bimors_cli.pipeline.inference import load as load_module
from bimors_cli.pipeline.inference.load import load_models
from bimors_cli.training.train import TrainViews
from tests.training.test_run import draw_pictures

LEVELS = {"beach": 220, "forest": 60, "meadow": 110, "river": 150}
HEADS = ("zero-shot", "coop", "cocoop", "bimors", "bimors+cache", "cache", "linear")


class Watch:
    """Progress that is remembered, and a stop after some trials."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stages: list[str] = []
        self.trials: list[str] = []
        self.pictures = 0
        self._stop_after = stop_after

    def begin(self, total: int, done: int = 0, stage: str = "") -> None:
        self.stages.append(stage)

    def advance(self, count: int) -> None:
        self.pictures += count

    def trial(self, done: int, total: int, told: str) -> None:
        self.trials.append(told)

    @property
    def signal_number(self) -> int | None:
        return None if self._stop_after is None or len(self.trials) < self._stop_after else 15


@pytest.fixture(scope="module")
def coast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pictures(tmp_path_factory.mktemp("evaluation") / "coast", LEVELS, count=40)


def options(coast: Path, bundle: Bundle, output: Path, **other: Any) -> EvaluateOptions:
    chosen = {"epochs": 2, "shots": (4,), "seeds": (1, 2), "heads": HEADS, **other}
    return EvaluateOptions(sources=(str(coast),), model=str(bundle.folder), output=str(output), **chosen)


def run(chosen: EvaluateOptions, watch: Watch | None = None) -> EvaluationResult:
    watch = watch or Watch()
    return evaluate(chosen, progress=watch, stop=watch)


def plain(folder: Path) -> dict[str, Any]:
    """The results without what differs from run to run."""
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    for part in (found, found["options"]):
        part.pop("seconds", None)
    for some in (found["trials"], [row for table in found["tables"] for row in table["rows"]]):
        for one in some:
            one.pop("seconds")
    return found


def test_all_heads_are_compared_and_everything_is_written(coast: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    watch = Watch()
    found = run(options(coast, tiny_bundle, tmp_path / "results"), watch)
    (table,) = found.tables
    assert [row.head for row in table.rows] == list(HEADS)
    assert found.trials == 1 + 6 * 2 == len(watch.trials) and found.repeated == 0
    assert all(len(row.cells["base"].values) == (1 if row.head == "zero-shot" else 2) for row in table.rows)
    assert table.rows[-1].head == "linear" and table.rows[-1].cells["new"].mean is None
    # Pictures are looked at once for all heads: test pictures, then each seed's.
    assert [what.split(": ")[1] for what in watch.stages] == [
        "test images", "training images", "random crops", "training images", "random crops",
    ]  # fmt: skip
    results = json.loads((tmp_path / "results" / "results.json").read_text())
    assert results["bundle"]["sha256"] == tiny_bundle.sha256
    assert len(results["trials"]) == found.trials
    assert results["data_sets"]["coast"]["classes"] == sorted(LEVELS)
    parameters = {row["head"]: row["parameters"] for row in results["tables"][0]["rows"]}
    assert parameters["zero-shot"] == 0 < parameters["coop"] < parameters["cocoop"] < parameters["bimors"]
    page = (tmp_path / "results" / "results.md").read_text()
    assert "| bimors+cache |" in page
    pictures = sorted((tmp_path / "results" / "pictures").iterdir())
    assert len(pictures) == 2 + 6 * 2 + 1  # bars, parameters; confusion of base and new, of linear's base
    for path in pictures:
        with Image.open(path) as picture:
            picture.verify()
    for name in (path.name for path in pictures if not path.name.startswith("confusion")):
        assert f"(pictures/{name})" in page
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == [
        "pictures", "results.json", "results.md", "trials.jsonl",
    ]  # fmt: skip


def test_test_pictures_are_never_learned_from(
    coast: Path, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: Any
) -> None:
    seen: list[torch.Tensor] = []
    init = trials_module.init_training

    def watched(choice: Any, models: Any, labels: Any, data: Any, config: Any) -> Any:
        assert isinstance(data.train, TrainViews)
        checked = [] if data.validation is None else [data.validation[0].image_feature]
        seen.extend([data.full_images.image_feature, *checked])
        return init(choice, models, labels, data, config)

    monkeypatch.setattr(trials_module, "init_training", watched)
    tested: list[torch.Tensor] = []
    store = feature_store_module.FeatureStore

    class Watched(store):  # type: ignore[misc, valid-type]
        def test_features(self, classes: Any) -> Any:
            found = super().test_features(classes)
            tested.append(found[0].image_feature)
            return found

    monkeypatch.setattr(feature_store_module, "FeatureStore", Watched)
    run(options(coast, tiny_bundle, tmp_path / "results", heads=("coop",)))
    train, test = torch.cat(seen), torch.cat(tested)
    assert len(train) and len(test)
    assert float((train @ test.T).max()) < 1 - 1e-7


def test_an_interrupted_run_goes_on_to_the_same_results(coast: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    run(options(coast, tiny_bundle, tmp_path / "whole"))
    watch = Watch(stop_after=5)
    with pytest.raises(Interrupted, match="5 of 13 trials"):
        run(options(coast, tiny_bundle, tmp_path / "cut"), watch)
    assert not (tmp_path / "cut" / "results.json").exists()
    with pytest.raises(OutputExistsError, match="unfinished run"):
        run(options(coast, tiny_bundle, tmp_path / "cut"))
    again = Watch()
    found = run(options(coast, tiny_bundle, tmp_path / "cut", resume=True), again)
    assert found.repeated == 5 and len(again.trials) == 8
    assert not any("test images" in what for what in again.stages)  # what was looked at is kept as well
    assert plain(tmp_path / "cut") == plain(tmp_path / "whole")


def test_more_heads_and_seeds_are_added_to_finished_results(coast: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    output = tmp_path / "results"
    run(options(coast, tiny_bundle, output, heads=("coop",)))
    with pytest.raises(OutputExistsError, match="holds results"):
        run(options(coast, tiny_bundle, output, heads=("coop",)))
    watch = Watch()
    found = run(options(coast, tiny_bundle, output, heads=("coop", "cache"), seeds=(1, 2, 3), resume=True), watch)
    assert (found.trials, found.repeated, len(watch.trials)) == (6, 2, 4)
    nothing = Watch()
    found = run(options(coast, tiny_bundle, output, heads=("coop", "cache"), seeds=(1, 2, 3), resume=True), nothing)
    assert found.repeated == 6 and not nothing.stages
    anew = run(options(coast, tiny_bundle, output, heads=("coop",), overwrite=True))
    assert anew.repeated == 0


def test_evidence_is_kept_for_other_runs(coast: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    kept = {"evidence": str(tmp_path / "deep" / "evidence"), "seeds": (1,)}
    run(options(coast, tiny_bundle, tmp_path / "a", heads=("coop",), **kept))
    watch = Watch()
    run(options(coast, tiny_bundle, tmp_path / "b", heads=("cache",), protocols=("plain",), **kept), watch)
    assert not watch.stages and len(watch.trials) == 1
    run(options(coast, tiny_bundle, tmp_path / "c", heads=("bimors",), **kept), watch)
    assert watch.stages  # without captions, so far


def with_manifest(bundle: Bundle, folder: Path, **changes: Any) -> Bundle:
    """A copy of a bundle whose manifest says something else."""
    shutil.copytree(bundle.folder, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}))
    return open_bundle(folder)


def test_refined_answers_are_rows_of_their_own_and_are_not_learned_twice(
    coast: Path, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: Any
) -> None:
    # Of so few pictures transductive makes little; what is asked here is whose answers it is given.
    monkeypatch.setattr(trials_module, "transductive", lambda _, found: found**2 / (found**2).sum(1, keepdims=True))
    # Random weights are sure of everything: there would be nothing to refine.
    unsure = with_manifest(tiny_bundle, tmp_path / "unsure", zero_shot_temperature=50.0)
    learned = []
    init = trials_module.init_training
    monkeypatch.setattr(trials_module, "init_training", lambda *given: learned.append(given[0]) or init(*given))
    heads = ("zero-shot", "zero-shot:transductive", "bimors", "linear:transductive", "linear", "bimors:transductive")
    kept = {"evidence": str(tmp_path / "evidence"), "seeds": (1,)}
    found = run(options(coast, unsure, tmp_path / "together", heads=heads, **kept))
    assert found.trials == 6 and [choice.head for choice in learned] == ["bimors", "linear"]
    (table,) = found.tables
    assert [row.head for row in table.rows] == list(heads)
    rows = {row.head: row for row in table.rows}
    assert rows["linear:transductive"].cells["new"].mean is None and rows["linear:transductive"].errors["mean"].values
    results = plain(tmp_path / "together")
    told = {row["head"]: row["calibration_error"] for row in results["tables"][0]["rows"]}
    for head in ("zero-shot", "bimors", "linear"):  # before and after
        before, after = told[head], told[f"{head}:transductive"]
        assert set(before) == {"base", "new", "mean"} and before != after
        for one in (*before.values(), *after.values()):
            assert one["mean"] is None or 0 <= one["mean"] <= 1
    scores = {trial["contestant"]["name"]: trial["answers"][0] for trial in results["trials"]}
    assert scores["bimors"]["calibration_error"] == told["bimors"]["base"]["mean"]
    page = (tmp_path / "together" / "results.md").read_text()
    assert "| ECE |" in page and "| bimors:transductive |" in page and "expected calibration error" in page
    # Alone they come to the same, and are added to what is there.
    run(options(coast, unsure, tmp_path / "alone", heads=("bimors",), **kept))
    more = run(options(coast, unsure, tmp_path / "alone", heads=("bimors", "bimors:transductive"), resume=True, **kept))
    assert more.repeated == 1
    alone = {trial["contestant"]["name"]: trial for trial in plain(tmp_path / "alone")["trials"]}
    both = {trial["contestant"]["name"]: trial for trial in results["trials"]}
    assert alone == {name: both[name] for name in alone}


def test_a_refined_answer_is_that_of_all_test_pictures_together(
    coast: Path, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: Any
) -> None:
    seen = []
    refine = trials_module.transductive

    def watched(features: Any, probabilities: Any) -> Any:
        seen.append((features.shape, probabilities.shape))
        return refine(features, probabilities)

    monkeypatch.setattr(trials_module, "transductive", watched)
    heads = ("zero-shot:transductive",)
    run(options(coast, tiny_bundle, tmp_path / "results", heads=heads, protocols=("base-to-new", "plain")))
    test = json.loads((tmp_path / "results" / "results.json").read_text())["data_sets"]["coast"]["test"]
    (base, _), (new, _), (whole, answers) = seen
    assert base[0] + new[0] == whole[0] == test and answers == (test, 4)


def test_zero_shot_reads_all_templates_or_one(coast: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    heads = ("zero-shot", "zero-shot:one-template")
    run(options(coast, tiny_bundle, tmp_path / "several", heads=heads))
    one = with_manifest(tiny_bundle, tmp_path / "one-bundle", templates=[tiny_bundle.one_template])
    run(options(coast, one, tmp_path / "one", heads=heads))
    several, single = plain(tmp_path / "several"), plain(tmp_path / "one")
    assert several["bundle"]["templates"] == list(tiny_bundle.templates) and len(single["bundle"]["templates"]) == 1
    (all_, first), (same, again) = ([trial["answers"] for trial in some["trials"]] for some in (several, single))
    assert first == same == again and all_ != first


def test_logs_of_earlier_versions_are_understood(coast: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    """A key holds nothing new where a variant is what it always was."""
    data_sets = {one.name: one for one in open_data_sets([str(coast)], [], SceneOptions())}
    chosen = options(coast, tiny_bundle, tmp_path / "results", heads=("zero-shot", "zero-shot:one-template", "bimors"))
    tasks = tasks_of("plain", {name: one.classes for name, one in data_sets.items()})
    first = replace(tiny_bundle, own_templates=(tiny_bundle.one_template,))
    keys = {}
    for bundle in (first, tiny_bundle):
        for trial in trials_of(tasks, chosen):
            keys.setdefault(trial.variant.name, []).append(trial_key(trial, bundle, data_sets, chosen))
    assert keys["zero-shot"][0] != keys["zero-shot"][1] and keys["bimors"][0] == keys["bimors"][2]
    assert len({keys["zero-shot"][0], *keys["zero-shot:one-template"]}) == 2
    before = {
        "bundle": tiny_bundle.sha256,
        "head": {"name": None, "choice": None, "captions": True, "patch_tokens": True, "rate": None, "epochs": None},
        "learned": None,
        "asked": [[data_sets["coast"].sha256, [0, 1, 2, 3]]],
        "shots": 0,
        "seed": 0,
        "recipe": None,
        "draw": None,
        "scene": [(), "auto", None],
    }
    assert keys["zero-shot"][0] == hashlib.sha256(json.dumps(before, sort_keys=True).encode()).hexdigest()


def test_a_changed_picture_is_looked_at_again(tiny_bundle: Bundle, tmp_path: Path) -> None:
    folder = draw_pictures(tmp_path / "coast", LEVELS, count=30)
    run(options(folder, tiny_bundle, tmp_path / "results", heads=("coop",)))
    Image.new("RGB", (40, 48), (1, 2, 3)).save(folder / "beach" / "beach_0.png")
    found = run(options(folder, tiny_bundle, tmp_path / "results", heads=("coop",), resume=True))
    assert found.repeated == 0


def test_few_shots_are_the_first_of_many(coast: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    run(options(coast, tiny_bundle, tmp_path / "both", heads=("coop", "linear"), shots=(1, 4)))
    both = plain(tmp_path / "both")
    four = [trial for trial in both["trials"] if trial["shots"] == 4]
    run(options(coast, tiny_bundle, tmp_path / "four", heads=("coop", "linear"), shots=(4,)))
    assert four == plain(tmp_path / "four")["trials"]
    page = (tmp_path / "both" / "results.md").read_text()
    assert "base_to_new-coast-harmonic_mean-shots.png" in page and "1 shot" in page


def test_without_heads_that_listen_no_captions_are_made(
    coast: Path, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: Any
) -> None:
    loaded = []
    load = load_module.load_models

    def watched(bundle: Any, device: str, *, captions: bool) -> Any:
        loaded.append(captions)
        return load(bundle, device, captions=captions)

    monkeypatch.setattr(load_module, "load_models", watched)
    run(options(coast, tiny_bundle, tmp_path / "deaf", heads=("coop", "bimors:no-captions"), seeds=(1,)))
    run(options(coast, tiny_bundle, tmp_path / "both", heads=("bimors", "bimors:no-captions"), seeds=(1,)))
    assert loaded == [False, True]
    deaf, both = plain(tmp_path / "deaf")["trials"][1], plain(tmp_path / "both")["trials"][1]
    assert deaf["answers"] == both["answers"]


def test_without_its_senses_a_head_hears_and_sees_nothing(tiny_bundle: Bundle) -> None:
    models = load_models(tiny_bundle, "cpu")
    pictures = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    seen = models.encode(pictures)
    deaf, blind, whole = parse_variants(["bimors:no-captions", "bimors:no-patch-tokens", "bimors"])
    muted = load_models(tiny_bundle, "cpu", captions=False).encode(pictures)
    heard = trials_module._ablate(seen, deaf, models)
    assert torch.equal(heard.caption_embedding, muted.caption_embedding) and heard.captions == muted.captions
    assert torch.equal(heard.patch_tokens, seen.patch_tokens)
    shut = trials_module._ablate(seen, blind, models)
    assert not shut.patch_tokens.any() and torch.equal(shut.caption_embedding, seen.caption_embedding)
    assert trials_module._ablate(seen, whole, models) is seen


def test_official_quirks_choose_on_test_pictures_and_train_in_half(
    coast: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    run(options(coast, tiny_bundle, tmp_path / "a", heads=("bimors", "coop"), seeds=(1,)))
    run(options(coast, tiny_bundle, tmp_path / "b", heads=("bimors", "coop"), seeds=(1,), official_quirks=True))
    usual, quirky = plain(tmp_path / "a"), plain(tmp_path / "b")
    assert (
        quirky["trials"][0]["contestant"]["choice"]["half"] and not usual["trials"][0]["contestant"]["choice"]["half"]
    )
    # The projection is not learned.
    assert quirky["trials"][0]["parameters"] < usual["trials"][0]["parameters"]
    chosen_on_test = quirky["trials"][1]
    assert chosen_on_test["validation_accuracy"] == pytest.approx(chosen_on_test["answers"][0]["accuracy"]["value"])
    assert "deviations of the published implementation" in (tmp_path / "b" / "results.md").read_text()
    (row,) = [row for row in parse_variants(["coop"]) if row.choice]
    assert row.with_official_quirks() == row


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"protocols": ("both",)}, "--protocol both"),
        ({"protocols": ()}, "--protocol: no value"),
        ({"heads": ("maple",)}, "maple"),
        ({"shots": (4, 4)}, "--shots: a value is given twice"),
        ({"shots": (-1,)}, "--shots -1"),
        ({"seeds": ()}, "--seeds: no value"),
        ({"epochs": 0}, "--epochs 0"),
        ({"overwrite": True, "resume": True}, "use one of them"),
        ({"protocols": ("cross-dataset",)}, "at least 2 data sets"),
    ],
)
def test_refusals(coast: Path, tiny_bundle: Bundle, tmp_path: Path, change: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        run(options(coast, tiny_bundle, tmp_path / "results", **change))
    assert told in f"{caught.value.message} {caught.value.hint}"
    assert not (tmp_path / "results").exists()


def test_a_folder_of_the_user_is_not_touched(coast: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for change in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(InputError, match="not a folder of results"):
            run(options(coast, tiny_bundle, tmp_path / "mine", **change))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_two_runs_on_one_output(coast: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    class Second(Watch):
        def trial(self, done: int, total: int, told: str) -> None:
            super().trial(done, total, told)
            with pytest.raises(JournalError, match="another run"):
                run(options(coast, tiny_bundle, tmp_path / "results", heads=("zero-shot",), resume=True))

    watch = Second()
    evaluate(options(coast, tiny_bundle, tmp_path / "results", heads=("zero-shot",)), progress=watch, stop=watch)
    assert len(watch.trials) == 1
