"""Florence-2: the captions of transformers' own processor and `generate`, for any number of images at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPImageProcessor, Florence2Config, Florence2ForConditionalGeneration, Florence2Processor

from bimors_cli.errors import BundleError
from bimors_cli.model import captioner as module
from bimors_cli.model.captioner import Captioner, Florence2Captioner, _feature_side
from bimors_cli.model.preprocessing import prepare
from tests.bundles import tokenizer

SIDE = 64
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def images_processor(side: int) -> CLIPImageProcessor:
    """As published: squares, no crop, ImageNet's statistics; the number of image tokens is stated with them."""
    return CLIPImageProcessor(
        size={"height": side, "width": side},
        do_center_crop=False,
        image_mean=MEAN,
        image_std=STD,
        resample=3,
        image_seq_length=(side // 32) ** 2 + 1,
    )


def saved(folder: Path, *, side: int = SIDE, scale: float = 1.0) -> Path:
    """A Florence-2 with random weights, whose words depend on the image."""
    torch.manual_seed(5)
    words = tokenizer("<start>", "<end>")
    ids = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4}
    sizes = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
    config = Florence2Config(
        vision_config={
            "depths": [1, 1, 1, 1],
            "embed_dim": [8, 16, 16, 32],
            "num_heads": [1, 2, 2, 4],
            "num_groups": [1, 2, 2, 4],
            "window_size": 2,
            "projection_dim": 32,
            "max_position_embeddings": 6,
        },
        text_config={
            "model_type": "bart",
            "vocab_size": len(words),
            "max_position_embeddings": 128,
            "decoder_start_token_id": words.eos_token_id,
            "init_std": scale,
            **ids,
            **heads,
            **sizes,
        },
        image_token_id=words.convert_tokens_to_ids("<image>"),
    )
    model = Florence2ForConditionalGeneration(config)
    # Random weights repeat one word; these keep the decoder looking at the image.
    for layer in model.model.language_model.decoder.layers:
        layer.encoder_attn.out_proj.weight.data *= 4
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    images_processor(side).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("florence2"))


def theirs(folder: Path, captioner: Captioner, pictures: torch.Tensor, side: int = SIDE) -> list[str]:
    """Captions of transformers' processor and `generate`, with the settings of the authors' examples."""
    words = captioner.tokenizer
    words.image_token, words.image_token_id = "<image>", words.convert_tokens_to_ids("<image>")
    processor = Florence2Processor(images_processor(side), words)
    images = [Image.fromarray(picture.permute(1, 2, 0).numpy()) for picture in pictures]
    inputs = processor(images=images, text=["<CAPTION>"] * len(images), return_tensors="pt")
    ids = Florence2ForConditionalGeneration.from_pretrained(folder).generate(
        **inputs,
        num_beams=3,
        max_new_tokens=30,
        early_stopping=True,
        no_repeat_ngram_size=3,
        forced_bos_token_id=words.bos_token_id,
        do_sample=False,
    )
    return [text.strip() for text in processor.batch_decode(ids, skip_special_tokens=True)]


