"""`bimors models import`: a checkpoint of the published code classifies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from bimors_cli.bundle.adapter import open_adapter
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli.main import app
from bimors_cli.model.frozen_models import FrozenModels
from bimors_cli.model.heads.bimors import PromptLearnerWidths
from bimors_cli.model.pickle_to_safetensors import convert
from bimors_cli.pipeline.bundles import import_official
from tests.model.test_official_import import begun_with, checkpoint

LABELS = ("forest", "river", "bare_land")


@pytest.fixture(autouse=True)
def no_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint is read here, but for the first test: a process of its own takes seconds to begin."""
    if "classifies" not in request.node.name:
        monkeypatch.setattr(import_official, "pickle_to_safetensors", convert)


def bimors(*args: object) -> Result:
    return CliRunner().invoke(app, [*map(str, args)])


@pytest.fixture
def room(tiny_models: FrozenModels, tmp_path: Path) -> Path:
    """A folder with a checkpoint that began with seed 5, and its labels."""
    clip, caption = tiny_models.clip, tiny_models.caption_encoder.width
    widths = PromptLearnerWidths(0, clip.text_tower().width, clip.patch_width, caption)
    content = checkpoint(widths, classes=len(LABELS))
    state, _ = begun_with(5, clip.model, widths.patch, widths.text, caption)
    for ours, theirs in (
        ("meta_net.0.weight", "meta_net.linear1.weight"),
        ("meta_net.2.weight", "meta_net.linear2.weight"),
        ("attention.in_proj_weight", "cross_attn.cross_attend_blocks.fn.in_proj_weight"),
        ("attention.out_proj.weight", "cross_attn.cross_attend_blocks.fn.out_proj.weight"),
    ):
        content[theirs] = state[ours].half()
    whole = {"state_dict": content, "epoch": 10, "optimizer": {"state": {}}, "val_result": np.float64(91.0)}
    torch.save(whole, tmp_path / "model-best.pth.tar")
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    return tmp_path


def imported(room: Path, bundle: Bundle, *more: object, file: str = "model-best.pth.tar") -> Result:
    given = ("-l", room / "labels.txt", "--model", bundle.folder, "-o", room / "coast")
    return bimors("models", "import", room / file, *given, *more)


def test_an_imported_adapter_classifies(room: Path, tiny_bundle: Bundle, make_raster: Any) -> None:
    result = imported(room, tiny_bundle)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.strip() == str(room / "coast") and "captions have no effect" in result.stderr
    adapter = open_adapter(room / "coast", tiny_bundle)
    assert (adapter.name, adapter.head, adapter.labels, adapter.temperature) == ("coast", "bimors", LABELS, 1.0)
    assert adapter.training["caption projection"] == "missing from the checkpoint: set to zero, captions have no effect"
    assert not load_file(adapter.weights)["caption_projection.weight"].any()
    assert adapter.weights.stat().st_mode & 0o444 == 0o444

    scene = make_raster(np.random.default_rng(0).integers(1, 256, (3, 64, 64), dtype=np.uint8))
    layer, labels = room / "out.gpkg", room / "labels.txt"
    asked = ("classify", scene, "-l", labels, "--model", tiny_bundle.folder, "--tile-size", 32, "-o", layer)
    result = bimors(*asked, "--adapter", room / "coast")
    assert result.exit_code == 0, result.stderr
    with_captions = gpd.read_file(layer, layer="tiles")
    assert len(with_captions) == 4
    result = bimors(*asked, "--adapter", room / "coast", "--no-captions", "--overwrite")
    assert np.allclose(gpd.read_file(layer, layer="tiles")["confidence"], with_captions["confidence"])


def test_the_seed_brings_the_projection_back(room: Path, tiny_bundle: Bundle, tiny_models: FrozenModels) -> None:
    result = imported(room, tiny_bundle, "--official-seed", 5)
    assert result.exit_code == 0, result.stderr
    adapter = open_adapter(room / "coast", tiny_bundle)
    assert adapter.training["caption projection"] == "drawn from seed 5"
    clip, caption = tiny_models.clip, tiny_models.caption_encoder.width
    _, projection = begun_with(5, clip.model, clip.patch_width, clip.text_tower().width, caption)
    assert torch.equal(load_file(adapter.weights)["caption_projection.weight"], projection.weight)


def test_another_seed_is_refused(room: Path, tiny_bundle: Bundle) -> None:
    result = imported(room, tiny_bundle, "--official-seed", 6)
    assert result.exit_code == 2 and "was not trained with seed 6" in result.stderr
    assert not (room / "coast").exists()
    assert imported(room, tiny_bundle, "--official-seed", 0).exit_code == 2  # the published code takes 0 for none


def test_what_cannot_be_imported(room: Path, tiny_bundle: Bundle) -> None:
    def refused(code: int, said: str, file: str = "model-best.pth.tar") -> None:
        result = imported(room, tiny_bundle, file=file)
        assert result.exit_code == code and said in result.stderr.replace("\n", " "), result.stderr
        assert sorted(p.name for p in room.iterdir() if p.is_dir()) == []

    refused(2, "file not found", file="model.pth.tar-3")
    (room / "hello.pth").write_bytes(b"hello")
    refused(1, "not a checkpoint", file="hello.pth")
    torch.save({"state_dict": {"visual.proj": torch.ones(2)}}, room / "clip.pth")
    refused(1, "not a checkpoint of BiMoRS: ctx is missing", file="clip.pth")
    torch.save(checkpoint(PromptLearnerWidths(0, 512, 768, 768)), room / "big.pth")
    refused(1, "text width 512 does not match the bundle's 32", file="big.pth")
    (room / "labels.txt").write_text("forest\nriver")
    refused(2, "was trained on 3 classes, but 2 labels were given")


def test_an_adapter_that_is_there_stays(room: Path, tiny_bundle: Bundle) -> None:
    assert imported(room, tiny_bundle).exit_code == 0
    before = (room / "coast" / "adapter.json").read_bytes()
    result = imported(room, tiny_bundle)
    assert result.exit_code == 2 and "--overwrite" in result.stderr
    assert (room / "coast" / "adapter.json").read_bytes() == before
    assert imported(room, tiny_bundle, "--overwrite").exit_code == 0
