"""Checkpoints of the published code: the same answers through the import as by that code itself."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transformer import VisionTransformer
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from bimors_cli.errors import BundleError, InputError
from bimors_cli.model.clip import build_clip
from bimors_cli.model.heads.bimors import PromptLearner, PromptLearnerWidths
from bimors_cli.model.loading import skip_init
from bimors_cli.model.official_checkpoint import from_official, no_projection, projection_of_seed
from bimors_cli.model.pickle_to_safetensors import pickle_to_safetensors
from bimors_cli.model.text_encoder import NameTokens
from tests.model.test_official_parity import STEM, build, rebuilt

SMALL = PromptLearnerWidths(context=0, text=32, patch=48, caption=40)
HERE = Path("model.pth.tar-10")


def checkpoint(widths: PromptLearnerWidths, *, tokens: int = 4, classes: int = 3, seed: int = 0) -> dict[str, Any]:
    """What the published code saves of a prompt learner."""
    torch.manual_seed(seed)
    text, hidden = widths.text, widths.patch // 16
    attention = nn.MultiheadAttention(text, 4)
    found = {
        "ctx": torch.randn(tokens, text),
        "token_prefix": torch.randn(classes, 1, text),
        "token_suffix": torch.randn(classes, 72, text),
        **{f"meta_net.linear1.{n}": t for n, t in nn.Linear(widths.patch, hidden).state_dict().items()},
        **{f"meta_net.linear2.{n}": t for n, t in nn.Linear(hidden, text).state_dict().items()},
        **{f"cross_attn.cross_attend_blocks.fn.{n}": t for n, t in attention.state_dict().items()},
    }
    for norm in ("norm", "norm_context"):
        found[f"cross_attn.cross_attend_blocks.{norm}.weight"] = torch.ones(text)
        found[f"cross_attn.cross_attend_blocks.{norm}.bias"] = torch.zeros(text)
    return {name: tensor.half() for name, tensor in found.items()}


def test_every_tensor_finds_its_place() -> None:
    state = from_official(HERE, checkpoint(SMALL, tokens=5), SMALL)
    learner = PromptLearner(PromptLearnerWidths(5, SMALL.text, SMALL.patch, SMALL.caption))
    learner.load_state_dict(state | no_projection(SMALL), strict=True)
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    # Without its projection the caption has no part in the answer.
    patch = torch.randn(2, 7, SMALL.patch)
    answers = [learner(patch, torch.randn(2, SMALL.caption)) for _ in range(2)]
    assert torch.equal(*answers)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_parity_through_the_import(dtype: torch.dtype, tmp_path: Path) -> None:
    """As `test_official_parity`, with the learner read back from a checkpoint file."""
    spec = json.loads(STEM.with_suffix(".json").read_text())
    expected = np.load(STEM.with_suffix(".npz"))
    tensors = rebuilt(spec, torch.float32)
    token_ids = torch.from_numpy(expected["token_ids"])
    given, _ = build(spec, tensors, token_ids, torch.float32)
    _, tower = build(spec, rebuilt(spec, dtype), token_ids, dtype)

    ours = ("meta_net.", "cross_attn.", "token_gen.")
    content = {name: tensor for name, tensor in tensors.items() if name.startswith(ours)}
    content |= {"ctx": given.context.detach(), "token_prefix": torch.zeros(5, 1, given.widths.text)}
    torch.save({"state_dict": content, "epoch": 10, "val_result": np.float64(90.1)}, tmp_path / "model.pth.tar-10")
    pickle_to_safetensors(tmp_path / "model.pth.tar-10", tmp_path / "model.safetensors")
    state = from_official(HERE, load_file(tmp_path / "model.safetensors"), given.widths)
    learner = PromptLearner(given.widths)
    learner.load_state_dict(state, strict=True)
    learner.to(dtype)

    suffix = token_ids[:, 1 + spec["n_ctx"] :]
    names = NameTokens(suffix, suffix.argmax(dim=-1)).part(0, len(suffix))
    inputs = rebuilt(spec, dtype)
    with torch.no_grad():
        prompt = learner(inputs["img_embed"], inputs["caption_embedding"].squeeze(1))
        features = tower(prompt, names)
    image = functional.normalize(inputs["image_features"], dim=-1)
    logits = spec["logit_scale"] * torch.einsum("bd,bkd->bk", image, features.to(dtype))
    for name, found in (("contextual_prompt", prompt), ("text_features", features), ("logits", logits)):
        tolerance = 1e-9 if dtype == torch.float64 else 1e-4
        assert np.abs(found.numpy() - expected[name]).max() < tolerance, name
    assert np.abs(prompt.numpy() - expected["official_contextual_prompt"]).max() < 3e-3
    assert np.abs(logits.numpy() - expected["official_logits"]).max() < 5e-3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.pop("ctx"), "ctx is missing"),
        (lambda c: c.pop("meta_net.linear1.bias"), "missing tensor meta_net.linear1.bias"),
        (
            lambda c: c.pop("cross_attn.cross_attend_blocks.fn.in_proj_weight"),
            "missing tensor cross_attn.*in_proj_weight",
        ),
        (lambda c: c.update({"visual.proj": torch.ones(2)}), "unexpected tensor visual.proj"),
        (lambda c: c.update({"ctx_more": torch.ones(2)}), "unexpected tensor ctx_more"),
        (lambda c: c.update({"ctx": torch.full((4, 32), float("nan"))}), "ctx contains values that are not finite"),
        (lambda c: c.update({"ctx": torch.ones(4, 32, dtype=torch.int64)}), "not floating point"),
        (
            lambda c: c.update({"meta_net.linear2.bias": torch.ones(9)}),
            r"meta_net.linear2.bias has shape \(9,\), expected",
        ),
        (lambda c: c.update({"token_gen.linear.weight": torch.ones(32, 40)}), "weight or bias of token_gen is missing"),
    ],
)
def test_what_is_no_checkpoint_of_it(change: Any, said: str) -> None:
    content = checkpoint(SMALL)
    change(content)
    with pytest.raises(BundleError, match=said) as caught:
        from_official(HERE, content, SMALL)
    assert "\n" not in caught.value.message and caught.value.message.startswith("model.pth.tar-10: ")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (PromptLearnerWidths(0, 64, 48, 40), "text width 32 does not match the bundle's 64"),
        (PromptLearnerWidths(0, 32, 80, 40), "patch token width 48 does not match the bundle's 80"),
    ],
)
def test_a_checkpoint_for_another_clip_says_both_widths(other: PromptLearnerWidths, said: str) -> None:
    with pytest.raises(BundleError, match=said):
        from_official(HERE, checkpoint(SMALL), other)


def test_a_saved_projection_of_another_width() -> None:
    saved = {"token_gen.linear.weight": torch.ones(32, 44), "token_gen.linear.bias": torch.ones(32)}
    with pytest.raises(BundleError, match="caption width 44 does not match the bundle's 40"):
        from_official(HERE, checkpoint(SMALL) | saved, SMALL)


def begun_with(seed: int, clip: Any, patch: int, text: int, caption: int) -> tuple[dict[str, Any], nn.Linear]:
    """The published code's modules in the order in which it makes them, a whole CLIP of random weights first."""
    visual = clip.visual
    torch.manual_seed(seed)
    nn.Conv2d(3, patch, visual.conv1.kernel_size, bias=False)
    for shape in ((patch,), visual.positional_embedding.shape):
        torch.randn(shape)

    def block(width: int) -> Any:
        return nn.MultiheadAttention(width, 1), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    for _ in visual.transformer.resblocks:
        block(patch)
    torch.randn(visual.proj.shape)
    blocks = [block(text) for _ in clip.transformer.resblocks]
    words = nn.Embedding(*clip.token_embedding.weight.shape)
    nn.init.normal_(words.weight, std=0.02)
    nn.init.normal_(torch.empty(clip.positional_embedding.shape), std=0.01)
    for attention, up, down in blocks:
        for weight in (attention.in_proj_weight, attention.out_proj.weight, up.weight, down.weight):
            nn.init.normal_(weight, std=0.1)
    nn.init.normal_(torch.empty(clip.text_projection.shape), std=0.1)
    first, second = nn.Linear(patch, patch // 16), nn.Linear(patch // 16, text)
    attention = nn.MultiheadAttention(text, 4)
    state = {
        "context": torch.randn(4, text, generator=torch.Generator()),
        "meta_net.0.weight": first.weight.detach(),
        "meta_net.2.weight": second.weight.detach(),
        "attention.in_proj_weight": attention.in_proj_weight.detach(),
        "attention.out_proj.weight": attention.out_proj.weight.detach(),
    }
    return state, nn.Linear(caption, text)


def test_the_projection_follows_from_the_seed() -> None:
    text = {"context_length": 20, "vocab_size": 99, "width": 32, "heads": 4, "layers": 3}
    vision = {"image_size": 32, "layers": 2, "width": 48, "head_width": 16, "patch_size": 8}
    clip: Any = SimpleNamespace(model=build_clip({"embed_dim": 24, "vision_cfg": vision, "text_cfg": text}))
    state, projection = begun_with(7, clip.model, 48, 32, 40)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    trained = {name: tensor + 2 * tensor.std() * torch.randn_like(tensor) for name, tensor in state.items()}
    torch.random.set_rng_state(before)
    found = projection_of_seed(HERE, trained, clip, 40, 7)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(found["caption_projection.weight"], projection.weight)
    assert torch.equal(found["caption_projection.bias"], projection.bias)
    with pytest.raises(InputError, match="was not trained with seed 8"):
        projection_of_seed(HERE, trained, clip, 40, 8)


def test_a_clip_that_the_published_code_cannot_build(tiny_models: Any) -> None:
    model = SimpleNamespace(visual=nn.Identity())
    with pytest.raises(BundleError, match="does not support the CLIP of this bundle"):
        projection_of_seed(HERE, {}, SimpleNamespace(model=model), 40, 7)  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_projection_of_the_papers_clip() -> None:
    """Numbers that OpenAI's own class, the published code's parts behind it, gives for ViT-B/16 and seed 1."""
    with skip_init():
        model = build_clip(open_clip.get_model_config("ViT-B-16-quickgelu"))
    assert isinstance(model.visual, VisionTransformer)
    state, projection = begun_with(1, model, 768, 512, 768)
    found = projection_of_seed(HERE, state, SimpleNamespace(model=model), 768, 1)  # type: ignore[arg-type]
    weight, bias = found["caption_projection.weight"], found["caption_projection.bias"]
    assert torch.equal(weight, projection.weight)
    assert weight[0, :3].tolist() == pytest.approx([0.034356411546468735, 0.023037301376461983, 0.01986401528120041])
    assert weight[-1, -2:].tolist() == pytest.approx([0.004157461225986481, -0.005875109229236841])
    assert bias[:2].tolist() == pytest.approx([0.03234609588980675, -0.003018015995621681])
