"""CLIP's text tower for prompts that differ from tile to tile, without computing anything twice.

A prompt is [start, M context tokens, name tokens, end, padding]. The tower is causal, so

- positions after the end token never matter: they are not computed;
- the start token and the context do not see the name: their keys and values are computed once a tile and shared by
  all K classes;
- in the last block only the end token's row is needed.

The answer is that of the whole tower on full-length prompts, up to rounding; gradients flow through.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from open_clip.transformer import ResidualAttentionBlock
from torch import nn
from torch.nn import functional

from bimors_cli.errors import BundleError

# Tokens that go through the tower at once; bounds memory at about TOKENS x 10 D values whatever the number of labels.
TOKENS_AT_ONCE = 16_384


@dataclass(frozen=True)
class NameTokens:
    """What follows the context in each of K prompts: name, full stop, end token, padding.

    ``ids`` int64 [K, L]; ``end`` int64 [K], the end token's place in a row of ``ids``.
    """

    ids: torch.Tensor
    end: torch.Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, begin: int, stop: int) -> NameTokens:
        """Rows ``begin`` to ``stop``, cut to the longest of them."""
        end = self.end[begin:stop]
        return NameTokens(self.ids[begin:stop, : int(end.max()) + 1], end)


class TextTower(nn.Module):
    """The parts of an open_clip text tower that prompts go through.

    Parameters
    ----------
    clip : nn.Module
        An open_clip ``CLIP`` or ``CustomTextCLIP`` (or a bare ``TextTransformer``) with a causal text transformer.
    start_id : int
        Token id of the start token.

    Raises
    ------
    BundleError
        The text tower is not causal, or its blocks are of a kind whose keys and values cannot be shared.
    """

    def __init__(self, clip: Any, start_id: int) -> None:
        super().__init__()
        text: Any = getattr(clip, "text", clip)
        blocks = getattr(getattr(text, "transformer", None), "resblocks", None)
        if blocks is None or not all(isinstance(block, ResidualAttentionBlock) for block in blocks):
            raise BundleError(
                f"this CLIP's text tower ({type(text).__name__}) cannot take learned prompts", "use --head zero-shot"
            )
        if text.attn_mask is None or getattr(text, "cls_emb", None) is not None:
            raise BundleError(
                "this CLIP's text tower is not causal; it cannot take learned prompts", "--head zero-shot"
            )
        self.start_id = start_id
        self.blocks: Any = blocks
        self.token_embedding: Any = text.token_embedding
        self.positional_embedding: torch.Tensor = text.positional_embedding
        self.ln_final: Any = text.ln_final
        self.text_projection: Any = text.text_projection

    @property
    def width(self) -> int:
        return int(self.positional_embedding.shape[1])

    @property
    def context_length(self) -> int:
        return int(self.positional_embedding.shape[0])

    def forward(self, context: torch.Tensor, names: NameTokens) -> torch.Tensor:
        """Encode every prompt of every tile.

        Parameters
        ----------
        context : torch.Tensor
            [B, M, D], the context tokens of B tiles.
        names : NameTokens
            Of K classes.

        Returns
        -------
        torch.Tensor
            [B, K, E], normalised text features, in float32 or better.
        """
        rows = []
        for tiles in self._tiles_at_once(context, names):
            classes = max(1, TOKENS_AT_ONCE // (len(tiles) * names.ids.shape[1]))
            parts = [
                self._encode(tiles, names.part(k, min(k + classes, len(names)))) for k in range(0, len(names), classes)
            ]
            rows.append(torch.cat(parts, dim=1))
        return torch.cat(rows)

    @staticmethod
    def _tiles_at_once(context: torch.Tensor, names: NameTokens) -> Iterator[torch.Tensor]:
        return iter(context.split(max(1, TOKENS_AT_ONCE // names.ids.numel())))

    def _encode(self, context: torch.Tensor, names: NameTokens) -> torch.Tensor:
        batch, length = context.shape[:2]
        classes, tail = names.ids.shape
        length += 1
        position = self.positional_embedding.to(context.dtype)
        start = self.token_embedding.weight[self.start_id].to(context.dtype).expand(batch, 1, -1)
        prefix = torch.cat((start, context), dim=1) + position[:length]
        suffix = self.token_embedding(names.ids).to(context.dtype) + position[length : length + tail]
        suffix = suffix.expand(batch, -1, -1, -1).flatten(0, 1)  # [B K, L, D]

        places = torch.arange(length + tail, device=context.device)
        causal = places[None, :] <= places[length:, None]  # [L, P + L]
        for block in self.blocks[:-1]:
            query, keys, values = _attention_inputs(block, prefix)
            suffix_query, suffix_keys, suffix_values = _attention_inputs(block, suffix)
            suffix = _rest_of_block(
                block,
                suffix,
                functional.scaled_dot_product_attention(
                    suffix_query,
                    _after(keys, suffix_keys, classes),
                    _after(values, suffix_values, classes),
                    attn_mask=causal,
                ),
            )
            seen = functional.scaled_dot_product_attention(query, keys, values, is_causal=True)
            prefix = _rest_of_block(block, prefix, seen)

        last = self.blocks[-1]
        _, keys, values = _attention_inputs(last, prefix)
        query, suffix_keys, suffix_values = _attention_inputs(last, suffix)
        end = names.end.repeat(batch)
        row = torch.arange(len(end), device=end.device)
        until_end = places[None, :] <= length + end[:, None]  # [B K, P + L]
        seen = functional.scaled_dot_product_attention(
            query[row, :, end].unsqueeze(2),
            _after(keys, suffix_keys, classes),
            _after(values, suffix_values, classes),
            attn_mask=until_end[:, None, None, :],
        )
        pooled = self.ln_final(_rest_of_block(last, suffix[row, end].unsqueeze(1), seen))
        return functional.normalize(self._project(pooled).reshape(batch, classes, -1), dim=-1)

    def _project(self, pooled: torch.Tensor) -> torch.Tensor:
        if self.text_projection is None:
            projected = pooled
        elif isinstance(self.text_projection, nn.Linear):
            projected = self.text_projection(pooled)
        else:
            projected = pooled @ self.text_projection.to(pooled.dtype)
        # Half precision is not enough for a cosine that is multiplied by 100.
        return projected if projected.dtype == torch.float64 else projected.float()


def _attention_inputs(
    block: ResidualAttentionBlock, x: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Query, keys and values of ``x`` [N, L, D], each [N, heads, L, D / heads]."""
    attention = block.attn
    mixed = functional.linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
    query, keys, values = (
        part.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for part in mixed.chunk(3, dim=-1)
    )
    return query, keys, values


def _after(prefix: torch.Tensor, suffix: torch.Tensor, classes: int) -> torch.Tensor:
    """Put a tile's prefix [B, heads, P, d] before the suffix [B K, heads, L, d] of each of its classes."""
    shared = prefix.unsqueeze(1).expand(-1, classes, -1, -1, -1).flatten(0, 1)
    return torch.cat((shared, suffix), dim=2)


def _rest_of_block(block: ResidualAttentionBlock, x: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Output projection, both residuals and the feed-forward part of a block; ``seen`` is [N, heads, L, d]."""
    x = x + block.ls_1(block.attn.out_proj(seen.transpose(1, 2).flatten(2)))
    out: torch.Tensor = x + block.ls_2(block.mlp(block.ln_2(x)))
    return out
