"""Captions of whole captioners, of mini and of the tiny bundle, against `generate`."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from bimors_cli.bundle.manifest import CAPTIONER, Bundle
from bimors_cli.model.captioner import Blip2Captioner, Captioner
from bimors_cli.model.preprocessing import prepare
from tests.benchmarks.captioner import MINI, compare, load, pictures_of_scene

CPU = torch.device("cpu")


def test_mini_has_the_tokens_of_generate() -> None:
    captioner, own = load(MINI, CPU, torch.float32)
    images = pictures_of_scene(40, captioner.preprocessing.size)
    pixels = prepare(images, captioner.preprocessing, torch.float32)
    agreement = compare(captioner, own, pixels, 16)
    assert agreement.equal == 1
    assert agreement.largest_difference < 1e-5
    assert len(set(captioner.caption(images))) > 5


@pytest.mark.slow
def test_mini_in_bfloat16() -> None:
    captioner, own = load(MINI, CPU, torch.bfloat16)
    images = pictures_of_scene(192, captioner.preprocessing.size)
    agreement = compare(captioner, own, prepare(images, captioner.preprocessing, torch.bfloat16), 64)
    assert agreement.equal > 0.95
    # Rounding decides which beams survive: those of other captions may have other scores.
    assert agreement.largest_difference_of_equal < 0.02 and agreement.largest_difference < 0.1


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_a_gpu(dtype: torch.dtype) -> None:
    """Batches of 48 are captured in the second round, and the last one is filled up."""
    captioner, own = load(MINI, torch.device("cuda"), dtype)
    images = pictures_of_scene(48 * 3 + 30, captioner.preprocessing.size).cuda()
    pixels = prepare(images, captioner.preprocessing, dtype)
    agreement = compare(captioner, own, pixels, 48)
    assert agreement.equal >= (1 if dtype == torch.float32 else 0.95)
    # Rounding decides which beams survive: those of other captions may have other scores.
    assert agreement.largest_difference_of_equal < (1e-3 if dtype == torch.float32 else 0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tiny_bundle(tiny_bundle: Bundle, dtype: torch.dtype) -> None:
    captioner, own = load(tiny_bundle.part(CAPTIONER), CPU, dtype)
    torch.manual_seed(0)
    images = torch.randint(0, 256, (24 if dtype == torch.float32 else 240, 3, 32, 32), dtype=torch.uint8)
    agreement = compare(captioner, own, prepare(images, captioner.preprocessing, dtype), 7)
    # In bfloat16 random weights have near ties, which rounding decides: about one caption in eighteen differs.
    assert agreement.equal >= (1 if dtype == torch.float32 else 0.88)


def test_a_captioner_that_is_moved_computes_with_its_new_weights(tiny_bundle: Bundle) -> None:
    captioner = Captioner.load(tiny_bundle.part(CAPTIONER))
    assert isinstance(captioner, Blip2Captioner)
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    before, own = captioner.caption(images), captioner.own
    assert captioner.own is own
    captioner.to(torch.bfloat16)
    assert captioner.own is not own
    captioner.caption(images)
    captioner.to(torch.float16)
    assert captioner.own == "the precision is torch.float16"
    captioner.to(torch.float32)
    assert len(captioner.caption(images)) == len(before)


def test_several_threads(tiny_bundle: Bundle) -> None:
    captioner = Captioner.load(tiny_bundle.part(CAPTIONER))
    images = torch.randint(0, 256, (32, 3, 32, 32), dtype=torch.uint8)
    with ThreadPoolExecutor(4) as threads:
        parts = list(threads.map(captioner.caption, images.split(8)))
    assert [caption for part in parts for caption in part] == captioner.caption(images)


def test_other_settings_keep_generate(
    tiny_bundle: Bundle, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("bimors"), "propagate", True)
    captioner = Captioner.load(tiny_bundle.part(CAPTIONER))
    assert isinstance(captioner, Blip2Captioner)
    captioner.model.language_model.generation_config.repetition_penalty = 5.0
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    with caplog.at_level(logging.INFO, "bimors"):
        captions = captioner.caption(images)
    assert captioner.own == "generation setting repetition_penalty"
    assert "repetition_penalty" in caplog.text
    assert len(captions) == 3


def test_pictures_of_a_scene_differ(tmp_path: Path) -> None:
    images = pictures_of_scene(6, 32)
    assert images.shape == (6, 3, 32, 32) and len({image.numpy().tobytes() for image in images}) == 6
