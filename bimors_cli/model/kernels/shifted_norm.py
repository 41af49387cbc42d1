"""Layer normalisation of rows to which a vector is added first.

The biases of a transformer's output layers are the same for all rows. Instead of one pass over the memory for each of
them, their sum is added where the rows are read anyway.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl


def normalise(
    x: torch.Tensor, shift: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, epsilon: float
) -> torch.Tensor:
    """Return LayerNorm(x + shift), computed in float32; ``x`` is not changed.

    Parameters
    ----------
    x : torch.Tensor
        [rows, width], contiguous.
    shift : torch.Tensor
        float32 [width]
    weight, bias : torch.Tensor
        Of the normalisation, [width].
    epsilon : float
        Added to the variance.

    Returns
    -------
    torch.Tensor
        [rows, width], of the dtype of ``x``.
    """
    rows, width = x.shape
    found = torch.empty_like(x)
    block = triton.next_power_of_2(width)
    _normalise[(rows,)](x, shift, weight, bias, found, width, epsilon, BLOCK=block, num_warps=4 if block > 512 else 1)
    return found


@triton.jit  # type: ignore[untyped-decorator]
def _normalise(x, shift, weight, bias, found, width, epsilon, BLOCK: tl.constexpr) -> None:  # type: ignore[no-untyped-def]
    start = tl.program_id(0).to(tl.int64) * width
    column = tl.arange(0, BLOCK)
    inside = column < width
    row = tl.load(x + start + column, inside, other=0.0).to(tl.float32)
    row += tl.load(shift + column, inside, other=0.0)
    row = tl.where(inside, row - tl.sum(row) / width, 0.0)
    scaled = row / tl.sqrt(tl.sum(row * row) / width + epsilon)
    scaled = scaled * tl.load(weight + column, inside, other=0.0) + tl.load(bias + column, inside, other=0.0)
    tl.store(found + start + column, scaled.to(found.dtype.element_ty), inside)
