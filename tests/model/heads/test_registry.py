"""Every head that can be trained: what it learns, that it learns all of it, and what it answers before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import LabelsError
from bimors_cli.labels import Labels
from bimors_cli.model.frozen_models import EncoderOutputs, FrozenModels
from bimors_cli.model.heads.base import Head
from bimors_cli.model.heads.bimors import PromptLearner, PromptLearnerWidths
from bimors_cli.model.heads.cocoop import CocoopLearner
from bimors_cli.model.heads.coop import CoopHead, CoopLearner
from bimors_cli.model.heads.linear_probe import LinearLearner
from bimors_cli.model.heads.registry import count_trained, make_head, make_learner
from bimors_cli.model.heads.tip_adapter import TipAdapterCache
from bimors_cli.model.heads.zero_shot import ZeroShotHead
from bimors_cli.model.text_encoder import TextTower
from bimors_cli.options.heads import HEADS
from bimors_cli.pipeline.inference.load import load_models

LABELS = Labels.of(["forest", "bare land", "dense_residential", "port"])
WORDS = "a photo of a"


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8))


def learner_of(head: str, models: FrozenModels, *, cache: bool = False, **options: int) -> nn.Module:
    learner = make_learner(head, models, WORDS, classes=len(LABELS), **options)
    if cache or head == "tip-adapter":
        generator = torch.Generator().manual_seed(5)
        width = models.clip.encode_text(["a"]).shape[1]
        learner.add_module(
            "cache", TipAdapterCache.of(torch.randn(8, width, generator=generator), torch.arange(8) % 4, 4)
        )
    return learner


def stirred(learner: nn.Module) -> nn.Module:
    """Move a learner away from its start, as training does."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator).to(parameter)
        if isinstance(learner, CocoopLearner):
            learner.meta_net[0].bias += 1  # so small a meta-net may otherwise lie below zero as a whole
    return learner


def head_of(head: str, models: FrozenModels, learner: nn.Module, labels: Labels = LABELS) -> Head:
    return make_head(head, models.clip, labels, learner, words=WORDS, trained=LABELS.names)


@pytest.fixture(scope="module")
def evidence(tiny_models: FrozenModels) -> EncoderOutputs:
    return tiny_models.encode(pictures(3))


@pytest.fixture(scope="module")
def zero_shot(tiny_models: FrozenModels, evidence: EncoderOutputs) -> torch.Tensor:
    return ZeroShotHead(tiny_models.clip, LABELS, [f"{WORDS} {{}}."]).forward(evidence)


@pytest.fixture(scope="module")
def exact_models(tiny_bundle: Bundle) -> FrozenModels:
    return load_models(tiny_bundle, "cpu").place(torch.device("cpu"), torch.float64)


def test_parameters_are_those_of_the_papers_at_full_size() -> None:
    """ViT-B/16: text and features 512 wide, patch tokens 768, captions 768; four context tokens."""
    context = torch.zeros(4, 512)
    assert count_trained(CoopLearner(context)) == 2_048
    assert count_trained(CoopLearner(torch.zeros(16, 512))) == 8_192
    assert count_trained(CocoopLearner(context, 512)) == 35_360
    bimors = PromptLearner(PromptLearnerWidths(4, 512, 768, 768), context)
    assert count_trained(bimors) == 1_116_720 + 393_728
    bimors.caption_projection.requires_grad_(False)
    assert count_trained(bimors) == 1_116_720
    assert count_trained(LinearLearner(512, 30)) == 513 * 30
    assert count_trained(TipAdapterCache.of(torch.ones(480, 512), torch.arange(480) % 30, 30)) == 480 * 512


@pytest.mark.parametrize("head", ["bimors", "coop"])
def test_untrained_prompts_give_the_zero_shot_answer(
    head: str, tiny_models: FrozenModels, evidence: EncoderOutputs, zero_shot: torch.Tensor
) -> None:
    with torch.no_grad():
        answer = head_of(head, tiny_models, learner_of(head, tiny_models)).forward(evidence)
    # The shared-prefix path against open_clip's own, on logits of this size: rounding.
    torch.testing.assert_close(answer, zero_shot, rtol=0, atol=1e-5)


