"""The checkpoint of a module around an open_clip model with ten bands becomes a bundle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner, Result

from bimors_cli.bundle.manifest import CAPTIONER, CLIP, Bundle, open_bundle
from bimors_cli.cli.main import app
from bimors_cli.errors import BundleError
from bimors_cli.model.clip import Clip, build_clip, replace_input
from bimors_cli.model.clip_checkpoint import clip_weights
from bimors_cli.pipeline.inference.load import load_models
from tests.bundles import BANDS

State = dict[str, torch.Tensor]

# As the published Llama3-MS-CLIP stores its model: three names of the same tensors, and a number of its loss.
PREFIXES = ("clip_base_model.model.", "text_encoder.model.", "image_encoder.model.")


def module_state(state: State) -> State:
    return {"temperature": torch.tensor(0.07)} | {p + name: tensor for p in PREFIXES for name, tensor in state.items()}


@pytest.mark.parametrize("prefix", ["", "model.", "clip_base_model.model."])
def test_the_prefix_of_the_model_is_removed(prefix: str) -> None:
    state = {"logit_scale": torch.tensor(4.6), "visual.proj": torch.ones(2, 3)}
    assert clip_weights(Path("a.pt"), {prefix + name: tensor for name, tensor in state.items()}) == state


def test_copies_of_one_model_and_the_temperature() -> None:
    state = {"logit_scale": torch.tensor(4.6), "visual.proj": torch.ones(2, 3)}
    found = clip_weights(Path("a.pt"), module_state(state))
    assert found.keys() == state.keys() and torch.equal(found["visual.proj"], state["visual.proj"])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"head.weight": torch.ones(1)}, "a.pt: unexpected tensor head.weight"),
        ({"image_encoder.model.visual.proj": torch.zeros(2, 3)}, "image_encoder.model.visual.proj differs from"),
    ],
)
def test_other_tensors_are_refused_by_name(more: State, said: str) -> None:
    state = module_state({"logit_scale": torch.tensor(4.6), "visual.proj": torch.ones(2, 3)}) | more
    with pytest.raises(BundleError, match=said):
        clip_weights(Path("a.pt"), state)
    with pytest.raises(BundleError, match="has no tensor logit_scale"):
        clip_weights(Path("a.pt"), more)


@pytest.fixture
def new(band_bundle: Bundle, tmp_path: Path) -> Callable[..., Result]:
    """`bimors models new` from a checkpoint of a module around the model of `band_bundle`."""
    shutil.copytree(band_bundle.part(CLIP), tmp_path / "arch")
    config = json.loads((tmp_path / "arch" / "open_clip_config.json").read_text())
    del config["in_chans"]
    (tmp_path / "arch" / "open_clip_config.json").write_text(json.dumps(config))
    (tmp_path / "bands.json").write_text(json.dumps(BANDS.as_json()))
    state = load_file(band_bundle.part(CLIP) / "open_clip_model.safetensors")
    torch.save({"state_dict": module_state(state), "epoch": 3}, tmp_path / "ms.pt")

    def run(*more: object, clip: str = "ms.pt") -> Result:
        asked = ["models", "new", "-o", tmp_path / "mine", "--clip", tmp_path / clip, "--device", "cpu"]
        asked += ["--bands", tmp_path / "bands.json", *more]
        if clip != "arch":
            asked += ["--clip-config", tmp_path / "arch" / "open_clip_config.json"]
        return CliRunner().invoke(app, [*map(str, asked)])

    return run


def test_a_checkpoint_becomes_a_bundle(new: Any, band_bundle: Bundle, tmp_path: Path) -> None:
    result = new("--name", "ms", "--licence", "clip=MIT")
    assert result.exit_code == 0, result.stderr
    bundle = open_bundle(tmp_path / "mine")
    assert bundle.bands == BANDS and bundle.licences == {"clip": "MIT"} and not bundle.has_part(CAPTIONER)
    images = torch.rand(2, 10, 40, 40) * 3000
    here, there = (
        load_models(each, "cpu", captions=False, reads_bands=True).encode(images) for each in (bundle, band_bundle)
    )
    assert torch.equal(here.image_feature, there.image_feature) and here.captions == ("", "")
    assert here.caption_embedding.shape == (2, 0) and bool(here.finite.all())


def test_a_folder_of_open_clip_and_safetensors(new: Any, band_bundle: Bundle, tmp_path: Path) -> None:
    assert new("--link", clip="arch").exit_code == 0
    assert "in_chans" not in json.loads((tmp_path / "arch" / "open_clip_config.json").read_text())
    first = open_bundle(tmp_path / "mine")
    state = load_file(band_bundle.part(CLIP) / "open_clip_model.safetensors")
    save_file({f"model.{name}": tensor for name, tensor in state.items()}, tmp_path / "ms.safetensors")
    assert new("--overwrite", clip="ms.safetensors").exit_code == 0
    assert open_bundle(tmp_path / "mine").part_sha256(CLIP) == first.part_sha256(CLIP)


def test_what_does_not_fit_is_refused(new: Any, tiny_bundle: Bundle, tmp_path: Path) -> None:
    def refused(code: int, *more: object) -> str:
        result = new(*more)
        assert result.exit_code == code and not (tmp_path / "mine").exists(), result.stderr
        return " ".join(result.stderr.split())

    assert "--captioner is not supported with --bands" in refused(2, "--captioner", tiny_bundle.part(CAPTIONER))
    content = BANDS.as_json()
    (tmp_path / "bands.json").write_text(json.dumps({**content, "bands": content["bands"][:9]}))
    assert "conv1.weight has shape (48, 10, 8, 8), the configuration has (48, 9, 8, 8)" in refused(1)
    (tmp_path / "bands.json").write_text('{"bands": [{"name": "B02", "mean": 1, "std": 1}]}')
    assert "not a list of bands: bands: unknown name 'B02' (known: coastal, blue" in refused(2)
    (tmp_path / "bands.json").write_text('{"bands": [{"name": "blue", "mean": 1, "std": 0}]}')
    assert "not a list of bands: bands: std 0 is not positive" in refused(2)


def test_the_manifest_and_the_configuration_must_agree(band_bundle: Bundle, tiny_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="in_chans is 10, but the manifest of the bundle has no bands"):
        Clip.load(band_bundle.part(CLIP))
    with pytest.raises(BundleError, match="in_chans is None, but the manifest of the bundle has 10 bands"):
        Clip.load(tiny_bundle.part(CLIP), BANDS)


def test_images_of_another_kind_are_refused(band_bundle: Bundle, tiny_bundle: Bundle) -> None:
    colours = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    with pytest.raises(BundleError, match="takes 10 bands, not 3 channels of 8 bits"):
        Clip.load(band_bundle.part(CLIP), BANDS).encode_image(colours)
    with pytest.raises(BundleError, match="takes 3 channels of 8 bits, not 10 bands"):
        Clip.load(tiny_bundle.part(CLIP)).encode_image(torch.zeros(1, 10, 32, 32))


def test_pixels_are_normalised_as_they_are(band_bundle: Bundle) -> None:
    """An image of the means is an image of zeros to the first convolution."""
    clip = Clip.load(band_bundle.part(CLIP), BANDS)
    seen: list[torch.Tensor] = []
    clip.model.visual.conv1.register_forward_hook(lambda _module, inputs, _out: seen.append(inputs[0]))
    mean, std = (torch.tensor(values)[None, :, None, None] for values in (BANDS.mean, BANDS.std))
    clip.encode_image(mean.expand(1, 10, 48, 48))
    clip.encode_image((mean + 3 * std).expand(1, 10, 32, 32))
    torch.testing.assert_close(seen[0], torch.zeros(1, 10, 32, 32), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen[1], torch.full((1, 10, 32, 32), 3.0))


@pytest.mark.slow
def test_the_published_shape(new: Any, tmp_path: Path) -> None:
    """ViT-B-16 with ten bands, as the module of Llama3-MS-CLIP stores it."""
    model = build_clip(open_clip.get_model_config("ViT-B-16"))
    replace_input(model, 10)
    torch.save(module_state(model.state_dict()), tmp_path / "big.pt")
    asked = ("models", "new", "-o", tmp_path / "big", "--clip", tmp_path / "big.pt", "--clip-config", "ViT-B-16")
    result = CliRunner().invoke(app, [*map(str, asked), "--bands", str(tmp_path / "bands.json"), "--device", "cpu"])
    assert result.exit_code == 0, result.stderr
    bundle = open_bundle(tmp_path / "big")
    weights = load_file(bundle.part(CLIP) / "open_clip_model.safetensors")
    assert weights["visual.conv1.weight"].shape == (768, 10, 16, 16) and bundle.image_size == 224
    assert torch.equal(weights["visual.conv1.weight"], model.visual.conv1.weight)
