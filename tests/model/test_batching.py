"""Batches: what fits, what does not, and that the answer is the same."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import DeviceError
from bimors_cli.model.batching import (
    CAPTION_ENCODER,
    CAPTIONER,
    HEAD,
    IMAGE_TOWER,
    ON_CPU,
    ON_CUDA,
    STAGES,
    BatchSizer,
    is_out_of_memory,
    power_of_two,
    raising_out_of_memory,
)
from bimors_cli.model.frozen_models import FrozenModels
from bimors_cli.pipeline.inference.load import load_models

CPU = torch.device("cpu")
PICTURES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (11, 3, 32, 32), dtype=np.uint8))


@pytest.fixture
def models(tiny_bundle: Bundle) -> FrozenModels:
    return load_models(tiny_bundle, "cpu")


class Small:
    """A device that is full above ``most`` tiles: a hook before a module, which raises as torch does."""

    def __init__(self, most: int) -> None:
        self.most, self.asked = most, list[int]()

    def __call__(
        self, _module: torch.nn.Module, args: tuple[torch.Tensor, ...], kwargs: dict[str, torch.Tensor]
    ) -> None:
        tensor = args[0] if args else next(iter(kwargs.values()))
        self.asked.append(len(tensor))
        if len(tensor) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total of 4 GiB")

    def on(self, module: torch.nn.Module) -> Small:
        module.register_forward_pre_hook(self, with_kwargs=True)
        return self


def test_batches_cover_all_tiles_in_order() -> None:
    batches = BatchSizer(CPU, limit=4)
    assert batches.map_batches(HEAD, 10, lambda part: (part.start, part.stop)) == [(0, 4), (4, 8), (8, 10)]
    assert batches.map_batches(HEAD, 0, lambda part: part) == []
    assert batches.max_size == 4
    assert BatchSizer(CPU).sizes == ON_CPU and set(ON_CPU) == set(ON_CUDA) == set(STAGES)


def test_out_of_memory_halves_from_there_on() -> None:
    batches, asked = BatchSizer(CPU, limit=16), list[int]()

    def work(part: slice) -> list[int]:
        asked.append(part.stop - part.start)
        if asked[-1] > 5:
            raise RuntimeError(
                "[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 400 bytes."
            )
        return list(range(part.start, part.stop))

    assert list(chain(*batches.map_batches(HEAD, 10, work))) == list(range(10))
    assert asked == [10, 5, 5]
    assert list(chain(*batches.map_batches(HEAD, 7, work))) == list(range(7))
    assert asked[3:] == [5, 2]
    assert batches.sizes == {**{stage: min(16, size) for stage, size in ON_CPU.items()}, HEAD: 5}


@pytest.mark.parametrize(
    ("stage", "most"), [(CAPTIONER, 3), (CAPTIONER, 1), (IMAGE_TOWER, 2), (CAPTION_ENCODER, 1)], ids=str
)
def test_a_full_device_changes_nothing_but_the_batches(models: FrozenModels, stage: str, most: int) -> None:
    before = models.encode(PICTURES)
    module = {
        CAPTIONER: models.captioner.model.vision_model,  # type: ignore[union-attr]
        IMAGE_TOWER: models.clip.model.visual,
        CAPTION_ENCODER: models.caption_encoder.model,
    }[stage]
    device = Small(most).on(module)
    after = models.encode(PICTURES)
    assert models.batches.sizes[stage] <= most < max(device.asked)
    assert after.captions == before.captions
    for name in ("image_feature", "patch_tokens", "caption_embedding"):
        torch.testing.assert_close(getattr(after, name), getattr(before, name), rtol=0, atol=1e-5)


def test_a_device_too_small_for_one_tile_says_so_with_numbers(models: FrozenModels) -> None:
    device = Small(0).on(models.clip.model.visual)
    with pytest.raises(DeviceError) as caught:
        models.encode(PICTURES)
    assert device.asked == [11, 5, 2, 1]
    told = caught.value.message
    assert told.startswith("image tower, batch of one tile: out of memory on cpu: 2.50 GiB requested")
    assert told.endswith(" GB free") and "smaller bundle" in str(caught.value.hint)


def test_models_that_do_not_fit_are_a_device_error() -> None:
    with (
        pytest.raises(DeviceError, match=r"the models: out of memory on cpu: 0\.40 GB requested"),
        raising_out_of_memory("the models", CPU),
    ):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 400000000 bytes.")


def test_the_allocators_own_error_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)  # more than any machine has
    assert is_out_of_memory(caught.value)


def test_other_faults_go_through() -> None:
    def work(part: slice) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        BatchSizer(CPU).map_batches(HEAD, 3, work)
    with pytest.raises(RuntimeError, match="mat1"), raising_out_of_memory("the models", CPU):
        work(slice(0))
    assert not is_out_of_memory(ValueError("out of memory"))
    assert is_out_of_memory(MemoryError())


@pytest.mark.parametrize(("number", "power"), [(0.3, 1), (1, 1), (7.9, 4), (8, 8), (1000, 512)])
def test_powers_of_two(number: float, power: int) -> None:
    assert power_of_two(number) == power


def test_parts_of_evidence_share_memory(models: FrozenModels) -> None:
    evidence = models.encode(PICTURES)
    part = evidence.part(slice(2, 5))
    assert evidence.part(slice(0, 11)) is evidence
    assert len(part) == 3 and part.captions == evidence.captions[2:5]
    assert part.patch_tokens.data_ptr() == evidence.patch_tokens[2].data_ptr()


@pytest.mark.gpu
def test_a_full_gpu_halves_and_goes_on(tiny_bundle: Bundle) -> None:
    cuda = torch.device("cuda")
    batches, asked = BatchSizer(cuda), list[int]()

    def work(part: slice) -> int:
        asked.append(part.stop - part.start)
        free, _ = torch.cuda.mem_get_info(cuda)
        # Three tiles fit, four do not.
        torch.empty(asked[-1] * free * 2 // 7, dtype=torch.uint8, device=cuda)
        return asked[-1]

    assert sum(batches.map_batches(IMAGE_TOWER, 9, work)) == 9
    assert asked[0] == 8 and 4 in asked and asked[-1] <= 3


@pytest.mark.gpu
def test_a_gpu_settles_on_powers_of_two_and_gives_the_same_answer(tiny_bundle: Bundle) -> None:
    models = load_models(tiny_bundle, "cuda")
    many = PICTURES.repeat(8, 1, 1, 1).pin_memory()
    evidence = models.encode(many)
    for stage in (CAPTIONER, CAPTION_ENCODER, IMAGE_TOWER):
        assert models.batches.sizes[stage] == ON_CUDA[stage]  # a tiny model: everything fits
    models.limit_batches(3)
    other = models.encode(many)
    torch.testing.assert_close(other.image_feature, evidence.image_feature, rtol=0, atol=2e-2)
