"""Attention of the beams of an image: as many queries of one small product, on keys that are stored once."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def attend(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Return softmax(queries keys' + bias) values, as T5 has it: without a scale.

    In float32 two products are quicker than torch's fused attention, which is made for long sequences; in lower
    precisions the fused attention keeps the scores in float32, as ``generate`` does.

    Parameters
    ----------
    queries : torch.Tensor
        [B, heads, beams, d]
    keys, values : torch.Tensor
        [B, heads, rows, d]
    bias : torch.Tensor, optional
        [B, heads, beams, rows], minus infinity for rows that a beam does not see.

    Returns
    -------
    torch.Tensor
        [B x beams, heads x d], contiguous.
    """
    images, heads, beams, width = queries.shape
    if queries.dtype == torch.float32:
        keys = keys.flatten(0, 1).transpose(1, 2)
        flat = queries.reshape(images * heads, beams, width)
        scores = torch.bmm(flat, keys) if bias is None else torch.baddbmm(bias.flatten(0, 1), flat, keys)
        found = torch.bmm(scores.softmax(-1), values.flatten(0, 1)).view(queries.shape)
    else:
        found = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, scale=1.0)
    return found.transpose(1, 2).reshape(images * beams, heads * width)
