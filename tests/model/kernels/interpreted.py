"""Tests of the kernels in Triton's interpreter; test_kernels.py runs them with TRITON_INTERPRET=1."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest
import torch
from torch.nn.functional import layer_norm


def kernel(name: str) -> ModuleType:
    return importlib.import_module(f"bimors_cli.model.kernels.{name}")


def attention(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    scores = queries.double() @ keys.double().transpose(-1, -2)
    weights = (scores if bias is None else scores + bias.double()).softmax(-1)
    images, heads, count, width = queries.shape
    return (weights @ values.double()).transpose(1, 2).reshape(images * count, heads * width)


@pytest.mark.parametrize(("count", "rows", "width"), [(1, 1, 8), (4, 9, 48), (4, 57, 64), (33, 33, 16)])
def test_attention(count: int, rows: int, width: int) -> None:
    attend = kernel("small_attention").attend
    torch.manual_seed(rows)
    # As the decoder has them: parts of one product, and of a cache for more rows.
    queries = torch.randn(2 * count, 3 * 2 * width).view(2, count, 3, 2, width).permute(2, 0, 3, 1, 4)[0]
    keys, values = (torch.randn(2, 2, rows + 5, width)[:, :, :rows] for _ in range(2))
    bias = torch.randn(1, 2, count, rows).expand(2, -1, -1, -1)
    unseen = bias.clone()
    unseen[:, :, :, 1:] = unseen[:, :, :, 1:].masked_fill(torch.rand(unseen[:, :, :, 1:].shape) < 0.5, -torch.inf)
    for added in (None, bias, unseen):
        found = attend(queries, keys, values, added)
        torch.testing.assert_close(found.double(), attention(queries, keys, values, added), atol=1e-5, rtol=1e-5)


def test_nan_is_not_hidden() -> None:
    attend = kernel("small_attention").attend
    queries, keys, values = torch.randn(2, 1, 4, 16), torch.randn(2, 1, 6, 16), torch.randn(2, 1, 6, 16)
    queries[1, 0, 2] = torch.nan
    found = attend(queries, keys, values)
    assert found.isnan().any(dim=1).tolist() == [False] * 6 + [True, False]


@pytest.mark.parametrize("width", [5, 40, 512])
def test_norm_of_shifted_rows(width: int) -> None:
    normalise = kernel("shifted_norm").normalise
    torch.manual_seed(width)
    x, shift, weight, bias = torch.randn(4, width), torch.randn(width), torch.randn(width), torch.randn(width)
    before = x.clone()
    expected = layer_norm(x + shift, (width,), weight, bias, 1e-6)
    torch.testing.assert_close(normalise(x, shift, weight, bias, 1e-6), expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(x, before)
