"""The kernels against operations of torch: in Triton's interpreter on a CPU, compiled on a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn.functional import layer_norm

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
