"""CLIPs by the names of open_clip and of the hub become bundles: fetched, converted, verified, used."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save
from transformers import CLIPModel

from bimors_cli.bundle.fetch import fetch_bundle
from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import CAPTIONER, CLIP, Bundle, open_bundle
from bimors_cli.bundle.references import parse_reference
from bimors_cli.bundle.store import remove_bundle, verify_bundle
from bimors_cli.errors import BundleError, InputError
from bimors_cli.model.clip import Clip, build_clip
from bimors_cli.model.pickle_to_safetensors import convert as convert_here
from bimors_cli.pipeline.bundles import clip_entry
from bimors_cli.pipeline.bundles.to_fetch import find_to_fetch
from tests.bundle.hub_server import Hub
from tests.bundle.test_fetch import home, hub
from tests.model.test_transformers_clip import clip_config, randomise

__all__ = ["home", "hub"]

SMALL = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
WEIGHTS = "open_clip_model.safetensors"


def tensors(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.contiguous() for name, value in model.state_dict().items()}


def pickled(content: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def fetch(name: str) -> Bundle:
    """As `bimors models fetch` does."""
    wanted = find_to_fetch(name, None, None)
    fetch_bundle(wanted.entry, wanted.target, wanted.convert, lambda _line: None, progress=False)
    return verify_bundle(find_bundle(name))


@pytest.fixture(autouse=True)
def _convert_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_entry, "pickle_to_safetensors", convert_here)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A small architecture in place of one of open_clip."""
    known = {"ViT-B-32-256": SMALL}
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: copy.deepcopy(known.get(name)))
    return randomise(build_clip(SMALL))


@pytest.mark.parametrize("file", [WEIGHTS, "open_clip_pytorch_model.bin"])
def test_a_pretrained_tag_of_open_clip(file: str, small: Any, hub: Hub, home: Path) -> None:
    repository = "laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K"  # as open_clip's own table says
    content = save(tensors(small)) if file == WEIGHTS else pickled(tensors(small))
    hub.repositories[repository] = {file: content, "README.md": b"#"}
    bundle = fetch("openclip:ViT-B-32-256/datacomp_s34b_b86k")
    assert bundle.name == "openclip--ViT-B-32-256--datacomp_s34b_b86k" and not bundle.has_part(CAPTIONER)
    got = load_file(bundle.part(CLIP) / WEIGHTS)
    assert got.keys() == tensors(small).keys() and all(torch.equal(got[k], v) for k, v in tensors(small).items())
    clip = Clip.load(bundle.part(CLIP))
    assert clip.preprocessing.size == 32 or bundle.image_size == 32
    assert clip.encode_text(["a forest"]).shape == (1, 16)


def test_names_that_open_clip_does_not_have(hub: Hub, home: Path) -> None:
    for name, message, hint in (
        ("openclip:ViT-B-32-257/datacomp", "no architecture ViT-B-32-257", "ViT-B-32-256"),
        ("openclip:ViT-B-32/datacomp", "no weights datacomp for ViT-B-32", "datacomp_xl_s13b_b90k"),
    ):
        with pytest.raises(InputError, match=message) as error:
            fetch(name)
        assert hint in str(error.value.hint)
    for name in ("openclip:ViT-B-32", "openclip:a/b/c", "hf:a", "hf:a/b@", "hf:", "hf:a/../b"):
        with pytest.raises(InputError, match="not a name of a CLIP"):
            parse_reference(name)
    assert parse_reference("georsclip-b32") is None


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_a_clip_of_transformers(file: str, hub: Hub, home: Path) -> None:
    model = randomise(CLIPModel(clip_config()))
    content = save(tensors(model)) if file == "model.safetensors" else pickled(tensors(model))
    settings = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.2, 0.2, 0.2]}
    hub.repositories["flax/clip-rsicd"] = {
        "config.json": json.dumps(model.config.to_dict()).encode(),
        "preprocessor_config.json": json.dumps(settings).encode(),
        file: content,
    }
    bundle = fetch("hf:flax/clip-rsicd@main")
    assert bundle.name == "hf--flax--clip-rsicd--main"
    clip = Clip.load(bundle.part(CLIP))
    words = clip.tokenize(["a photo of a forest"])
    with torch.no_grad():
        theirs = model.get_text_features(input_ids=words)
        theirs = getattr(theirs, "pooler_output", theirs)
    expected = torch.nn.functional.normalize(theirs, dim=-1)
    torch.testing.assert_close(clip.encode_text(["a photo of a forest"]), expected, atol=1e-5, rtol=0)
    config = json.loads((bundle.part(CLIP) / "open_clip_config.json").read_text())
    assert config["preprocess_cfg"]["mean"] == [0.5, 0.5, 0.5]
    assert open_bundle(bundle.folder).licences[CLIP].endswith("flax/clip-rsicd")


