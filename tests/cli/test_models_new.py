"""`bimors models new`: parts that lie about become a bundle that classifies, or nothing at all."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner, Result

from bimors_cli.bundle.listing import bundle_info
from bimors_cli.bundle.manifest import CAPTION_ENCODER, CAPTIONER, CLIP, Bundle, open_bundle
from bimors_cli.cli.main import app
from bimors_cli.model.clip import Clip
from bimors_cli.options.templates import REMOTE_SENSING
from bimors_cli.pipeline.bundles import make as module
from tests.model.test_florence2 import saved as saved_florence2
from tests.pipeline.bundles.test_lora import write_lora


def bimors(*args: object) -> Result:
    return CliRunner().invoke(app, [*map(str, args)])


@pytest.fixture
def parts(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """Folders as they come from the hub: with what a bundle has no use for."""
    for part in (CLIP, CAPTIONER, CAPTION_ENCODER):
        shutil.copytree(tiny_bundle.part(part), tmp_path / part)
        (tmp_path / part / "README.md").write_text("# a card")
        (tmp_path / part / ".gitattributes").write_text("*.bin")
    (tmp_path / CAPTIONER / "pytorch_model.bin").write_bytes(b"\x80")
    return tmp_path


def new(parts: Path, *more: object, **other: object) -> Result:
    given = {"-o": parts / "mine", "--clip": parts / CLIP, "--captioner": parts / CAPTIONER}
    given |= {"--caption-encoder": parts / CAPTION_ENCODER, "--device": "cpu"} | other
    return bimors("models", "new", *(x for pair in given.items() for x in pair), *more)


def left(parts: Path) -> list[str]:
    return sorted(p.name for p in parts.iterdir() if p.name not in (CLIP, CAPTIONER, CAPTION_ENCODER))


def test_a_bundle_of_ones_own_classifies_zero_shot(parts: Path, make_raster: Any, monkeypatch: Any) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    result = new(parts, "--licence", "clip=MIT", "--licence", "pictures=CC-BY-4.0", "--description", "for tests")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.strip() == str(parts / "mine")
    bundle = open_bundle(parts / "mine")
    assert (bundle.name, bundle.description, bundle.context) == ("mine", "for tests", "a photo of a")
    assert (bundle.image_size, bundle.zero_shot_temperature, bundle.vocabulary) == (32, 1.0, None)
    assert bundle.licences["clip"] == "MIT" and bundle.licences["pictures"] == "CC-BY-4.0"
    assert bundle.licences["captioner"] == "not stated"
    names = {entry.path for entry in bundle.files}
    assert "clip/open_clip_model.safetensors" in names and "captioner/preprocessor_config.json" in names
    assert not any(name.endswith((".md", ".bin", ".gitattributes")) for name in names)
    assert all((bundle.folder / name).stat().st_mode & 0o444 == 0o444 for name in names)

    scene = make_raster(np.random.default_rng(0).integers(1, 256, (3, 64, 64), dtype=np.uint8))
    (parts / "labels.txt").write_text("forest\nriver\n")
    layer = parts / "out.gpkg"
    asked = ("classify", scene, "-l", parts / "labels.txt", "--model", bundle.folder, "--tile-size", 32, "-o", layer)
    result = bimors(*asked)
    assert result.exit_code == 0, result.stderr
    assert "mine has no adapter: the zero-shot head is used" in result.stderr
    rows = gpd.read_file(layer, layer="tiles")
    assert len(rows) == 4 and rows["label"].isin(["forest", "river"]).all()
    same = bimors(*asked, "--head", "zero-shot", "--overwrite")
    assert same.exit_code == 0 and "no adapter" not in same.stderr
    assert gpd.read_file(layer, layer="tiles").drop(columns="geometry").equals(rows.drop(columns="geometry"))


def test_name_context_and_temperature(parts: Path) -> None:
    more = ("--name", "coast", "--context", "a satellite photo of", "--temperature", 0.7)
    assert new(parts, *more).exit_code == 0
    bundle = open_bundle(parts / "mine")
    assert (bundle.name, bundle.context, bundle.zero_shot_temperature) == ("coast", "a satellite photo of", 0.7)


def test_templates_of_ones_own(parts: Path) -> None:
    assert new(parts).exit_code == 0
    assert open_bundle(parts / "mine").templates == REMOTE_SENSING
    assert new(parts, "--template", "{}", "--template", "{} from above.", "--overwrite").exit_code == 0
    assert open_bundle(parts / "mine").templates == ("{}", "{} from above.")
    assert bundle_info(str(parts / "mine"))["templates"] == ["{}", "{} from above."]
    refused = new(parts, "--template", "none", "--overwrite")
    assert refused.exit_code == 2 and "has no {}" in refused.stderr
    refused = new(parts, "--template", "very " * 90 + "{}", "--overwrite")
    assert refused.exit_code == 2 and "too long" in refused.stderr


def test_links_where_asked(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = parts / CLIP / "open_clip_model.safetensors"
    assert new(parts).exit_code == 0
    assert not os.path.samefile(weights, parts / "mine" / CLIP / weights.name)
    assert new(parts, "--link", "--overwrite").exit_code == 0
    assert os.path.samefile(weights, parts / "mine" / CLIP / weights.name)

    def other_disk(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(module.os, "link", other_disk)
    assert new(parts, "--link", "--overwrite").exit_code == 0
    assert not os.path.samefile(weights, parts / "mine" / CLIP / weights.name)


def test_links_in_the_hubs_cache_become_files(parts: Path) -> None:
    blob = parts / "blob"
    weights = parts / CAPTION_ENCODER / "model.safetensors"
    weights.rename(blob)
    weights.symlink_to(blob)
    for more in ((), ("--link", "--overwrite")):
        assert new(parts, *more).exit_code == 0
        assert not (parts / "mine" / CAPTION_ENCODER / weights.name).is_symlink()
        open_bundle(parts / "mine")


def test_what_is_there_stays_unless_overwrite(parts: Path) -> None:
    assert new(parts).exit_code == 0
    before = (parts / "mine" / "manifest.json").read_bytes()
    result = new(parts, "--name", "other")
    assert result.exit_code == 2 and "--overwrite" in result.stderr
    assert (parts / "mine" / "manifest.json").read_bytes() == before
    assert new(parts, "--name", "other", "--overwrite").exit_code == 0
    assert open_bundle(parts / "mine").name == "other"
    (parts / "home").mkdir()
    (parts / "home" / "letter.txt").write_text("dear")
    result = new(parts, "--overwrite", **{"-o": parts / "home"})
    assert result.exit_code == 2 and "has no manifest.json: it is not replaced" in result.stderr
    assert (parts / "home" / "letter.txt").is_file()
    assert left(parts) == ["home", "mine"]


def test_weights_alone_with_an_architecture(parts: Path) -> None:
    """The weights of a CLIP beside a configuration, as open_clip keeps its own, or as its folders have it."""
    folder = parts / CLIP
    config = json.loads((folder / "open_clip_config.json").read_text())
    for content in (config, config["model_cfg"]):
        (folder / "small.json").write_text(json.dumps(content))
        how = {"--clip": folder / "open_clip_model.safetensors", "--clip-config": folder / "small.json"}
        assert new(parts, "--overwrite", **how).exit_code == 0
        loaded = Clip.load(parts / "mine" / CLIP)
    assert loaded.preprocessing.mean[0] == pytest.approx(0.48145466)  # none in the model's own: OpenAI's
    result = new(parts, "--overwrite", **{"--clip": folder / "open_clip_model.safetensors"})
    assert result.exit_code == 2 and "--clip-config" in result.stderr
    how = {"--clip": folder / "open_clip_model.safetensors", "--clip-config": "ViT-Q-99"}
    result = new(parts, "--overwrite", **how)
    assert result.exit_code == 2 and "not an architecture of open_clip" in result.stderr
    result = new(parts, "--overwrite", **{"--clip-config": "ViT-B-32"})
    assert result.exit_code == 2 and "omit --clip-config" in result.stderr


@pytest.mark.parametrize("part", ["--clip", "--captioner", "--caption-encoder"])
def test_pickles_are_refused_with_a_hint(part: str, parts: Path) -> None:
    folder = parts / part.removeprefix("--").replace("-", "_")
    for weights in folder.glob("*.safetensors"):
        weights.unlink()
    (folder / "open_clip_pytorch_model.bin").write_bytes(b"\x80")
    result = new(parts)
    assert result.exit_code == 1 and "python -m bimors_cli.model.pickle_to_safetensors" in result.stderr.replace(
        "\n", " "
    )
    assert left(parts) == []
    if part == "--clip":
        result = new(parts, **{"--clip": folder / "open_clip_pytorch_model.bin"})
        assert result.exit_code == 1 and "pickles are not supported" in result.stderr.replace("\n", " ")


def _nan(path: Path) -> None:
    tensors = load_file(path)
    tensors[max(tensors)].fill_(float("nan"))
    save_file(tensors, path, {"format": "pt"})


@pytest.mark.parametrize(
    ("break_it", "code", "said"),
    [
        (lambda p: shutil.rmtree(p / CAPTIONER), 2, "folder not found"),
        (lambda p: shutil.rmtree(p / CLIP), 2, "not found"),
        (lambda p: (p / CAPTIONER / "config.json").write_text('{"model_type": "git"}'), 1, "model_type 'git'"),
        (lambda p: (p / CAPTION_ENCODER / "config.json").unlink(), 1, "config.json"),
        (lambda p: (p / CLIP / "open_clip_config.json").unlink(), 1, "open_clip_config.json: file not found"),
        (lambda p: (p / CLIP / "tokenizer.json").unlink(), 1, "open_clip_config.json"),
        (lambda p: _nan(p / CLIP / "open_clip_model.safetensors"), 1, "not finite"),
        (lambda p: _nan(p / CAPTION_ENCODER / "model.safetensors"), 1, "not finite"),
    ],
)
def test_a_part_that_does_not_work_leaves_nothing(break_it: Any, code: int, said: str, parts: Path) -> None:
    break_it(parts)
    result = new(parts)
    assert result.exit_code == code and said in result.stderr.replace("\n", " "), result.stderr
    assert result.stdout == "" and left(parts) == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--licence", "MIT"), "not of the form PART=TERMS"),
        (("--temperature", "0"), "must be more than 0"),
        (("--temperature", "nan"), "must be more than 0"),
        (("--context", "word " * 90), "too long"),
    ],
)
def test_values_that_cannot_be(more: tuple[str, ...], said: str, parts: Path) -> None:
    result = new(parts, *more)
    assert result.exit_code == 2 and said in result.stderr and left(parts) == []


def test_the_proof_looks_at_a_picture(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that are all there and finite, and an answer that is no number."""
    path = parts / CLIP / "open_clip_model.safetensors"
    tensors = load_file(path)
    tensors["logit_scale"] = torch.tensor(1e4)
    save_file(tensors, path)
    result = new(parts)
    assert result.exit_code == 1 and "the output for a test image is not finite" in result.stderr.replace("\n", " ")
    assert left(parts) == []