@pytest.mark.parametrize("side", [64, 96, 160])
def test_captions_are_those_of_transformers(side: int, tmp_path: Path) -> None:
    captioner = Captioner.load(saved(tmp_path, side=side))
    assert isinstance(captioner, Florence2Captioner) and captioner.preprocessing.size == side
    pictures = torch.randint(0, 256, (3, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    captions = captioner.caption(pictures)
    assert captions == theirs(tmp_path, captioner, pictures, side)
    assert len(set(captions)) > 1 and all(captions)
    # A batch changes nothing.
    assert [captioner.caption(picture[None])[0] for picture in pictures] == captions


def test_a_batch_on_a_cpu_has_a_limited_number_of_pixels(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captioner = Captioner.load(folder)
    sizes: list[int] = []
    generate = captioner._generate

    def counted(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sizes.append(len(pixels))
        return generate(pixels)

    monkeypatch.setattr(captioner, "_generate", counted)
    pictures = torch.randint(0, 256, (5, 3, SIDE, SIDE), dtype=torch.uint8)
    whole = captioner.caption(pictures)
    monkeypatch.setattr(module, "PIXELS_ON_CPU", 2 * SIDE**2 + 1)
    assert captioner.caption(pictures) == whole and sizes == [5, 2, 2, 1]
    monkeypatch.setattr(module, "PIXELS_ON_CPU", 1)
    assert captioner.caption(pictures[:2]) == whole[:2] and sizes[4:] == [1, 1]


def test_images_of_another_size_become_the_input_that_transformers_makes(folder: Path) -> None:
    captioner = Captioner.load(folder)
    picture = torch.zeros(3, 80, 80, dtype=torch.uint8)
    picture[:, 20:50, 30:70] = torch.tensor([250, 90, 30])[:, None, None]
    pixels = prepare(picture[None], captioner.preprocessing, torch.float32)
    image = Image.fromarray(picture.permute(1, 2, 0).numpy())
    expected = images_processor(SIDE)(images=[image], return_tensors="pt")["pixel_values"]
    # In units of 8-bit values; theirs are rounded to whole ones.
    difference = (pixels - expected).abs() * torch.tensor(STD)[:, None, None] * 255
    assert difference.max() < 1.5


def test_what_captions_depend_on_is_in_the_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captioner = Captioner.load(folder)
    assert captioner.generation() == "3 beams, 30 new tokens, no 3 tokens twice, 'What does the image describe?'"
    for name, value in (("num_beams", 1), ("max_new_tokens", 9), ("no_repeat_words", 2), ("question", "What is it?")):
        with monkeypatch.context() as changed:
            before = captioner.generation()
            changed.setattr(Florence2Captioner, name, value)
            assert captioner.generation() != before


def test_an_output_layer_that_is_also_in_the_file(folder: Path, tmp_path: Path) -> None:
    whole = load_file(folder / "model.safetensors")
    shared = whole["model.language_model.shared.weight"]
    for name in ("lm_head", "model.language_model.encoder.embed_tokens", "model.language_model.decoder.embed_tokens"):
        whole[f"{name}.weight"] = shared.clone()
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    save_file(whole, tmp_path / "model.safetensors", {"format": "pt"})
    pictures = torch.randint(0, 256, (2, 3, SIDE, SIDE), dtype=torch.uint8)
    assert Captioner.load(tmp_path).caption(pictures) == Captioner.load(folder).caption(pictures)


def test_a_caption_whose_scores_are_nan_is_none(folder: Path) -> None:
    captioner = Captioner.load(folder)
    captioner.model.lm_head.weight.data[7] = torch.nan
    assert captioner.caption(torch.zeros(2, 3, SIDE, SIDE, dtype=torch.uint8)) == [None, None]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype, tmp_path: Path) -> None:
    captioner = Captioner.load(saved(tmp_path, scale=0.05), dtype)
    captions = captioner.caption(torch.randint(0, 256, (2, 3, 40, 40), dtype=torch.uint8))
    assert all(isinstance(caption, str) for caption in captions)


def edited(folder: Path, name: str, change: dict[str, Any]) -> None:
    path = folder / name
    content = json.loads(path.read_text())
    for key, value in change.items():
        content[key] = value
        if value is None:
            del content[key]
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("config.json", {"auto_map": {"AutoConfig": "configuration_florence2.Florence2Config"}}, "needs their code"),
        ("generation_config.json", {"decoder_start_token_id": None}, "decoder_start_token_id"),
        ("preprocessor_config.json", {"size": None}, "size must be height and width"),
        ("preprocessor_config.json", {"size": {"shortest_edge": 64}}, "size must be height and width"),
        ("preprocessor_config.json", {"size": {"height": 64, "width": 96}}, "not square"),
        ("preprocessor_config.json", {"size": 768}, "768 pixels have 24 positions a side, the model has 6"),
    ],
)
def test_a_folder_that_cannot_be_used(name: str, change: dict[str, Any], said: str, tmp_path: Path) -> None:
    edited(saved(tmp_path), name, change)
    with pytest.raises(BundleError, match=said):
        Captioner.load(tmp_path)


def test_the_published_size() -> None:
    """0.23 billion parameters, and 577 image tokens for 768 pixels, as the files of its authors state."""
    text = {"model_type": "bart", "vocab_size": 51289, "d_model": 768, "encoder_layers": 6, "decoder_layers": 6}
    text |= {f"{side}_attention_heads": 12 for side in ("encoder", "decoder")}
    text |= {f"{side}_ffn_dim": 3072 for side in ("encoder", "decoder")}
    config = Florence2Config(vision_config={"projection_dim": 768}, text_config=text)
    with torch.device("meta"):
        model = Florence2ForConditionalGeneration(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(0.2314e9, rel=1e-3)
    assert _feature_side(model, 768) ** 2 + 1 == 577