def test_cocoop_without_its_meta_net_is_coop(
    tiny_models: FrozenModels, evidence: EncoderOutputs, zero_shot: torch.Tensor
) -> None:
    learner = learner_of("cocoop", tiny_models)
    assert isinstance(learner, CocoopLearner)
    head = head_of("cocoop", tiny_models, learner)
    with torch.no_grad():
        assert (head.forward(evidence) - zero_shot).abs().max() > 1e-3  # as in the paper's code, the meta-net is random
        for parameter in learner.meta_net.parameters():
            parameter.zero_()
        torch.testing.assert_close(head.forward(evidence), zero_shot, rtol=0, atol=1e-5)


def test_an_untrained_probe_prefers_no_label(tiny_models: FrozenModels, evidence: EncoderOutputs) -> None:
    answer = head_of("linear", tiny_models, learner_of("linear", tiny_models)).forward(evidence)
    assert bool((answer == 0).all())


@pytest.mark.parametrize("cache", [False, True], ids=["alone", "cached"])
@pytest.mark.parametrize("head", HEADS)
def test_gradients_are_the_slopes_of_the_answer(head: str, cache: bool, exact_models: FrozenModels) -> None:
    """In float64, along random directions through all parameters."""
    evidence = exact_models.encode(pictures(3))
    learner = stirred(learner_of(head, exact_models, cache=cache)).double()
    answers = head_of(head, exact_models, learner)
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(3, 4, generator=generator, dtype=torch.float64)

    def value() -> torch.Tensor:
        logits = answers.forward(evidence)
        assert logits.dtype == torch.float64
        return (logits * weight).sum()

    value().backward()
    parameters = dict(learner.named_parameters())
    gradients = {name: p.grad for name, p in parameters.items()}
    assert [name for name, g in gradients.items() if g is None or not g.abs().max() > 0] == []
    step = 1e-6
    for name, parameter in parameters.items():
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            parameter += step * direction
            above = float(value())
            parameter -= 2 * step * direction
            below = float(value())
            parameter += step * direction
        gradient = gradients[name]
        assert gradient is not None
        slope = float((gradient * direction).sum())
        assert (above - below) / (2 * step) == pytest.approx(slope, rel=1e-4, abs=1e-6), name


@pytest.mark.parametrize("head", HEADS)
def test_a_few_steps_in_float32_lower_the_loss(head: str, tiny_models: FrozenModels, evidence: EncoderOutputs) -> None:
    learner = learner_of(head, tiny_models)
    answers, target = head_of(head, tiny_models, learner), torch.tensor([0, 3, 2])
    optimiser = torch.optim.SGD(learner.parameters(), lr=0.02)
    losses = []
    for _ in range(6):
        loss = nn.functional.cross_entropy(answers.forward(evidence), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("head", HEADS)
def test_a_tiles_answer_does_not_depend_on_its_neighbours(
    head: str, tiny_models: FrozenModels, evidence: EncoderOutputs
) -> None:
    answers = head_of(head, tiny_models, stirred(learner_of(head, tiny_models, cache=True)))
    with torch.no_grad():
        together = answers.forward(evidence)
        assert (together[0] - together[1]).abs().max() > 1e-3
        for row in range(3):
            alone = answers.forward(evidence.take(torch.tensor([row])))
            torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-4)


@pytest.mark.parametrize("head", [head for head in HEADS if head != "linear"])
def test_labels_at_work_need_not_be_those_of_training(
    head: str, tiny_models: FrozenModels, evidence: EncoderOutputs
) -> None:
    """How one label stands to another does not depend on the others, on their order or on spelling."""
    learner = stirred(learner_of(head, tiny_models))
    other = Labels.of(["river", "PORT", "meadow", "Forest"])
    with torch.no_grad():
        known = head_of(head, tiny_models, learner).forward(evidence)
        answer = head_of(head, tiny_models, learner, other).forward(evidence)
        alone = head_of(head, tiny_models, learner, Labels.of(["meadow", "river"])).forward(evidence)
    torch.testing.assert_close(answer[:, 1] - answer[:, 3], known[:, 3] - known[:, 0], rtol=0, atol=1e-4)
    torch.testing.assert_close(answer[:, [2, 0]], alone, rtol=0, atol=1e-4)


