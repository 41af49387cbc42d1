"""The kernels against operations of torch: in Triton's interpreter on a CPU, compiled on a GPU."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch.nn.functional import layer_norm

from bimors_cli.model.kernels import find
from bimors_cli.model.kernels.find import Kernels, check, find_kernels
from tests.model.kernels.interpreted import attention


def test_in_the_interpreter() -> None:
    """In a process of its own: Triton reads the variable when it is imported."""
    pytest.importorskip("triton")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", Path(__file__).with_name("interpreted.py")],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "8 passed" in done.stdout, done.stdout


def test_there_are_none_on_a_cpu() -> None:
    assert find_kernels(torch.device("cpu")) is None


def test_why_there_are_none_on_a_gpu(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fails(kernels: Kernels, device: torch.device) -> None:
        raise RuntimeError("Failed to find C compiler.\nPlease specify via CC environment variable.")

    pytest.importorskip("triton")
    monkeypatch.setattr(find, "check", fails)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(logging.getLogger("bimors"), "propagate", True)
    device = torch.device("cuda", 77)
    assert find.try_kernels(device) == "Failed to find C compiler."
    with caplog.at_level(logging.INFO, "bimors"):
        assert find_kernels(device) is None
    assert "gcc python3-dev" in caplog.text and "Failed to find C compiler." in caplog.text


def test_wrong_results_are_found() -> None:
    def right(x: torch.Tensor, shift: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, e: float) -> torch.Tensor:
        return layer_norm(x.float() + shift, weight.shape, weight.float(), bias.float(), e).bfloat16()

    def attend(
        queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        return attention(queries, keys, values, bias).bfloat16()

    check(Kernels(attend, right), torch.device("cpu"))
    with pytest.raises(AssertionError):
        check(Kernels(lambda q, k, v, bias=None: attend(q, k, v), right), torch.device("cpu"))
    with pytest.raises(AssertionError):
        check(Kernels(attend, lambda x, shift, w, b, e: right(x, 0 * shift, w, b, e)), torch.device("cpu"))


@pytest.mark.gpu
def test_they_work_on_a_gpu() -> None:
    kernels = find_kernels(torch.device("cuda"))
    assert kernels is not None
    check(kernels, torch.device("cuda"))
