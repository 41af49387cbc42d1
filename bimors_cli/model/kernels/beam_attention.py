"""Attention of a few queries on a few dozen keys, one small product for each image and head.

Fused attention of torch is made for long sequences: its blocks are of 64 or 128 queries, of which a search with four
beams uses four. The time of this kernel is that of reading keys and values once.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl


def attend(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Return softmax(queries keys' + bias) values, without a scale; scores are float32.

    Parameters
    ----------
    queries : torch.Tensor
        [B, heads, beams, d], at most 16 beams; contiguous in d, as are the others.
    keys, values : torch.Tensor
        [B, heads, rows, d], with the same strides.
    bias : torch.Tensor, optional
        [B, heads, beams, rows], minus infinity for rows that a beam does not see.

    Returns
    -------
    torch.Tensor
        [B x beams, heads x d], contiguous.
    """
    images, heads, beams, width = queries.shape
    rows = keys.shape[2]
    found = queries.new_empty(images * beams, heads * width)
    added = keys if bias is None else bias
    _attend[(images * heads,)](
        queries,
        keys,
        values,
        added,
        found,
        *queries.stride()[:3],
        *keys.stride()[:3],
        *added.stride(),
        heads,
        beams,
        rows,
        width,
        HAS_BIAS=bias is not None,
        BEAMS=16,  # least number of rows of a product
        ROWS=max(16, triton.next_power_of_2(rows)),
        WIDTH=max(16, triton.next_power_of_2(width)),
        num_warps=1,
    )
    return found


@triton.jit  # type: ignore[untyped-decorator]
def _attend(  # type: ignore[no-untyped-def]
    queries,
    keys,
    values,
    bias,
    found,
    query_image,
    query_head,
    query_beam,
    key_image,
    key_head,
    key_row,
    bias_image,
    bias_head,
    bias_beam,
    bias_row,
    heads,
    beams,
    rows,
    width,
    HAS_BIAS: tl.constexpr,
    BEAMS: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
) -> None:
    image = (tl.program_id(0) // heads).to(tl.int64)
    head = tl.program_id(0) % heads
    beam = tl.arange(0, BEAMS)[:, None]
    row = tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)[None, :]
    query = tl.load(
        queries + image * query_image + head * query_head + beam * query_beam + column,
        (beam < beams) & (column < width),
        other=0.0,
    )
    place = image * key_image + head * key_head + row[:, None] * key_row + column
    inside = (row[:, None] < rows) & (column < width)
    key = tl.load(keys + place, inside, other=0.0)
    value = tl.load(values + place, inside, other=0.0)
    scores = tl.dot(query, tl.trans(key))
    if HAS_BIAS:
        scores += tl.load(
            bias + image * bias_image + head * bias_head + beam * bias_beam + row[None, :] * bias_row,
            (beam < beams) & (row[None, :] < rows),
            other=0.0,
        ).to(tl.float32)
    scores = tl.where(row[None, :] < rows, scores, float("-inf"))
    weights = tl.exp(scores - tl.max(scores, 1)[:, None])
    mean = tl.dot(weights.to(value.dtype), value) / tl.sum(weights, 1)[:, None]
    tl.store(
        found + ((image * beams + beam) * heads + head) * width + column,
        mean.to(found.dtype.element_ty),
        (beam < beams) & (column < width),
    )
