"""How the processors and GPUs of a cluster are parted among workers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bimors_cli.errors import DeviceError, InputError
from bimors_cli.options.inference import InferenceOptions
from bimors_cli.pipeline.engines.ray import WorkerPool, _allocate

TWO, HEAD, GPU = {"CPU": 2.0}, {"CPU": 0.0}, {"CPU": 8.0, "GPU": 4.0}


def share(nodes: list[dict[str, float]], **options: Any) -> WorkerPool:
    listed = [{"Alive": True, "Resources": node} for node in nodes] + [{"Alive": False, "Resources": {"CPU": 64.0}}]
    chosen = InferenceOptions(scenes=("a.tif",), engine="ray", **options)
    return _allocate(SimpleNamespace(nodes=lambda: listed), chosen)


@pytest.mark.parametrize(
    ("nodes", "options", "expected"),
    [
        ([TWO], {}, WorkerPool(1, 2, 0)),
        ([TWO], {"workers": 2}, WorkerPool(2, 1, 0)),
        ([HEAD, {"CPU": 16}, {"CPU": 16}], {}, WorkerPool(2, 16, 0)),
        ([HEAD, {"CPU": 16}, {"CPU": 16}], {"workers": 6}, WorkerPool(6, 5, 0)),
        ([HEAD, {"CPU": 16}, {"CPU": 16}], {"workers": 1}, WorkerPool(1, 16, 0)),
        ([{"CPU": 4}, {"CPU": 64}], {}, WorkerPool(17, 4, 0)),
        ([GPU, GPU], {}, WorkerPool(8, 1, 1)),
        ([GPU, GPU], {"workers": 3, "device": "cuda"}, WorkerPool(3, 1, 1)),
        ([GPU, GPU], {"device": "cpu"}, WorkerPool(2, 8, 0)),
        ([HEAD], {"ray_address": "auto", "workers": 3}, WorkerPool(3, 1, 0)),  # it may grow
    ],
)
def test_shares(nodes: list[dict[str, float]], options: dict[str, Any], expected: WorkerPool) -> None:
    assert share(nodes, **options) == expected


def test_what_a_machine_does_not_have() -> None:
    with pytest.raises(InputError, match="--workers 3: this machine has 2 processors"):
        share([TWO], workers=3)
    with pytest.raises(InputError, match="--workers 5: this machine has 4 GPUs"):
        share([GPU], workers=5)
    with pytest.raises(DeviceError, match="no GPU"):
        share([TWO], device="cuda")


def test_it_says_what_a_worker_has() -> None:
    told = [str(WorkerPool(*counts)) for counts in ((1, 2, 0), (2, 1, 0), (8, 1, 1))]
    assert told == ["1 worker with 2 processors each", "2 workers with 1 processor each", "8 workers with a GPU each"]
