"""Numbers that are not finite never become a label, and the rows do not depend on how they were computed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import torch
from geopandas.testing import assert_geodataframe_equal
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli.main import app
from bimors_cli.errors import BundleError
from bimors_cli.model import device
from bimors_cli.model.frozen_models import EncoderOutputs, FrozenModels
from bimors_cli.model.heads.base import probabilities
from bimors_cli.model.heads.registry import make_learner
from bimors_cli.pipeline.inference import load as models_module
from bimors_cli.pipeline.inference import tile_reader as reading
from bimors_cli.pipeline.summary import Summary
from tests import api
from tests.bundles import save_adapter
from tests.conftest import MakeRaster

LABELS = ["forest", "river", "bare land", "port"]
# A number of six decimals is off by half of the last one, at most.
ROUNDING = 0.5e-6
# Of another batch, thread or machine; see CONFIDENCE_DECIMALS.
NOISE = 1.01e-4
# What bfloat16 (8 bits of precision) may change of a probability; 0.008 was measured on these random weights.
HALF = 0.03
Classify = Callable[..., Summary]


@pytest.fixture
def scene(make_raster: MakeRaster) -> str:
    return make_raster(np.random.default_rng(3).integers(1, 256, (3, 128, 128), dtype=np.uint8))


@pytest.fixture
def classify(tiny_bundle: Bundle, scene: str, tmp_path: Path) -> Classify:
    """Classify 16 tiles, with all probabilities."""

    def run(output: str = "out.gpkg", **options: Any) -> Summary:
        how = {"model": str(tiny_bundle.folder), "tile_size": "32", "device": "cpu", "probabilities": True}
        return api.classify(scene, options.pop("labels", LABELS), tmp_path / output, **{**how, **options})

    return run


def rows(path: str | Path | None) -> geopandas.GeoDataFrame:
    assert path is not None
    frame = geopandas.read_file(path, layer="tiles")
    frame["reason"] = frame["reason"].fillna("").astype(str)  # a column without any is of another type
    return frame


def numbers(frame: geopandas.GeoDataFrame) -> list[str]:
    return [name for name in frame if name.startswith(("confidence", "p_"))]


def assert_same(one: geopandas.GeoDataFrame, other: geopandas.GeoDataFrame) -> None:
    """Words and places to the letter; numbers but for the noise of another order of additions."""
    names = numbers(one)
    assert_geodataframe_equal(one.drop(columns=names), other.drop(columns=names))
    np.testing.assert_allclose(one[names], other[names], atol=NOISE, rtol=0)


def poison(monkeypatch: pytest.MonkeyPatch, field: str, value: float, picture: bytes) -> None:
    """Let the evidence of one picture hold a number that is not finite, as float16 does that overflows."""
    encode = FrozenModels.encode

    def poisoned(models: FrozenModels, images: torch.Tensor, keys: Any = None) -> EncoderOutputs:
        evidence = encode(models, images, keys)
        tensor = getattr(evidence, field).clone()
        for place, image in enumerate(images):
            if image.numpy().tobytes() == picture:
                tensor[place].view(-1)[0] = value
        return replace(evidence, **{field: tensor})

    monkeypatch.setattr(FrozenModels, "encode", poisoned)


@pytest.fixture
def picture(classify: Classify, monkeypatch: pytest.MonkeyPatch) -> tuple[bytes, geopandas.GeoDataFrame]:
    """The picture of the sixth tile, and all rows without poison."""
    seen: list[torch.Tensor] = []
    encode = FrozenModels.encode

    def watched(models: FrozenModels, images: torch.Tensor, keys: Any = None) -> EncoderOutputs:
        seen.extend(images.clone())
        return encode(models, images, keys)

    with monkeypatch.context() as patch:
        patch.setattr(FrozenModels, "encode", watched)
        patch.setattr(device, "MAX_WORKERS", 1)  # so that pictures come in the order of the grid
        calm = rows(classify("calm.gpkg", batch_size=4, caption_cache=False).output)
    return seen[5].numpy().tobytes(), calm


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("field", ["image_feature", "patch_tokens", "caption_embedding"])
@pytest.mark.parametrize("head", ["auto", pytest.param("zero-shot", marks=pytest.mark.slow)])
def test_evidence_that_is_not_finite_is_an_error_of_its_tile(
    classify: Classify,
    picture: tuple[bytes, geopandas.GeoDataFrame],
    monkeypatch: pytest.MonkeyPatch,
    head: str,
    field: str,
    value: float,
) -> None:
    """Whatever the head would have made of it."""
    which, calm = picture
    if head == "zero-shot":
        calm = rows(classify("calm.gpkg", head=head, overwrite=True, batch_size=4, caption_cache=False).output)
    with monkeypatch.context() as patch:
        poison(patch, field, value, which)
        summary = classify(batch_size=4, head=head)
    assert summary.reasons == {"model_error": 1} and summary.failed == 1 and summary.journal is not None
    found = rows(summary.output)
    bad, good = found.iloc[[5]], found.drop(index=5)
    assert bad["reason"].tolist() == ["model_error"]
    assert bad[["label", "label_2", *numbers(found)]].isna().all(axis=None)
    assert_same(good, calm.drop(index=5))
    # The cache has nothing of it: the next run answers as if nothing had been.
    again = classify(batch_size=4, head=head, resume=True)
    assert again.resumed == 15 and again.failed == 0
    assert_same(rows(again.output), calm)


@pytest.mark.parametrize("part", ["clip", "captioner", "caption_encoder"])
def test_models_whose_numbers_overflow_label_nothing(
    tiny_bundle: Bundle, scene: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """Real models with a weight that is not finite: every tile is an error, the run ends with 3, and says so."""
    load = models_module.load_models

    def broken(*args: Any, **kw: Any) -> FrozenModels:
        found = load(*args, **kw)
        for name, weight in getattr(found, part).named_parameters():
            if weight.ndim > 1 and "visual" in name + part + ("visual" if part != "clip" else ""):
                weight.data.view(-1)[0] = torch.inf
        return found

    monkeypatch.setattr(models_module, "load_models", broken)
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    args = ["classify", scene, "-l", tmp_path / "labels.txt", "--model", tiny_bundle.folder, "--tile-size", 32]
    result = CliRunner().invoke(app, [*map(str, args), "-o", str(tmp_path / "out.gpkg"), "--device", "cpu"])
    assert result.exit_code == 3, result.stderr
    assert "model_error  " in result.stderr and "16 tiles failed; run the same command with --resume" in result.stderr
    layer = rows(tmp_path / "out.gpkg")
    assert layer["label"].isna().all() and set(layer["reason"]) == {"model_error"}


def test_an_adapter_whose_numbers_are_not_finite_labels_nothing(
    tiny_bundle: Bundle, tiny_models: FrozenModels, classify: Classify, tmp_path: Path
) -> None:
    learner = make_learner("bimors", tiny_models, tiny_bundle.context, classes=2)
    with torch.no_grad():
        learner.context.view(-1)[0] = torch.nan
    save_adapter(tmp_path / "adapter", tiny_bundle, "bimors", learner, ["forest", "river"])
    try:
        summary = classify(adapter=str(tmp_path / "adapter"))
    except BundleError as error:
        assert "not finite" in error.message
    else:
        assert summary.reasons == {"model_error": 16}


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_one_logit_that_is_not_finite_leaves_no_answer(value: float) -> None:
    """Also minus infinity, of which softmax would make a zero and nothing else."""
    logits = torch.tensor([[1.0, 2.0, 3.0], [1.0, value, 3.0]])
    shares = probabilities(logits, 1.0)
    assert torch.isnan(shares[1]).all()
    torch.testing.assert_close(shares[0], torch.softmax(logits[0], 0))


@settings(deadline=None)
@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=50), st.floats(0.01, 100)
)
def test_probabilities_of_any_finite_logits_sum_to_one(logits: list[float], temperature: float) -> None:
    shares = probabilities(torch.tensor([logits]), temperature)
    if torch.isfinite(torch.tensor(logits) / temperature).all():
        assert abs(shares.double().sum().item() - 1) < 1e-5 and (shares >= 0).all()
    else:
        assert torch.isnan(shares).all()


@pytest.mark.parametrize("count", [2, 3, 40])
def test_confidences_sum_to_one(classify: Classify, count: int) -> None:
    """Each is rounded by itself: the sum is off by half of the last decimal a label, at most."""
    labels = [f"{LABELS[i % 4]} {i}" for i in range(count)]
    layer = rows(classify(labels=labels, top_k=count).output)
    shares = layer[[f"p_{label}" for label in labels]].to_numpy()
    assert (shares >= 0).all() and np.abs(shares.sum(axis=1) - 1).max() <= count * ROUNDING + 1e-6
    ranked = layer[["confidence", *(f"confidence_{rank}" for rank in range(2, count + 1))]].to_numpy()
    assert np.abs(ranked.sum(axis=1) - 1).max() <= count * 100 * ROUNDING + 1e-6
    assert (np.diff(ranked, axis=1) <= 0).all()
    np.testing.assert_allclose(ranked, -np.sort(-shares, axis=1), atol=0.51e-4)


def test_the_same_run_gives_the_same_rows_to_the_last_bit(classify: Classify) -> None:
    first = rows(classify("first.gpkg", caption_cache=False).output)
    for name in ("second.gpkg", "third.gpkg"):
        assert_geodataframe_equal(first, rows(classify(name, caption_cache=False).output))
    kept = rows(classify("kept.gpkg").output)
    assert_geodataframe_equal(kept, rows(classify("from_the_cache.gpkg").output))
    assert_same(first, kept)


@pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.slow), 2])
@pytest.mark.parametrize("readers", [pytest.param(1, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("batch", [1, 7, None])
def test_rows_do_not_depend_on_how_they_were_computed(
    classify: Classify, monkeypatch: pytest.MonkeyPatch, threads: int, readers: int, batch: int | None
) -> None:
    calm = rows(classify("calm.gpkg", batch_size=4, caption_cache=False).output)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    monkeypatch.setattr(reading, "THREADS", readers)
    try:
        other = rows(classify("other.gpkg", batch_size=batch, caption_cache=False).output)
    finally:
        torch.set_num_threads(before)
    assert_same(calm, other)


def test_half_precision_is_near(classify: Classify, monkeypatch: pytest.MonkeyPatch) -> None:
    """bfloat16 on the CPU stands in for the GPU."""
    whole = rows(classify("whole.gpkg", captions=False, caption_cache=False).output)
    monkeypatch.setattr(models_module, "choose_dtype", lambda _device: torch.bfloat16)
    half = rows(classify("half.gpkg", captions=False, caption_cache=False).output)
    assert_near(whole, half, HALF)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("model", ["tiny", "mini"])
def test_a_gpu_answers_as_the_cpu_does(classify: Classify, model: str) -> None:
    options = {} if model == "tiny" else {"model": "mini"}
    cpu = rows(classify("cpu.gpkg", captions=False, caption_cache=False, **options).output)
    gpu = rows(classify("gpu.gpkg", captions=False, caption_cache=False, device="cuda", **options).output)
    assert_near(cpu, gpu, HALF)


def assert_near(one: geopandas.GeoDataFrame, other: geopandas.GeoDataFrame, tolerance: float) -> None:
    """Probabilities within a tolerance, and another label only where two are as near to each other as that."""
    shares = [frame[[name for name in frame if name.startswith("p_")]].to_numpy() for frame in (one, other)]
    difference = np.abs(shares[0] - shares[1]).max()
    print(f"largest difference {difference:.4f}")
    assert difference <= tolerance
    lead = one["confidence"] - one["confidence_2"]
    assert ((one["label"] == other["label"]) | (lead <= 2 * tolerance)).all()


def test_threads_that_look_at_once_see_their_own_pictures(tiny_models: FrozenModels) -> None:
    """Of the image tower every thread gets the tokens of its pictures, not of those that another one put in."""
    pictures = [torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8) for _ in range(60)]
    calm = [tiny_models.clip.encode_image(each) for each in pictures]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(tiny_models.clip.encode_image, pictures))
    for one, other in zip(calm, found, strict=True):
        for kept, seen in zip(one, other, strict=True):
            torch.testing.assert_close(seen, kept, atol=1e-5, rtol=1e-5)
