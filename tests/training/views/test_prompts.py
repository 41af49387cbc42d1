"""The prompt learner as one of the views, with a tiny bundle."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file

from bimors_cli.bundle.adapter import MANIFEST, open_adapter
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import BundleError, InputError, Interrupted
from bimors_cli.fewshot.ensemble import Candidate, Selection
from bimors_cli.fewshot.folds import leave_groups_out
from bimors_cli.labels import Labels
from bimors_cli.model.frozen_models import FrozenModels
from bimors_cli.pipeline.adapter_ensemble import LEARNER, read_adapter_ensemble
from bimors_cli.pipeline.inference.load import load_models
from bimors_cli.pipeline.inference.view_classifier import make_view_classifier
from bimors_cli.pipeline.inference.view_encoder import ViewEncoder
from bimors_cli.pipeline.progress import NullProgress
from bimors_cli.training.examples.base import Examples
from bimors_cli.training.examples.folders import from_folder
from bimors_cli.training.finetune import finetune
from bimors_cli.training.options import FinetuneOptions
from bimors_cli.training.views import run as run_module
from bimors_cli.training.views.learn import Learned
from bimors_cli.training.views.prompts import FOLDS, MOST_EXAMPLES, TrainedPrompts, prompts_may_help, train_prompts

CLASSES = ("beach", "forest", "river")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("prompts") / "coast"
    random = np.random.default_rng(3)
    for name, level in zip(CLASSES, (220, 60, 130), strict=True):
        (source / name).mkdir(parents=True)
        for number in range(4):
            pixels = np.clip(random.normal(level, 25, (32, 32, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(source / name / f"{number}.png")
    return source


@pytest.fixture(scope="module")
def examples(folder: Path) -> Examples:
    return from_folder(folder)


def trained(models: FrozenModels, examples: Examples, after_run: Callable[[], None] = lambda: None) -> TrainedPrompts:
    encoder = ViewEncoder.create(models, (), Labels.literal(examples.labels.names))
    labels = np.array([example.label for example in examples.examples], np.intp)
    folds = leave_groups_out([example.source_id for example in examples.examples], labels, 1)
    return train_prompts(encoder, examples, folds, 1, NullProgress(), after_run)


def test_left_out_answers_know_nothing_of_their_own_fold(tiny_models: FrozenModels, examples: Examples) -> None:
    first = trained(tiny_models, examples)
    assert first.left_out.shape == (len(examples), len(CLASSES))
    np.testing.assert_allclose(np.exp(first.left_out).sum(axis=1), 1, atol=1e-5)
    labels = np.array([example.label for example in examples.examples], np.intp)
    groups = [str(row) for row in range(len(examples))]
    folds = leave_groups_out([example.source_id for example in examples.examples], labels, 1)
    assert folds.group_of is not None
    thirds = leave_groups_out([str(group) for group in folds.group_of], labels, 1, FOLDS)
    assert len(thirds.masks) == FOLDS and len(groups) == sum(int(mask.sum()) for mask in thirds.masks)
    # Examples of one fold count a thousandfold: its own answers stay, those of the others change.
    mask = thirds.masks[0]
    heavier = tuple(
        replace(example, weight=1000.0) if own else example
        for own, example in zip(mask, examples.examples, strict=True)
    )
    second = trained(tiny_models, replace(examples, examples=heavier))
    np.testing.assert_allclose(second.left_out[mask], first.left_out[mask], atol=1e-5)
    assert np.abs(second.left_out[~mask] - first.left_out[~mask]).max() > 1e-3


def test_training_can_be_stopped_between_its_runs(tiny_models: FrozenModels, examples: Examples) -> None:
    def stop() -> None:
        raise Interrupted(2, "interrupted", "run the same command again")

    with pytest.raises(Interrupted):
        trained(tiny_models, examples, stop)


def learned_with(loss_of_names: float, loss: float) -> Learned:
    candidates = (Candidate(("image", "names"), (1.0, 1.0), loss, 1.0), Candidate(("names",), (1.0,), loss_of_names, 1))
    selection = Selection(candidates[0], candidates, np.zeros((0, 3)))
    return Learned(None, selection, None, {}, [], [], None, False, None)  # type: ignore[arg-type]


def test_prompts_are_trained_where_they_may_help() -> None:
    chance = float(np.log(3))
    assert prompts_may_help(learned_with(0.4 * chance, 0.3), 48, 3)
    assert not prompts_may_help(learned_with(0.9 * chance, 0.3), 48, 3)  # the names tell nothing
    assert not prompts_may_help(learned_with(0.4 * chance, 0.04), 48, 3)  # less to gain than captions cost
    assert not prompts_may_help(learned_with(0.4 * chance, 0.3), MOST_EXAMPLES + 1, 3)
    assert not prompts_may_help(learned_with(float("nan"), float("nan")), 3, 3)


def options(folder: Path, bundle: Bundle, output: Path, views: tuple[str, ...], **other: Any) -> FinetuneOptions:
    return FinetuneOptions(
        sources=(str(folder),), model=str(bundle.folder), output=str(output), views=views, shots=0, **other
    )


@pytest.fixture
def prompts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no other choice than prompts: of random weights they would seldom be chosen."""
    learn = run_module.learn

    def with_prompts(views: Any, start: Any, **other: Any) -> Learned:
        if "prompts" in views:
            views, start = {"prompts": views["prompts"]}, ("prompts",)
        return learn(views, start=start, **other)

    monkeypatch.setattr(run_module, "learn", with_prompts)


