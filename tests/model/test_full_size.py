"""Full-size architectures: their parameters on meta tensors, and true widths, few layers deep, on a real scene."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel, Blip2ForConditionalGeneration, BlipForConditionalGeneration
from typer.testing import CliRunner, Result

from bimors_cli.bundle.adapter import WEIGHTS, write_adapter_manifest
from bimors_cli.bundle.manifest import open_bundle
from bimors_cli.cli.main import app
from bimors_cli.errors import BundleError
from bimors_cli.model.captioner import Captioner
from bimors_cli.model.clip import Clip, build_clip
from bimors_cli.model.heads.bimors import PromptLearner, PromptLearnerWidths
from bimors_cli.model.preprocessing import Preprocessing
from bimors_cli.model.text_encoder import TextTower
from tests.model import full_size

SCENE = Path(__file__).resolve().parents[2] / "examples" / "scene.tif"


def millions(module: Any) -> float:
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


def text_of(clip: Any) -> float:
    return (
        sum(p.numel() for name, p in clip.named_parameters() if not name.startswith(("visual.", "logit_scale"))) / 1e6
    )


# Parameters in millions as open_clip's table of models has them: of the image tower and the text tower.
CLIPS = {
    "ViT-B-16-quickgelu": (86.19, 63.43),
    "ViT-B-32": (87.85, 63.43),
    "ViT-B-32-quickgelu": (87.85, 63.43),
    "ViT-L-14": (303.97, 123.65),
    "ViT-L-14-quickgelu": (303.97, 123.65),
    "ViT-H-14": (632.08, 354.03),
}


def clip_tensors(width: int, patch: int, text: int, joint: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes in the files of the published weights."""
    return {
        "visual.class_embedding": (width,),
        "visual.conv1.weight": (width, 3, patch, patch),
        "visual.positional_embedding": ((224 // patch) ** 2 + 1, width),
        "visual.ln_pre.weight": (width,),
        "visual.ln_post.weight": (width,),
        "visual.proj": (width, joint),
        "visual.transformer.resblocks.0.attn.in_proj_weight": (3 * width, width),
        "positional_embedding": (77, text),
        "text_projection": (text, joint),
        "logit_scale": (),
        "token_embedding.weight": (49408, text),
        "transformer.resblocks.0.mlp.c_fc.weight": (4 * text, text),
        "ln_final.bias": (text,),
    }


@pytest.mark.parametrize("name", CLIPS)
def test_clip(name: str) -> None:
    config = open_clip.get_model_config(name)
    with torch.device("meta"):
        model = build_clip(config)
    visual, text = CLIPS[name]
    assert millions(model.visual) == pytest.approx(visual, abs=0.01)
    assert text_of(model) == pytest.approx(text, abs=0.01)
    vision, words = config["vision_cfg"], config["text_cfg"]
    state = model.state_dict()
    expected = clip_tensors(vision["width"], vision["patch_size"], words["width"], config["embed_dim"])
    assert {key: tuple(state[key].shape) for key in expected} == expected
    layers = vision["layers"] + words["layers"]
    # Twelve a block; what stands beside the blocks is in the table above, and the other half of three norms.
    assert len(state) == 12 * layers + 14
    assert not any(key.endswith("attn_mask") for key in state)
    activation = type(model.visual.transformer.resblocks[0].mlp.gelu).__name__
    assert activation == ("QuickGELU" if "quickgelu" in name else "GELU")

    # The prompt learner's widths are the towers'.
    clip = Clip(model, open_clip.get_tokenizer(name), Preprocessing.of(224, [0, 0, 0], [1, 1, 1]))
    tower = TextTower(model, start_id=49406)
    widths = PromptLearnerWidths(4, tower.width, clip.patch_width, 768)
    assert (widths.text, widths.patch) == (words["width"], vision["width"])
    assert tower.context_length == model.context_length == 77
    with torch.device("meta"):
        learner = PromptLearner(widths)
        tokens = (224 // vision["patch_size"]) ** 2 + 1
        assert learner(torch.empty(2, tokens, widths.patch), torch.empty(2, 768)).shape == (2, 4, widths.text)


def test_bert_base() -> None:
    with torch.device("meta"):
        assert millions(BertModel(BertConfig())) == pytest.approx(109.48, abs=0.01)
        ours = BertModel(BertConfig(), add_pooling_layer=False)
    state = ours.state_dict()
    assert millions(ours) == pytest.approx(109.48 - 0.59, abs=0.01)
    assert tuple(state["embeddings.word_embeddings.weight"].shape) == (30522, 768)
    assert tuple(state["embeddings.position_embeddings.weight"].shape) == (512, 768)
    assert tuple(state["encoder.layer.11.intermediate.dense.weight"].shape) == (3072, 768)
    assert len([key for key in state if "position_ids" not in key]) == 5 + 12 * 16


def blip2_names(layers: int) -> dict[str, tuple[int, ...]]:
    return {
        "query_tokens": (1, 32, 768),
        "vision_model.embeddings.class_embedding": (1, 1, 1408),
        "vision_model.embeddings.patch_embedding.weight": (1408, 3, 14, 14),
        "vision_model.embeddings.position_embedding": (1, 257, 1408),
        f"vision_model.encoder.layers.{layers - 1}.self_attn.qkv.weight": (3 * 1408, 1408),
        f"vision_model.encoder.layers.{layers - 1}.mlp.fc1.weight": (6144, 1408),
        "qformer.layernorm.weight": (768,),
        "qformer.encoder.layer.0.crossattention.attention.key.weight": (768, 1408),
        "qformer.encoder.layer.0.intermediate_query.dense.weight": (3072, 768),
    }


def test_blip2_flan_t5_xl() -> None:
    with torch.device("meta"):
        model = Blip2ForConditionalGeneration(full_size.blip2(full_size.flan_t5_xl()))
    assert millions(model.vision_model) == pytest.approx(986, abs=0.5)
    assert millions(model.qformer) + millions(model.language_projection) == pytest.approx(107, abs=0.5)
    # What transformers ties here; the published file has both (32,128 x 2,048 more), and the loader takes both.
    assert millions(model) == pytest.approx(3877, abs=0.5)
    state = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    expected = blip2_names(39) | {
        "language_projection.weight": (2048, 768),
        "language_model.shared.weight": (32128, 2048),
        "language_model.lm_head.weight": (32128, 2048),
        "language_model.encoder.block.23.layer.1.DenseReluDense.wi_1.weight": (5120, 2048),
        "language_model.decoder.block.23.layer.1.EncDecAttention.q.weight": (2048, 2048),
        "language_model.decoder.block.23.layer.2.DenseReluDense.wo.weight": (2048, 5120),
    }
    assert {key: state.get(key) for key in expected} == expected
    assert "qformer.encoder.layer.1.crossattention.attention.key.weight" not in state  # every second layer
    assert not any(re.search(r"qformer\.encoder\.layer\.\d+\.(intermediate|output)\.", key) for key in state)


def test_blip2_opt_2_7b() -> None:
    with torch.device("meta"):
        model = Blip2ForConditionalGeneration(full_size.blip2(full_size.opt_2_7b()))
    assert millions(model) == pytest.approx(3745, abs=1)
    state = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    expected = blip2_names(39) | {
        "language_projection.weight": (2560, 768),
        "language_model.model.decoder.embed_tokens.weight": (50304, 2560),
        "language_model.model.decoder.embed_positions.weight": (2050, 2560),
        "language_model.model.decoder.layers.31.fc1.weight": (10240, 2560),
        "language_model.model.decoder.final_layer_norm.weight": (2560,),
    }
    assert {key: state.get(key) for key in expected} == expected


def test_blip_base() -> None:
    with torch.device("meta"):
        model = BlipForConditionalGeneration(full_size.blip_base())
    # The hub counts 247.41 million: its file holds the words once more, as output layer (30,524 x 768).
    assert millions(model) == pytest.approx(247.41 - 23.44, abs=0.01)
    state = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    expected = {
        "vision_model.embeddings.position_embedding": (1, (384 // 16) ** 2 + 1, 768),
        "vision_model.encoder.layers.11.self_attn.qkv.weight": (2304, 768),
        "text_decoder.bert.embeddings.word_embeddings.weight": (30524, 768),
        "text_decoder.bert.encoder.layer.11.crossattention.self.key.weight": (768, 768),
        "text_decoder.cls.predictions.transform.dense.weight": (768, 768),
    }
    assert {key: state.get(key) for key in expected} == expected


def bimors(*args: object) -> Result:
    return CliRunner().invoke(app, [*map(str, args)])


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The paper's CLIP and BERT at full size; its captioner two layers deep; two others. 2 GB, gone afterwards."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("parts")
    full_size.write_clip(folder / "clip", "ViT-B-16-quickgelu")
    full_size.write_bert(folder / "bert")
    t5 = full_size.flan_t5_xl(num_layers=2, num_decoder_layers=2)
    full_size.write_blip2(folder / "t5", full_size.blip2(t5, layers=2))
    opt = full_size.opt_2_7b(num_hidden_layers=2)
    full_size.write_blip2(folder / "opt", full_size.blip2(opt, layers=2))
    full_size.write_blip(folder / "blip", full_size.blip_base(num_hidden_layers=2))
    yield folder
    shutil.rmtree(folder)


def new(parts: Path, captioner: str) -> Path:
    bundle = parts / f"bundle-{captioner}"
    if not bundle.is_dir():
        given = ("--clip", parts / "clip", "--caption-encoder", parts / "bert", "--captioner", parts / captioner)
        result = bimors("models", "new", "-o", bundle, *given, "--link", "--device", "cpu")
        assert result.exit_code == 0, result.stderr
    return bundle


def rows(bundle: Path, folder: Path, *more: object) -> Any:
    (folder / "labels.txt").write_text("forest\nriver\nbare_land\n")
    layer = folder / "out.gpkg"
    asked = ("classify", SCENE, "-l", folder / "labels.txt", "--tile-size", 480, "--device", "cpu", "-o", layer)
    result = bimors(*asked, "--model", bundle, "--overwrite", *more)
    assert result.exit_code == 0, result.stderr
    return gpd.read_file(layer, layer="tiles")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("captioner", "side", "said"),
    [("t5", 224, "a river buildings the word20 "), ("opt", 224, "word"), ("blip", 384, "")],
)
def test_a_bundle_of_true_widths_labels_a_scene(
    captioner: str, side: int, said: str, parts: Path, tmp_path: Path
) -> None:
    if captioner != "blip":
        shards = json.loads((parts / captioner / "model.safetensors.index.json").read_text())["weight_map"]
        assert len(set(shards.values())) == 3
    bundle = new(parts, captioner)
    assert open_bundle(bundle).image_size == side
    found = rows(bundle, tmp_path)
    assert len(found) == 4 and found["label"].isin(["forest", "river", "bare_land"]).all()
    assert found["caption"].str.startswith(said).all()
    assert len(found["caption"][0].split()) <= 15


@pytest.mark.slow
def test_a_bimors_adapter_of_the_papers_widths(parts: Path, tmp_path: Path) -> None:
    folder = new(parts, "t5")
    bundle = open_bundle(folder)
    torch.manual_seed(1)
    learner = PromptLearner(PromptLearnerWidths(4, 512, 768, 768), 0.02 * torch.randn(4, 512))
    torch.nn.init.normal_(learner.attention.out_proj.weight, std=0.05)
    assert sum(p.numel() for p in learner.parameters()) == 1_116_720 + 393_728
    (tmp_path / "coast").mkdir()
    save_file(learner.state_dict(), tmp_path / "coast" / WEIGHTS)
    told = {"labels": ["forest", "river"], "temperature": 1.0, "training": {}}
    write_adapter_manifest(tmp_path / "coast", bundle, name="coast", head="bimors", **told)  # type: ignore[arg-type]
    adapted = rows(folder, tmp_path, "--adapter", tmp_path / "coast")
    plain = rows(folder, tmp_path, "--head", "zero-shot")
    assert len(adapted) == 4 and (adapted["confidence"] - plain["confidence"]).abs().max() > 1e-4
    silent = rows(folder, tmp_path, "--adapter", tmp_path / "coast", "--no-captions")
    assert (adapted["confidence"] - silent["confidence"]).abs().max() > 0


@pytest.mark.slow
def test_flan_t5_without_its_output_layer_is_not_tied_in_silence(parts: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(parts / "t5", tmp_path / "t5", copy_function=os.link))
    whole = Captioner.load(folder).model.language_model
    assert not torch.equal(whole.lm_head.weight, whole.shared.weight) and not whole.config.scale_decoder_outputs
    for path in folder.glob("*.safetensors"):
        tensors = load_file(path)
        if tensors.pop("language_model.lm_head.weight", None) is not None:
            path.unlink()
            save_file(tensors, path, {"format": "pt"})
    with pytest.raises(BundleError, match=r"language_model.lm_head.weight is missing"):
        Captioner.load(folder)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's account of memory")
def test_loading_takes_the_memory_of_the_weights_and_no_more(parts: Path) -> None:
    code = """
import sys
from collections.abc import Iterator
from pathlib import Path
from bimors_cli.model.captioner import Captioner

def peak():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

before = peak()
model = Captioner.load(Path(sys.argv[1])).model
print(peak() - before, sum(p.numel() for p in model.parameters()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, parts / "t5"], capture_output=True, text=True, check=True, timeout=300
    )
    grown, parameters = map(int, done.stdout.split()[-2:])
    # Four bytes each in memory, and two each of the file, which the system keeps as long as nobody needs the room.
    assert grown < 1.15 * 6 * parameters, (grown, parameters)
