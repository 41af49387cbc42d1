"""Attention of up to some dozens of queries on as many keys: one small product for each image and head.

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
        [B, heads, N, d], contiguous in d, as are the others.
    keys, values : torch.Tensor
        [B, heads, rows, d], with the same strides.
    bias : torch.Tensor, optional
        [B, heads, N, rows], minus infinity for rows that a query does not see.

    Returns
    -------
    torch.Tensor
        [B x N, heads x d], contiguous.
    """
    images, heads, count, width = queries.shape
    rows = keys.shape[2]
    found = queries.new_empty(images * count, heads * width)
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
        count,
        rows,
        width,
        HAS_BIAS=bias is not None,
        # 16 is the least size of a product.
        QUERIES=max(16, triton.next_power_of_2(count)),
        ROWS=max(16, triton.next_power_of_2(rows)),
        WIDTH=max(16, triton.next_power_of_2(width)),
        num_warps=1 if count <= 16 else 4,
    )
    return found


# Values that differ between the steps of a search do not make another kernel each.
@triton.jit(do_not_specialize=["rows", "count", "bias_image", "bias_head", "bias_query", "bias_row"])  # type: ignore[untyped-decorator]
def _attend(  # type: ignore[no-untyped-def]
    queries,
    keys,
    values,
    bias,
    found,
    query_image,
    query_head,
    query_row,
    key_image,
    key_head,
    key_row,
    bias_image,
    bias_head,
    bias_query,
    bias_row,
    heads,
    count,
    rows,
    width,
    HAS_BIAS: tl.constexpr,
    QUERIES: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
) -> None:
    image = (tl.program_id(0) // heads).to(tl.int64)
    head = tl.program_id(0) % heads
    query_index = tl.arange(0, QUERIES)[:, None]
    row = tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)[None, :]
    query = tl.load(
        queries + image * query_image + head * query_head + query_index * query_row + column,
        (query_index < count) & (column < width),
        other=0.0,
    )
    place = image * key_image + head * key_head + row[:, None] * key_row + column
    inside = (row[:, None] < rows) & (column < width)
    key = tl.load(keys + place, inside, other=0.0)
    value = tl.load(values + place, inside, other=0.0)
    scores = tl.dot(query, tl.trans(key))
    if HAS_BIAS:
        scores += tl.load(
            bias + image * bias_image + head * bias_head + query_index * bias_query + row[None, :] * bias_row,
            (query_index < count) & (row[None, :] < rows),
            other=0.0,
        ).to(tl.float32)
    scores = tl.where(row[None, :] < rows, scores, float("-inf"))
    weights = tl.exp(scores - tl.max(scores, 1)[:, None])
    mean = tl.dot(weights.to(value.dtype), value) / tl.sum(weights, 1)[:, None]
    tl.store(
        found + ((image * count + query_index) * heads + head) * width + column,
        mean.to(found.dtype.element_ty),
        (query_index < count) & (column < width),
    )