def test_an_adapter_answers_as_the_prompts_that_were_trained(
    folder: Path,
    examples: Examples,
    tiny_bundle: Bundle,
    tmp_path: Path,
    prompts_alone: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[TrainedPrompts] = []
    train = run_module.train_prompts

    def keep(*args: Any) -> TrainedPrompts:
        kept.append(train(*args))
        return kept[0]

    monkeypatch.setattr(run_module, "train_prompts", keep)
    summary = finetune(options(folder, tiny_bundle, tmp_path / "coast", ("names", "prompts")))
    assert summary.run.learned.selection.chosen.views == ("prompts",)  # type: ignore[union-attr]
    manifest = json.loads((tmp_path / "coast" / MANIFEST).read_text())
    assert manifest["views"]["names"] == ["prompts"]
    adapter = open_adapter(tmp_path / "coast", tiny_bundle)
    assert adapter.captions
    models = load_models(tiny_bundle, "cpu")
    classifier = make_view_classifier(models, adapter, Labels.literal(CLASSES))
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32), dtype=np.uint8))
    captions = models.caption(images)
    expected = kept[0].encoder.encode(("prompts",), {"image": images}, {}, captions)["prompts"]
    found = classifier.encoder.encode(("prompts",), {"image": images}, {}, captions)["prompts"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    zero_shot = ViewEncoder.create(models, ("names",), Labels.literal(CLASSES))
    before = zero_shot.encode(("names",), {"image": images}, {})["names"]
    assert np.abs(found - before).max() > 1e-3  # the training changed something


def test_the_view_names_keeps_the_templates_of_the_training(folder: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    """Another default, or other templates of the bundle, change nothing of what was learned."""
    finetune(options(folder, tiny_bundle, tmp_path / "coast", ("names",)))
    finetune(options(folder, tiny_bundle, tmp_path / "image", ("image",)))
    adapter = open_adapter(tmp_path / "coast", tiny_bundle)
    assert adapter.views is not None and adapter.views.templates == tiny_bundle.templates
    without = open_adapter(tmp_path / "image", tiny_bundle)
    assert without.views is not None and without.views.templates == ()
    models, labels = load_models(tiny_bundle, "cpu", captions=False), Labels.literal(CLASSES)
    images = {"image": torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32), dtype=np.uint8))}
    expected = ViewEncoder.create(models, ("names",), labels, tiny_bundle.templates).encode(("names",), images, {})
    later = replace(models, bundle=replace(tiny_bundle, own_templates=("{} from above.",)))
    found = make_view_classifier(later, adapter, labels).encoder.encode(("names",), images, {})
    np.testing.assert_array_equal(found["names"], expected["names"])
    before = replace(adapter, views=replace(adapter.views, templates=()))  # of before they were stated
    other = make_view_classifier(later, before, labels).encoder.encode(("names",), images, {})
    assert np.abs(other["names"] - expected["names"]).max() > 1e-4


def test_weights_without_the_learner_are_refused(
    folder: Path, tiny_bundle: Bundle, tmp_path: Path, prompts_alone: None
) -> None:
    finetune(options(folder, tiny_bundle, tmp_path / "coast", ("names", "prompts")))
    adapter = open_adapter(tmp_path / "coast", tiny_bundle)
    ensemble, _ = read_adapter_ensemble(adapter)
    assert set(ensemble.views) == {"prompts"}
    arrays = {name: array for name, array in load_file(adapter.weights).items() if not name.startswith(LEARNER)}
    save_file(arrays, adapter.weights)
    with pytest.raises(BundleError, match="does not match the bundle"):
        make_view_classifier(load_models(tiny_bundle, "cpu"), adapter, Labels.literal(CLASSES))


def test_the_learner_is_stored_only_if_it_is_chosen(folder: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    summary = finetune(options(folder, tiny_bundle, tmp_path / "coast", ("image", "names", "prompts")))
    tried = {candidate.views for candidate in summary.run.learned.selection.candidates}  # type: ignore[union-attr]
    assert ("prompts",) in tried and ("image", "names", "prompts") in tried
    adapter = open_adapter(tmp_path / "coast", tiny_bundle)
    assert adapter.views is not None
    has_learner = any(name.startswith(LEARNER) for name in load_file(adapter.weights))
    assert has_learner == ("prompts" in adapter.views.names)


@pytest.mark.parametrize(
    ("views", "other", "message"),
    [(("prompts",), {}, "nothing to compare"), (("names", "prompts"), {"captions": False}, "needs captions")],
)
def test_prompts_need_captions_and_other_views(
    folder: Path, tiny_bundle: Bundle, tmp_path: Path, views: tuple[str, ...], other: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        finetune(options(folder, tiny_bundle, tmp_path / "coast", views, **other))