@pytest.mark.parametrize("head", [head for head in HEADS if head not in ("linear", "tip-adapter")])
def test_of_a_labels_names_the_nearest_answers(head: str, tiny_models: FrozenModels, evidence: EncoderOutputs) -> None:
    learner = stirred(learner_of(head, tiny_models))
    names = ["forest", "bare land", "port", "river", "meadow"]
    with torch.no_grad():
        each = head_of(head, tiny_models, learner, Labels.of(names)).forward(evidence)
        joined = Labels.of(["forest | river | meadow", "bare land", "port"])
        answer = head_of(head, tiny_models, learner, joined).forward(evidence)
    expected = torch.stack((each[:, [0, 3, 4]].amax(dim=1), each[:, 1], each[:, 2]), dim=1)
    torch.testing.assert_close(answer, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("head", ["linear", "tip-adapter"])
def test_a_label_that_several_classes_were_trained_for(
    head: str, tiny_models: FrozenModels, evidence: EncoderOutputs
) -> None:
    """Each of them speaks for it; a name that nobody trained takes no part."""
    learner = stirred(learner_of(head, tiny_models))
    joined = Labels.of(["land | forest | bare_land", "dense residential", "port"])
    with torch.no_grad():
        answer = head_of(head, tiny_models, learner, joined).forward(evidence)
        if head == "linear":
            each = head_of(head, tiny_models, learner).forward(evidence)
            expected = torch.stack((each[:, :2].amax(dim=1), each[:, 2], each[:, 3]), dim=1)
        else:
            votes = learner.get_submodule("cache")(evidence.image_feature)
            zero = ZeroShotHead(tiny_models.clip, joined, [f"{WORDS} {{}}."]).forward(evidence)
            expected = zero + torch.stack((votes[:, :2].amax(dim=1), votes[:, 2], votes[:, 3]), dim=1)
    torch.testing.assert_close(answer, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("head", HEADS)
def test_a_label_with_synonyms_can_be_learned(head: str, tiny_models: FrozenModels, evidence: EncoderOutputs) -> None:
    labels = Labels.of(["forest | woodland", "bare land", "dense_residential", "port | harbour"])
    learner = learner_of(head, tiny_models)
    logits = make_head(head, tiny_models.clip, labels, learner, words=WORDS, trained=labels.names).forward(evidence)
    assert logits.shape == (len(evidence), 4)
    torch.nn.functional.cross_entropy(logits, torch.arange(len(evidence)) % 4).backward()
    assert any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in learner.parameters())


def test_numbers_that_are_none_stay_none_among_synonyms(tiny_models: FrozenModels, evidence: EncoderOutputs) -> None:
    head = ZeroShotHead(tiny_models.clip, Labels.of(["forest | woodland", "port"]), ["{}"])
    lost = replace(evidence, image_feature=torch.full_like(evidence.image_feature, torch.nan))
    assert not torch.isfinite(head.forward(lost)).any()


def test_a_probe_answers_with_some_of_its_labels_and_refuses_others(
    tiny_models: FrozenModels, evidence: EncoderOutputs
) -> None:
    learner = stirred(learner_of("linear", tiny_models))
    with torch.no_grad():
        whole = head_of("linear", tiny_models, learner).forward(evidence)
        part = head_of("linear", tiny_models, learner, Labels.of(["port", "Bare Land"])).forward(evidence)
    torch.testing.assert_close(part, whole[:, [3, 1]], rtol=0, atol=0)
    with pytest.raises(LabelsError, match=r"not 'harbour', 'golf course'$") as caught:
        head_of("linear", tiny_models, learner, Labels.of(["port", "harbour", "forest", "golf course"]))
    assert "another head" in str(caught.value.hint)


def test_a_cache_adds_to_any_head(tiny_models: FrozenModels, evidence: EncoderOutputs) -> None:
    cached, plain = (stirred(learner_of("bimors", tiny_models, cache=cache)) for cache in (True, False))
    cache = cached.get_submodule("cache")
    names = set(plain.state_dict())
    assert set(cached.state_dict()) - names == {"cache.keys", "cache.values", "cache.alpha", "cache.beta"}
    plain.load_state_dict({name: value for name, value in cached.state_dict().items() if name in names})
    with torch.no_grad():
        difference = head_of("bimors", tiny_models, cached).forward(evidence) - head_of(
            "bimors", tiny_models, plain
        ).forward(evidence)
        torch.testing.assert_close(difference, cache(evidence.image_feature), rtol=0, atol=1e-5)


def test_a_cache_head_without_a_cache_is_refused(tiny_models: FrozenModels) -> None:
    with pytest.raises(ValueError, match="needs a learner with a cache"):
        head_of("cache", tiny_models, make_learner("tip-adapter", tiny_models, WORDS, classes=4))


def test_frozen_coop_reads_its_text_once(
    tiny_models: FrozenModels, evidence: EncoderOutputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0
    forward = TextTower.forward

    def counted(self: TextTower, *inputs: torch.Tensor) -> torch.Tensor:
        nonlocal count
        count += 1
        return forward(self, *inputs)  # type: ignore[arg-type]

    monkeypatch.setattr(TextTower, "forward", counted)
    learner = learner_of("coop", tiny_models)
    assert isinstance(learner, CoopLearner)
    head = CoopHead(tiny_models.clip, LABELS, learner)
    with torch.no_grad():
        before = head.forward(evidence)
        learner.context += torch.randn(learner.context.shape, generator=torch.Generator().manual_seed(2))
        assert (head.forward(evidence) - before).abs().max() > 1e-3  # while it learns it is read anew
        learner.requires_grad_(False)
        count = 0
        frozen = [head.forward(evidence.take(torch.tensor([row]))) for row in range(3)]
    assert count == 1
    torch.testing.assert_close(torch.cat(frozen), head.forward(evidence))


def test_cocoop_goes_by_the_image_feature_alone(tiny_models: FrozenModels, evidence: EncoderOutputs) -> None:
    head = head_of("cocoop", tiny_models, stirred(learner_of("cocoop", tiny_models)))
    other = replace(
        evidence, patch_tokens=evidence.patch_tokens.flip(0), caption_embedding=evidence.caption_embedding + 1
    )
    with torch.no_grad():
        torch.testing.assert_close(head.forward(other), head.forward(evidence), rtol=0, atol=0)


@pytest.mark.parametrize("head", ["bimors", "coop", "cocoop"])
@pytest.mark.parametrize("tokens", [1, 2, 4, 7])
def test_any_number_of_context_tokens(
    head: str, tokens: int, tiny_models: FrozenModels, evidence: EncoderOutputs
) -> None:
    words = tiny_models.clip.embed_words(WORDS)
    learner = learner_of(head, tiny_models, tokens=tokens)
    context = learner.get_parameter("context")
    kept = min(tokens, len(words))
    assert len(context) == tokens
    torch.testing.assert_close(context[tokens - kept :], words[len(words) - kept :])
    assert bool((context.norm(dim=1) > 0).all())
    assert head_of(head, tiny_models, learner).forward(evidence).shape == (3, 4)


@pytest.mark.parametrize("head", ["bimors", "cocoop"])
def test_a_seed_is_a_start(head: str, tiny_models: FrozenModels) -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first, again, other = (learner_of(head, tiny_models, seed=seed, tokens=6).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["meta_net.0.weight"], other["meta_net.0.weight"])
    assert not torch.equal(first["context"], other["context"])
    torch.testing.assert_close(torch.rand(3), expected)  # nobody else's random numbers are touched