def test_a_repository_in_the_layout_of_open_clip(hub: Hub, home: Path) -> None:
    model = randomise(build_clip(SMALL))
    config = {"model_cfg": SMALL, "preprocess_cfg": {"mean": [0.1] * 3, "std": [0.2] * 3}}
    hub.repositories["me/mine"] = {"open_clip_config.json": json.dumps(config).encode(), WEIGHTS: save(tensors(model))}
    bundle = fetch("hf:me/mine")
    assert Clip.load(bundle.part(CLIP)).encode_text(["a"]).shape == (1, 16)


def test_a_branch_that_moved_is_not_followed(hub: Hub, home: Path) -> None:
    config = {"model_cfg": SMALL}
    files = {"open_clip_config.json": json.dumps(config).encode(), WEIGHTS: save(tensors(randomise(build_clip(SMALL))))}
    hub.repositories["me/mine"] = files
    first = fetch("hf:me/mine").sha256
    remove_bundle("hf--me--mine")
    assert fetch("hf:me/mine").sha256 == first
    remove_bundle("hf--me--mine")
    hub.commit = "b" * 40
    with pytest.raises(BundleError, match=r"the hub no longer has a{40}, which was fetched before"):
        fetch("hf:me/mine")
    hub.commit = "a" * 40
    files[WEIGHTS] = files[WEIGHTS][:-1] + bytes([files[WEIGHTS][-1] ^ 1])
    with pytest.raises(BundleError, match="not the expected file"):
        fetch("hf:me/mine")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"config.json": {"model_type": "clip", "auto_map": {"AutoModel": "m.M"}}, "m.py": {}}, "its own code"),
        ({"config.json": {"model_type": "bert"}}, "a model of type 'bert'"),
        ({"README.md": {}}, "neither open_clip_config.json nor config.json"),
        ({"config.json": clip_config().to_dict()}, "none of model.safetensors, pytorch_model.bin"),
        (
            {"config.json": clip_config().to_dict(), "model.safetensors.index.json": {}},
            "weights are in several files",
        ),
        ({"open_clip_config.json": {"model_cfg": {}}, WEIGHTS: {}}, "'text_cfg' is missing"),
        ({"open_clip_config.json": {"model_cfg": {**SMALL, "multimodal_cfg": {}}}, WEIGHTS: {}}, "CoCa"),
        (
            {"open_clip_config.json": {"model_cfg": {**SMALL, "text_cfg": {"hf_model_name": "roberta"}}}, WEIGHTS: {}},
            "its text tower is roberta",
        ),
        (
            {"open_clip_config.json": {"model_cfg": {**SMALL, "text_cfg": {"hf_tokenizer_name": "x"}}}, WEIGHTS: {}},
            "does not have its tokenizer",
        ),
        ({"open_clip_config.json": [1], WEIGHTS: {}}, "not a JSON object"),
    ],
)
def test_repositories_that_are_no_clip(files: dict[str, Any], message: str, hub: Hub, home: Path) -> None:
    hub.repositories["me/mine"] = {name: json.dumps(content).encode() for name, content in files.items()}
    with pytest.raises(BundleError, match=message):
        fetch("hf:me/mine")
    assert not home.exists() or not list(home.glob("hf--*/manifest.json"))


def test_other_shapes_than_the_configuration_says_are_found_by_the_first_use(hub: Hub, home: Path) -> None:
    other = json.loads(json.dumps(SMALL))
    other["vision_cfg"]["width"] = 128
    hub.repositories["me/mine"] = {
        "open_clip_config.json": json.dumps({"model_cfg": other}).encode(),
        WEIGHTS: save(tensors(build_clip(SMALL))),
    }
    bundle = fetch("hf:me/mine")
    with pytest.raises(BundleError, match="visual"):
        Clip.load(bundle.part(CLIP))


def test_what_is_not_installed_says_how_to_fetch_it(home: Path) -> None:
    for captioner, wanted in ((None, ""), ("none", ""), ("blip-base", " --captioner blip-base")):
        with pytest.raises(InputError, match="is not installed") as error:
            find_bundle("hf:me/mine", captioner)
        assert error.value.hint == f"bimors models fetch hf:me/mine{wanted}"
