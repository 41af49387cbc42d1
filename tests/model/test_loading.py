"""Weights come from safetensors, and every tensor of them is accounted for."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.overrides import TorchFunctionMode
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining, BertModel

from bimors_cli.bundle.manifest import CAPTION_ENCODER, CAPTIONER, CLIP, Bundle
from bimors_cli.errors import BundleError
from bimors_cli.labels import Labels
from bimors_cli.model.caption_encoder import CaptionEncoder
from bimors_cli.model.captioner import Captioner
from bimors_cli.model.clip import Clip, build_clip
from bimors_cli.model.loading import load_into, skip_init
from bimors_cli.model.preprocessing import Preprocessing, prepare

LOADERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    CLIP: (Clip.load, "open_clip_model.safetensors"),
    CAPTIONER: (Captioner.load, "model.safetensors"),
    CAPTION_ENCODER: (CaptionEncoder.load, "model.safetensors"),
}
Tensors = dict[str, torch.Tensor]


@pytest.fixture
def copy(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle.folder, tmp_path / "copy"))


def change(path: Path, how: Callable[[Tensors], object]) -> None:
    tensors = load_file(path)
    how(tensors)
    save_file(tensors, path, {"format": "pt"})


def first(tensors: Tensors) -> str:
    return next(name for name in sorted(tensors) if tensors[name].ndim == 2)


DAMAGES: dict[str, tuple[Callable[[Tensors], object], str]] = {
    "missing": (lambda t: t.pop(first(t)), "missing tensor "),
    "unexpected": (lambda t: t.update(third_tower=torch.ones(2)), "unexpected tensor third_tower"),
    "shape": (lambda t: t.update({first(t): t[first(t)][:, 1:].contiguous()}), "the configuration has"),
    "dtype": (lambda t: t.update({first(t): t[first(t)].to(torch.int32)}), "is I32, not floating point"),
    "nan": (lambda t: t[first(t)].view(-1)[:1].fill_(float("nan")), "not finite"),
    "infinite": (lambda t: t[first(t)].view(-1)[-1:].fill_(float("inf")), "not finite"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("part", LOADERS)
def test_weights_that_do_not_fit_are_told_by_file_and_name(part: str, damage: str, copy: Path) -> None:
    load, file = LOADERS[part]
    how, said = DAMAGES[damage]
    change(copy / part / file, how)
    with pytest.raises(BundleError) as caught:
        load(copy / part)
    assert said in caught.value.message and "\n" not in caught.value.message
    assert str(copy / part / file) in caught.value.message


@pytest.mark.parametrize("part", LOADERS)
def test_a_file_that_is_cut_or_gone(part: str, copy: Path) -> None:
    load, file = LOADERS[part]
    path = copy / part / file
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(BundleError, match="not a safetensors file, or damaged"):
        load(copy / part)
    path.unlink()
    with pytest.raises(BundleError, match=f"{file}: missing"):
        load(copy / part)
    (copy / part / "pytorch_model.bin").touch()
    with pytest.raises(BundleError, match=r"pytorch_model.bin is a pickle") as caught:
        load(copy / part)
    assert "bimors_cli.model.pickle_to_safetensors" in (caught.value.hint or "")


@pytest.mark.parametrize("part", LOADERS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_any_precision_on_disk_becomes_float32(part: str, dtype: torch.dtype, copy: Path) -> None:
    load, file = LOADERS[part]
    rounded = {name: t.to(dtype) for name, t in load_file(copy / part / file).items()}
    save_file(rounded, copy / part / file, {"format": "pt"})
    model = load(copy / part).model
    own = model.state_dict()
    assert {t.dtype for t in own.values() if t.is_floating_point()} == {torch.float32}
    assert not any(p.requires_grad for p in model.parameters()) and not model.training
    known = [name for name in rounded if name in own]
    assert len(known) > 10 and all(torch.equal(own[name], rounded[name].float()) for name in known)


def test_a_captioner_is_made_in_the_precision_of_the_run(tiny_bundle: Bundle) -> None:
    captioner = Captioner.load(tiny_bundle.part(CAPTIONER), torch.bfloat16)
    encoder = CaptionEncoder.load(tiny_bundle.part(CAPTION_ENCODER), torch.bfloat16)
    assert captioner.model.dtype == encoder.model.dtype == torch.bfloat16


def test_shards(copy: Path) -> None:
    folder = copy / CAPTIONER
    whole = Captioner.load(folder).model
    whole.save_pretrained(folder, max_shard_size="50KB")
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    assert len(set(content["weight_map"].values())) > 2
    ours = Captioner.load(folder).model.state_dict()
    assert all(torch.equal(ours[name], tensor) for name, tensor in whole.state_dict().items())

    shard = sorted(folder.glob("model-*"))[1]
    change(shard, DAMAGES["shape"][0])
    with pytest.raises(BundleError, match=f"{shard.name}: .* the configuration has"):
        Captioner.load(folder)
    shard.unlink()
    with pytest.raises(BundleError, match=f"{shard.name}: missing"):
        Captioner.load(folder)
    for name in ("../model.safetensors", "/etc/passwd", "model.bin"):
        index.write_text(json.dumps({"weight_map": {"a": name}}))
        with pytest.raises(BundleError, match="not the name of a safetensors file"):
            Captioner.load(folder)
    index.write_text("[]")
    with pytest.raises(BundleError, match="damaged"):
        Captioner.load(folder)


@pytest.mark.parametrize(("part", "kind"), [(CAPTIONER, "git"), (CAPTIONER, None), (CAPTION_ENCODER, "roberta")])
def test_another_kind_of_model(part: str, kind: str | None, copy: Path) -> None:
    path = copy / part / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": kind}))
    with pytest.raises(BundleError, match=f"model_type {kind!r}"):
        LOADERS[part][0](copy / part)


@pytest.mark.parametrize(
    ("part", "file", "text"),
    [
        (CLIP, "open_clip_config.json", "{"),
        (CLIP, "open_clip_config.json", "{}"),
        (CLIP, "open_clip_config.json", '{"model_cfg": {"embed_dim": 32, "vision_cfg": {"depth": 3}, "text_cfg": {}}}'),
        (CAPTIONER, "config.json", "[]"),
        (CAPTIONER, "config.json", '{"model_type": "blip-2", "image_token_index": 3, "num_query_tokens": "many"}'),
        (CAPTIONER, "config.json", '{"model_type": "blip-2"}'),
        (CAPTIONER, "preprocessor_config.json", "{}"),
        (CAPTIONER, "preprocessor_config.json", '{"image_mean": [1, 2], "image_std": [1, 2]}'),
        (CAPTIONER, "preprocessor_config.json", '{"image_mean": [0, 0, 0], "image_std": [1, 1, 1], "resample": 0}'),
        (
            CAPTIONER,
            "preprocessor_config.json",
            '{"image_mean": [0, 0, 0], "image_std": [1, 1, 1], "rescale_factor": 1}',
        ),
        (CAPTIONER, "tokenizer.json", "{"),
        (CAPTION_ENCODER, "config.json", '{"model_type": "bert", "hidden_size": "wide"}'),
    ],
)
def test_a_damaged_configuration_is_one_line(part: str, file: str, text: str, copy: Path) -> None:
    (copy / part / file).write_text(text)
    with pytest.raises(BundleError) as caught:
        LOADERS[part][0](copy / part)
    assert str(copy / part) in caught.value.message and "\n" not in caught.value.message


def test_either_place_of_the_image_processor(copy: Path) -> None:
    before = Captioner.load(copy / CAPTIONER).preprocessing
    path = copy / CAPTIONER / "preprocessor_config.json"
    content = json.loads(path.read_text())
    path.unlink()
    (path.parent / "processor_config.json").write_text(json.dumps({"image_processor": content, "num_query_tokens": 4}))
    assert Captioner.load(copy / CAPTIONER).preprocessing == before
    (path.parent / "processor_config.json").write_text("{}")
    with pytest.raises(BundleError, match="image_processor is missing"):
        Captioner.load(copy / CAPTIONER)


def test_interpolation_is_the_configurations_own(copy: Path) -> None:
    path = copy / CLIP / "open_clip_config.json"
    content = json.loads(path.read_text())
    content["preprocess_cfg"] |= {"interpolation": "bilinear", "resize_mode": "shortest"}
    path.write_text(json.dumps(content))
    how = Clip.load(copy / CLIP).preprocessing
    assert how.interpolation == "bilinear"
    picture = torch.randint(0, 256, (1, 3, 50, 50), dtype=torch.uint8)
    bicubic = Preprocessing(how.size, how.mean, how.std)
    assert not torch.equal(prepare(picture, how, torch.float32), prepare(picture, bicubic, torch.float32))
    content["preprocess_cfg"] = None  # OpenAI's constants, as open_clip has it
    path.write_text(json.dumps(content))
    assert Clip.load(copy / CLIP).preprocessing.mean[0] == pytest.approx(0.48145466)


def small_bert(kind: Any) -> Any:
    return kind(
        BertConfig(vocab_size=404, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
    )


@pytest.mark.parametrize("kind", [BertForPreTraining, BertForMaskedLM, BertModel])
@pytest.mark.parametrize("old_names", [False, True])
def test_bert_as_it_was_trained(kind: Any, old_names: bool, copy: Path) -> None:
    """With the heads that are not used, names after the whole model, and norms of the names that the first ones had."""
    folder = copy / CAPTION_ENCODER
    bert = small_bert(kind)
    bert.save_pretrained(folder)

    def rename(tensors: Tensors) -> None:
        for name in list(tensors):
            if "LayerNorm" in name:
                renamed = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                    "LayerNorm.bias", "LayerNorm.beta"
                )
                tensors[renamed] = tensors.pop(name) + 0.5
        tensors["bert.embeddings.position_ids"] = torch.arange(512)

    if old_names:
        change(folder / "model.safetensors", rename)
    ours = CaptionEncoder.load(folder).model.state_dict()
    theirs = getattr(bert, "bert", bert).state_dict()
    assert len(ours) > 20
    for name, tensor in ours.items():
        moved = 0.5 if old_names and "LayerNorm" in name else 0.0
        assert torch.allclose(tensor, theirs[name] + moved), name


def test_bert_without_a_layer_is_not_made_up(copy: Path) -> None:
    folder = copy / CAPTION_ENCODER
    small_bert(BertForPreTraining).save_pretrained(folder)
    change(folder / "model.safetensors", lambda t: [t.pop(name) for name in list(t) if ".layer.1." in name])
    with pytest.raises(BundleError, match=r"missing tensor encoder.layer.1.* and \d+ more"):
        CaptionEncoder.load(folder)


class NoDraws(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func not in (torch.Tensor.normal_, torch.Tensor.uniform_), func
        return func(*args, **(kwargs or {}))


def test_nothing_is_drawn_for_weights_that_are_loaded(tiny_bundle: Bundle) -> None:
    config = json.loads((tiny_bundle.part(CLIP) / "open_clip_config.json").read_text())["model_cfg"]
    with NoDraws(), skip_init():
        model = build_clip(config)
    load_into(model, tiny_bundle.part(CLIP) / "open_clip_model.safetensors")
    built = build_clip(config)
    assert {n: (t.shape, t.dtype) for n, t in model.named_buffers()} == {
        n: (t.shape, t.dtype) for n, t in built.named_buffers()
    }
    assert torch.equal(model.attn_mask, built.attn_mask)  # no weight, and still there


def test_openais_tokenizer_comes_with_open_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without tokenizer files reads words all the same, and makes no connection for it."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    text = {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 1}
    vision = {"image_size": 48, "layers": 1, "width": 80, "head_width": 16, "patch_size": 16}
    config = {"embed_dim": 24, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    state = {name: tensor.contiguous() for name, tensor in build_clip(config).state_dict().items()}
    # As OpenAI's own files have them.
    about = {"input_resolution": torch.tensor(48.0), "context_length": torch.tensor(20.0)}
    save_file(state | about, tmp_path / "open_clip_model.safetensors")
    clip = Clip.load(tmp_path)
    assert clip.tokenize(["a photo"])[0, :5].tolist() == [49406, 320, 1125, 49407, 0]
    feature, tokens = clip.encode_image(torch.zeros(2, 3, 48, 48, dtype=torch.uint8))
    assert feature.shape == (2, 24) and tokens.shape == (2, 10, 80) and clip.patch_width == 80
    learned = clip.text_tower()
    assert (learned.width, learned.context_length, learned.start_id) == (32, 20, 49406)
    names = clip.name_tokens(Labels.of(["forest", "bare land"]), 4)
    assert learned(torch.zeros(2, 4, 32), names).shape == (2, 2, 24)