def test_a_lora_is_merged_into_the_captioner(parts: Path) -> None:
    base = parts / CAPTIONER / "model.safetensors"
    before = base.read_bytes()
    write_lora(parts / "lora", base)
    # With links, the user's own file must stay as it is.
    result = new(parts, "--captioner-lora", parts / "lora", "--link")
    assert result.exit_code == 0, result.stderr
    bundle = open_bundle(parts / "mine")
    merged, plain = load_file(bundle.part(CAPTIONER) / "model.safetensors"), load_file(base)
    assert sum(not torch.equal(merged[name], plain[name]) for name in plain) == 4
    assert base.read_bytes() == before
    assert not list(bundle.folder.rglob("adapter_*"))  # peft would apply it a second time


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"r": 8}, "the rank in adapter_config.json is 8"),
        ({"target_modules": ["self_attn.qkv"]}, "is not among the targets"),
    ],
)
def test_half_a_lora_leaves_nothing(change: dict[str, Any], said: str, parts: Path) -> None:
    write_lora(parts / "lora", parts / CAPTIONER / "model.safetensors")
    config = parts / "lora" / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    result = new(parts, "--captioner-lora", parts / "lora")
    assert result.exit_code != 0 and said in result.stderr and left(parts) == ["lora"]


def test_a_lora_that_is_not_there(parts: Path) -> None:
    result = new(parts, "--captioner-lora", parts / "lora")
    assert result.exit_code == 2 and "adapter_config.json: not found" in result.stderr and left(parts) == []


def test_a_lora_without_a_captioner(parts: Path) -> None:
    given = ("-o", parts / "mine", "--clip", parts / CLIP, "--captioner-lora", parts / "lora")
    result = bimors("models", "new", *given)
    assert result.exit_code == 2 and "--captioner-lora needs --captioner" in result.stderr


def test_a_bundle_with_florence_2_captions(parts: Path, make_raster: Any) -> None:
    shutil.rmtree(parts / CAPTIONER)
    saved_florence2(parts / CAPTIONER)
    result = new(parts)
    assert result.exit_code == 0, result.stderr
    bundle = open_bundle(parts / "mine")
    assert bundle.image_size == 64
    scene = make_raster(np.random.default_rng(0).integers(1, 256, (3, 128, 128), dtype=np.uint8))
    layer = parts / "captions.gpkg"
    result = bimors("caption", scene, "--model", bundle.folder, "--tile-size", 64, "-o", layer)
    assert result.exit_code == 0, result.stderr
    assert gpd.read_file(layer, layer="captions")["caption"].str.len().gt(0).all()
