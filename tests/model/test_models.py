"""The frozen models and the heads on them, with the real classes in tiny configurations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import open_clip
import pytest
import torch

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import BundleError, DeviceError, InputError, LabelsError
from bimors_cli.labels import Labels, parse_labels
from bimors_cli.model.clip import Clip, build_clip
from bimors_cli.model.device import choose_device
from bimors_cli.model.frozen_models import FrozenModels, concatenate
from bimors_cli.model.heads.base import probabilities
from bimors_cli.model.heads.bimors import BimorsHead, PromptLearner, PromptLearnerWidths
from bimors_cli.model.heads.zero_shot import ZeroShotHead
from bimors_cli.model.preprocessing import Preprocessing, prepare
from bimors_cli.pipeline.inference.load import load_models

LABELS = Labels.of(["forest", "bare land", "dense_residential", "port"])


def pictures(count: int, size: int = 32, seed: int = 0) -> torch.Tensor:
    noise = np.random.default_rng(seed).integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    return torch.from_numpy(noise)


def widths(models: FrozenModels) -> PromptLearnerWidths:
    return PromptLearnerWidths(4, models.clip.text_tower().width, models.clip.patch_width, models.caption_encoder.width)


def test_patch_tokens_are_those_of_the_last_block_before_the_norm(tiny_models: FrozenModels) -> None:
    clip = tiny_models.clip
    feature, tokens = clip.encode_image(pictures(2))
    assert tokens.shape == (2, 17, 48)  # 4 x 4 patches and the class token
    visual = clip.model.visual
    with torch.no_grad():
        again = visual.ln_post(tokens)[:, 0] @ visual.proj
    torch.testing.assert_close(torch.nn.functional.normalize(again, dim=-1), feature, rtol=0, atol=1e-6)


@pytest.mark.parametrize("trunk", ["resnet10t", "convnext_atto", "vit_tiny_patch16_224"])
def test_timm_towers_give_patch_tokens_and_open_clips_feature(trunk: str) -> None:
    config = {
        "embed_dim": 16,
        "vision_cfg": {"timm_model_name": trunk, "timm_pool": "token" if "vit" in trunk else "avg", "image_size": 224},
        "text_cfg": {"width": 32, "heads": 4, "layers": 1},
    }
    clip = Clip(build_clip(config), open_clip.get_tokenizer("ViT-B-16"), Preprocessing.of(224, [0, 0, 0], [1, 1, 1]))
    feature, tokens = clip.encode_image(pictures(1, 224))
    assert tokens.ndim == 3 and tokens.shape[2] == clip.patch_width and tokens.shape[1] >= 49
    with torch.no_grad():
        theirs = clip.model.encode_image(pictures(1, 224) / 255, normalize=True)
    torch.testing.assert_close(feature, theirs, rtol=0, atol=1e-5)


def test_an_untrained_adapter_gives_the_zero_shot_answer(tiny_models: FrozenModels) -> None:
    clip = tiny_models.clip
    learner = PromptLearner(widths(tiny_models), clip.embed_words("a photo of a"))
    evidence = tiny_models.encode(pictures(3))
    with torch.no_grad():
        learned = BimorsHead(clip, LABELS, learner).forward(evidence)
    zero_shot = ZeroShotHead(clip, LABELS, ["a photo of a {}."]).forward(evidence)
    torch.testing.assert_close(learned, zero_shot, rtol=0, atol=1e-4)


def test_several_templates_are_averaged(tiny_models: FrozenModels) -> None:
    clip, evidence = tiny_models.clip, tiny_models.encode(pictures(3))
    templates = ["a photo of a {}.", "{} from above", "green {} near water."]
    features = torch.stack(
        [clip.encode_text([t.replace("{}", name.replace("_", " ")) for name in LABELS.names]) for t in templates]
    )
    text = torch.nn.functional.normalize(features.mean(dim=0), dim=-1)
    answer = ZeroShotHead(clip, LABELS, templates).forward(evidence)
    torch.testing.assert_close(answer, clip.scale * evidence.image_feature @ text.T, rtol=0, atol=1e-5)
    one = ZeroShotHead(clip, LABELS, templates[:1]).forward(evidence)
    assert torch.equal(one, clip.scale * evidence.image_feature @ features[0].T)
    # Of a label's names each is read in all templates, and the nearest answers.
    joined = ZeroShotHead(clip, Labels.of(["forest | port", "bare land | dense_residential"]), templates)
    expected = torch.stack((answer[:, [0, 3]].amax(dim=1), answer[:, [1, 2]].amax(dim=1)), dim=1)
    torch.testing.assert_close(joined.forward(evidence), expected, rtol=0, atol=1e-5)


def test_a_tower_that_cannot_take_learned_prompts_reads_templates_as_well(
    tiny_models: FrozenModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, texts = tiny_models.clip, ["a forest.", "a dense residential area from above"]
    short = clip.encode_short_text(texts)

    def refuse() -> None:
        raise BundleError("not causal")

    monkeypatch.setattr(clip, "text_tower", refuse)
    assert torch.equal(clip.encode_short_text(texts), clip.encode_text(texts))
    torch.testing.assert_close(short, clip.encode_text(texts), rtol=0, atol=1e-6)


def test_a_label_with_braces_is_read_as_it_is(tiny_models: FrozenModels) -> None:
    assert tiny_models.clip.prompts(Labels.of(["{}", "{0} {x}"]), ["a {}.", "{x} {}"]) == [
        "a {}.", "{x} {}", "a {0} {x}.", "{x} {0} {x}",
    ]  # fmt: skip


def test_caption_and_patch_tokens_both_move_a_trained_head(tiny_models: FrozenModels) -> None:
    learner = PromptLearner(widths(tiny_models), tiny_models.clip.embed_words("a photo of a"))
    torch.nn.init.normal_(learner.attention.out_proj.weight, std=0.5)
    head = BimorsHead(tiny_models.clip, LABELS, learner)
    evidence = tiny_models.encode(pictures(2))
    with torch.no_grad():
        before = head.forward(evidence)
        said = tiny_models.caption_encoder.embed(["many green trees", "a port"])
        other_caption = head.forward(replace(evidence, caption_embedding=said))
        other_patches = head.forward(replace(evidence, patch_tokens=evidence.patch_tokens.flip(0)))
    assert (before - other_caption).abs().max() > 1e-3
    assert (before - other_patches).abs().max() > 1e-3


def test_every_part_of_the_prompt_learner_is_trained(tiny_models: FrozenModels) -> None:
    learner = PromptLearner(widths(tiny_models), tiny_models.clip.embed_words("a photo of a"))
    torch.nn.init.normal_(learner.attention.out_proj.weight, std=0.5)
    BimorsHead(tiny_models.clip, LABELS, learner).forward(tiny_models.encode(pictures(2)))[:, 0].sum().backward()
    # A bias before a softmax over keys shifts all of them alike, so the keys' bias has no gradient by nature.
    still = [n for n, p in learner.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert still == []


def test_a_batch_gives_what_single_pictures_give(tiny_models: FrozenModels) -> None:
    images = pictures(5)
    batch = tiny_models.encode(images)
    single = concatenate([tiny_models.encode(images[i : i + 1]) for i in range(5)])
    assert batch.captions == single.captions
    torch.testing.assert_close(batch.caption_embedding, single.caption_embedding, rtol=0, atol=1e-5)
    torch.testing.assert_close(batch.image_feature, single.image_feature, rtol=0, atol=1e-5)


def test_padding_takes_no_part_in_the_caption_embedding(tiny_models: FrozenModels) -> None:
    encoder = tiny_models.caption_encoder
    captions = ["green trees", "many green trees near a river and a port with water", "", "green trees"]
    together = encoder.embed(captions)
    for caption, row in zip(captions, together, strict=True):
        torch.testing.assert_close(row, encoder.embed([caption])[0], rtol=0, atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-3


def test_captions_have_at_most_sixteen_tokens(tiny_models: FrozenModels) -> None:
    captioner = tiny_models.captioner
    for caption in captioner.caption(pictures(3)):
        assert isinstance(caption, str)
    with torch.no_grad():
        pixels = prepare(pictures(3), captioner.preprocessing, torch.float32)
        assert captioner.model.generate(pixel_values=pixels, max_new_tokens=captioner.max_new_tokens).shape[1] <= 16


def test_a_label_longer_than_the_context_is_refused_by_its_line(tiny_models: FrozenModels) -> None:
    labels = parse_labels(b"forest\n\n" + b"very " * 90 + b"long\n", "labels.txt")
    with pytest.raises(LabelsError, match="line 3"):
        tiny_models.clip.name_tokens(labels, 4)


def test_templates_and_labels_that_are_too_long_are_refused(tiny_models: FrozenModels) -> None:
    clip = tiny_models.clip
    labels = parse_labels(b"forest\n\nriver | " + b"port " * 60 + b"\n", "labels.txt")
    assert len(clip.prompts(labels, ["a {}.", "{}"])) == 6
    with pytest.raises(LabelsError, match=r"labels\.txt, line 3: the label is too long for 'a green ") as caught:
        clip.prompts(labels, ["a {}.", "a " + "green " * 20 + "{}."])
    assert len(caught.value.message) < 200
    with pytest.raises(
        InputError, match=r"the template 'very very .* is too long: it exceeds the model's limit of 77 tokens"
    ):
        clip.prompts(LABELS, ["a {}.", "very " * 90 + "green {}."])
    # All of the context length may be used.
    fits = [n for n in range(60, 90) if clip._tokens(["port " * n])[1][0] < 77]
    assert len(clip.prompts(Labels.of(["x", "port " * (max(fits) - 1) + "port"]), ["{}"])) == 2
    with pytest.raises(LabelsError):
        clip.prompts(Labels.of(["x", "port " * max(fits) + "port"]), ["{}"])


def test_the_longest_label_that_fits_is_read_to_its_end(tiny_models: FrozenModels) -> None:
    clip = tiny_models.clip

    def fits(words: int) -> bool:
        try:
            clip.name_tokens(Labels.of(["x", " ".join(["port"] * words)]), 4)
        except LabelsError:
            return False
        return True

    longest = max(words for words in range(60, 80) if fits(words))
    tokens = clip.name_tokens(Labels.of(["x", " ".join(["port"] * longest)]), 4)
    assert int(tokens.end[1]) + 1 + 4 + 1 == 77


def test_underscores_are_spaces(tiny_models: FrozenModels) -> None:
    tokens = tiny_models.clip.name_tokens(Labels.literal(["bare_land", "forest", "bare  land"]), 4)
    assert tokens.ids[0].tolist() == tokens.ids[2].tolist()


def test_every_name_of_a_label_has_its_tokens(tiny_models: FrozenModels) -> None:
    clip = tiny_models.clip
    tokens = clip.name_tokens(Labels.of(["forest | bare_land", "port"]), 4)
    each = clip.name_tokens(Labels.of(["forest", "bare_land", "port"]), 4)
    assert torch.equal(tokens.ids, each.ids) and torch.equal(tokens.end, each.end)
    labels = parse_labels(b"forest\nport | " + b"very " * 90 + b"long\n", "labels.txt")
    with pytest.raises(LabelsError, match="line 2: the label is too long"):
        clip.name_tokens(labels, 4)


def test_probabilities_are_softened_by_the_temperature() -> None:
    logits = torch.tensor([[10.0, 0.0, -10.0]])
    sharp, soft = probabilities(logits, 1.0), probabilities(logits, 10.0)
    assert torch.allclose(soft.sum(), torch.tensor(1.0)) and soft[0, 0] < sharp[0, 0]
    assert soft.argmax() == sharp.argmax()


def test_a_whole_tile_is_seen() -> None:
    """Not a centre crop: a mark in the corner changes the input."""
    how = Preprocessing.of(16, [0, 0, 0], [1, 1, 1])
    plain = torch.zeros(1, 3, 40, 80, dtype=torch.uint8)
    marked = plain.clone()
    marked[..., :4, :4] = 255
    assert prepare(marked, how, torch.float32)[0, 0, 0, 0] > 0.5
    assert prepare(plain, how, torch.float32).shape == (1, 3, 16, 16)


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta"])
def test_devices_that_are_not_there_are_refused(name: str) -> None:
    with pytest.raises(DeviceError):
        choose_device(name)


def test_half_precision_goes_all_the_way(tiny_bundle: Bundle, tiny_models: FrozenModels) -> None:
    """What a GPU runs in: bfloat16 for the frozen models, float32 for the learner and the cosines."""
    half = load_models(tiny_bundle, "cpu").place(torch.device("cpu"), torch.bfloat16)
    learner = PromptLearner(widths(half), tiny_models.clip.embed_words("a photo of a"))
    evidence = half.encode(pictures(3))
    assert evidence.image_feature.dtype == evidence.caption_embedding.dtype == torch.float32
    with torch.no_grad():
        low = BimorsHead(half.clip, LABELS, learner).forward(evidence)
        full = BimorsHead(tiny_models.clip, LABELS, learner).forward(tiny_models.encode(pictures(3)))
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, full, rtol=0, atol=0.6)
    torch.testing.assert_close(
        ZeroShotHead(half.clip, LABELS, ["a photo of a {}."]).forward(evidence), low, rtol=0, atol=0.3
    )
