"""The choice of the zero-shot defaults: its arithmetic is that of the heads, its figures are those that are stated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bimors_cli.labels import Labels
from bimors_cli.model.frozen_models import FrozenModels
from bimors_cli.model.heads.base import HeadFeatures, cosine_logits
from bimors_cli.model.heads.zero_shot import ZeroShotHead
from bimors_cli.options.templates import FORMER_REMOTE_SENSING, REMOTE_SENSING
from tests.benchmarks.zero_shot_defaults import (
    CHOSEN,
    FORMER,
    MEAN_FEATURE,
    RULES,
    SCALE,
    SETS,
    all_measured,
    best_template,
    by_largest,
    choose,
    interval,
    joined,
    mean_cosine,
    mean_feature,
    mean_probability,
    measure,
    read_models,
    unit,
)

LABELS = Labels.of(["forest", "river", "port"])


def test_the_mean_feature_and_the_largest_are_what_the_heads_do(tiny_models: FrozenModels) -> None:
    clip, templates = tiny_models.clip, REMOTE_SENSING[:4]
    image = unit(np.random.default_rng(0).standard_normal((5, 32)))
    features = HeadFeatures(torch.from_numpy(image).float())
    text = clip.encode_text(clip.prompts(LABELS, templates)).unflatten(0, (-1, len(templates))).double().numpy()
    expected = ZeroShotHead(clip, LABELS, templates).logits(features).double().numpy()
    ours = mean_feature(image, text.swapaxes(0, 1)) * float(clip.scale) / SCALE
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    several = Labels.of(["forest | port", "river"])
    names = unit(np.random.default_rng(1).standard_normal((3, 32)))
    head = cosine_logits(clip, several, features, torch.from_numpy(names)[None].float()).double().numpy()
    largest = by_largest(float(clip.scale) * image @ names.T, np.array([0, 0, 1]))
    np.testing.assert_allclose(largest, head, atol=1e-4)


def test_the_rules_by_hand() -> None:
    """One image; two templates, each a unit vector at a known angle to it, for each of two classes."""
    image = np.array([[1.0, 0.0]])
    cosines = np.array([[0.5, 0.6], [0.7, 0.4]])  # templates, classes
    text = np.stack([cosines, np.sqrt(1 - cosines**2)], axis=-1)
    np.testing.assert_allclose(mean_cosine(image, text), [[60, 50]])
    np.testing.assert_allclose(best_template(image, text), [[70, 60]])
    e10, e30 = np.exp(10), np.exp(30)
    of_first = (1 / (1 + e10) + e30 / (1 + e30)) / 2
    np.testing.assert_allclose(np.exp(mean_probability(image, text)), [[of_first, 1 - of_first]])
    total = text.sum(axis=0)
    np.testing.assert_allclose(mean_feature(image, text)[0], 100 * total[:, 0] / np.hypot(*total.T))
    for rule in RULES.values():  # one template is itself
        np.testing.assert_allclose(measure(rule(image, text[:1]), np.array([1])).loss, np.log1p(np.exp(-10)), rtol=1e-4)


def test_an_interval_is_of_classes_and_holds_its_mean() -> None:
    labels = np.repeat(np.arange(10), 30)
    random = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        of_class = random.normal(1, 1, 10)
        mean, low, high = interval(of_class[labels] + random.normal(0, 0.1, len(labels)), labels)
        assert low <= mean <= high
        held += low <= 1 <= high
    assert 80 <= held <= 99  # ten classes: a bootstrap is somewhat too narrow


def test_sets_are_the_defaults_and_have_no_template_twice() -> None:
    assert {f"{text} {{}}." for text in SETS[CHOSEN]} == set(REMOTE_SENSING)
    assert {f"{text} {{}}." for text in SETS[FORMER]} < set(FORMER_REMOTE_SENSING)
    assert all(len(set(templates)) == len(templates) for templates in SETS.values())


@pytest.mark.shared
def test_each_model_chooses_the_default_for_the_other_and_gains(shared: Path) -> None:
    models = read_models(shared / "features")
    assert [model.name for model in models] == ["clip", "remoteclip"]
    assert set(SETS["all"]) == set(models[0].templates) - {"averageprompt"}
    table = all_measured(models)
    published = {"clip": 81.29, "remoteclip": 95.22}
    stated = {"clip": (80.7, 0.657, 0.698), "remoteclip": (95.4, 0.182, 0.224)}
    for model in models:
        assert choose(table, [other.name for other in models if other is not model]) == (CHOSEN, MEAN_FEATURE)
        every, own, former = (table[model.name, name, MEAN_FEATURE] for name in ("all", CHOSEN, FORMER))
        assert 100 * every.correct.mean() == pytest.approx(published[model.name], abs=0.01)
        assert 100 * own.correct.mean() == pytest.approx(stated[model.name][0], abs=0.05)
        assert (own.loss.mean(), former.loss.mean()) == pytest.approx(stated[model.name][1:], abs=0.0006)
        for name in SETS:  # features, not cosines or probabilities, are averaged
            losses = [table[model.name, name, rule].loss.mean() for rule in RULES]
            assert losses[0] == pytest.approx(min(losses), abs=2e-3)
    less = np.mean(
        [table[m.name, CHOSEN, MEAN_FEATURE].loss - table[m.name, FORMER, MEAN_FEATURE].loss for m in models], 0
    )
    assert interval(less, models[0].labels)[2] < 0


@pytest.mark.shared
def test_the_largest_of_several_names_is_best(shared: Path) -> None:
    for model in read_models(shared / "features"):
        found = joined(model, (3, 3, 3, 3, 3, 2, 2), draws=10)
        assert min(found, key=lambda way: found[way][1]) == "largest"
        assert found["largest"][0] > found["mean feature"][0] + 0.1
