"""Attention of T5: of the beams of an image, as many queries of one small product; and of the encoder's rows."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from bimors_cli.model.kernels.find import SmallAttention, find_kernels


def choose_attention(device: torch.device, dtype: torch.dtype) -> SmallAttention:
    """Return the kernel where it works, on a GPU in bfloat16, else `attend`."""
    kernels = find_kernels(device) if dtype == torch.bfloat16 else None
    return attend if kernels is None else kernels.attend


def attend(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Return softmax(queries keys' + bias) values, as T5 has it: without a scale.

    In float32 two products are quicker than torch's fused attention, which is made for long sequences; in lower
    precisions the fused attention keeps the scores in float32, as ``generate`` does.

    Parameters
    ----------
    queries : torch.Tensor
        [B, heads, N, d]
    keys, values : torch.Tensor
        [B, heads, rows, d]
    bias : torch.Tensor, optional
        [B, heads, N, rows], minus infinity for rows that a query does not see.

    Returns
    -------
    torch.Tensor
        [B x N, heads x d], contiguous.
    """
    images, heads, count, width = queries.shape
    if queries.dtype == torch.float32:
        keys = keys.flatten(0, 1).transpose(1, 2)
        flat = queries.reshape(images * heads, count, width)
        scores = torch.bmm(flat, keys) if bias is None else torch.baddbmm(bias.flatten(0, 1), flat, keys)
        found = torch.bmm(scores.softmax(-1), values.flatten(0, 1)).view(queries.shape)
    else:
        found = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, scale=1.0)
    return found.transpose(1, 2).reshape(images * count, heads * width)
