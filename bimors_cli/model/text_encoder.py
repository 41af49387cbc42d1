"""CLIP's text tower for prompts with a different context per tile, without redundant computations.

A prompt is [start, M context tokens, name tokens, end, padding]. The tower is causal, so

- positions after the end token have no effect and are not computed;
- the start token and the context do not attend to the name: their keys and values are computed once per tile and
  shared by all K classes;
- the names of several classes are packed into one sequence, where each attends to its own tokens and the prefix: short
  names need no padding, and nothing is copied per class;
- names are the same for all tiles until they have attended to the context: their queries, keys and values in the first
  block are computed once;
- in the last block only the row of the end token is needed.

The result is that of the whole tower on full-length prompts, up to rounding; gradients flow through.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from open_clip.transformer import ResidualAttentionBlock
from torch import nn
from torch.nn import functional

from bimors_cli.errors import BundleError

# Maximum size of the widest activation (4 D values per token), which limits memory for any number of labels. On a CPU
# it is below the 32 MiB above which glibc requests new pages from the system for every tensor.
MAX_ACTIVATION_BYTES = {"cpu": 24 << 20, "cuda": 512 << 20}
# Maximum number of name tokens in one sequence: attention computes all pairs, also those of different classes.
MAX_SEQUENCE = 128


@dataclass(frozen=True)
class NameTokens:
    """The tokens after the context in each of K prompts: name, full stop, end token, padding.

    ``ids`` int64 [K, L]; ``end`` int64 [K], the index of the end token in a row of ``ids``.
    """

    ids: torch.Tensor
    end: torch.Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, begin: int, stop: int) -> NameTokens:
        """Rows ``begin`` to ``stop``, truncated to the longest of them."""
        end = self.end[begin:stop]
        return NameTokens(self.ids[begin:stop, : int(end.max()) + 1], end)


@dataclass(frozen=True)
class _Packed:
    """Names of k classes in one sequence of T tokens: ``ids`` and ``position`` (in its own name) int64 [T], ``ends``
    int64 [k], the indices of the end tokens, and ``mask`` bool [T, T], the tokens that a token attends to.
    """

    ids: torch.Tensor
    position: torch.Tensor
    ends: torch.Tensor
    mask: torch.Tensor


class TextTower(nn.Module):
    """The parts of an open_clip text tower that are applied to prompts.

    Parameters
    ----------
    clip : nn.Module
        An open_clip ``CLIP`` or ``CustomTextCLIP`` (or a bare ``TextTransformer``) with a causal text transformer.
    start_id : int
        Token id of the start token.

    Raises
    ------
    BundleError
        The text tower is not causal, or its blocks are of an unsupported type.
    """

    def __init__(self, clip: Any, start_id: int) -> None:
        super().__init__()
        text: Any = getattr(clip, "text", clip)
        blocks = getattr(getattr(text, "transformer", None), "resblocks", None)
        if blocks is None or not all(isinstance(block, ResidualAttentionBlock) for block in blocks):
            raise BundleError(
                f"learned prompts are not supported for the CLIP text tower {type(text).__name__}",
                "use --head zero-shot",
            )
        if text.attn_mask is None or getattr(text, "cls_emb", None) is not None:
            raise BundleError("learned prompts need a causal CLIP text tower", "use --head zero-shot")
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
        """Encode all prompts of all tiles.

        Parameters
        ----------
        context : torch.Tensor
            [B, M, D], the context tokens of B tiles.
        names : NameTokens
            Name tokens of K classes.

        Returns
        -------
        torch.Tensor
            [B, K, E], normalised text features, in float32 or better.
        """
        parts = [self._pack(names.part(*span)) for span in _spans(names, MAX_SEQUENCE)]
        longest = max(len(part.ids) for part in parts)
        rows = []
        tokens = MAX_ACTIVATION_BYTES.get(context.device.type, MAX_ACTIVATION_BYTES["cpu"]) // (
            4 * self.width * context.itemsize
        )
        for tiles in context.split(max(1, tokens // longest)):
            shared = self._prefix(tiles)
            rows.append(torch.cat([self._encode(shared, part, len(tiles)) for part in parts], dim=1))
        return torch.cat(rows)

    def _pack(self, names: NameTokens) -> _Packed:
        """Concatenate the tokens of names, without padding."""
        length = int(names.end.max()) + 1
        positions = torch.arange(length, device=names.end.device)
        name, position = (positions <= names.end[:, None]).nonzero(as_tuple=True)
        ends = torch.cumsum(names.end + 1, 0) - 1
        mask = (name[:, None] == name) & (position[:, None] >= position)
        return _Packed(names.ids[name, position], position, ends, mask)

    def _prefix(self, context: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return keys and values [B, heads, M + 1, d] of the start token and the context for each block."""
        position = self.positional_embedding.to(context.dtype)
        start = self.token_embedding.weight[self.start_id].to(context.dtype).expand(len(context), 1, -1)
        x = torch.cat((start, context), dim=1)
        x = x + position[: x.shape[1]]
        shared = []
        for block in self.blocks:
            query, keys, values = _attention_inputs(block, x)
            shared.append((keys, values))
            if block is not self.blocks[-1]:
                x = _rest_of_block(
                    block, x, functional.scaled_dot_product_attention(query, keys, values, is_causal=True)
                )
        return shared

    def _encode(self, shared: Sequence[tuple[torch.Tensor, torch.Tensor]], names: _Packed, batch: int) -> torch.Tensor:
        """Return text features [B, k, E] of k classes after the prefixes of B tiles."""
        dtype, length = shared[0][0].dtype, shared[0][0].shape[2]
        position = self.positional_embedding[length + names.position].to(dtype)
        # One row for all tiles; the first block's attention to the context makes it one row per tile.
        x = (self.token_embedding(names.ids).to(dtype) + position)[None]
        mask = torch.cat((names.mask.new_ones(len(names.ids), length), names.mask), dim=1)  # [T, P + T]
        for block, (keys, values) in zip(self.blocks, shared, strict=True):
            query, own_keys, own_values = _attention_inputs(block, x)
            if block is self.blocks[-1]:
                query, mask, x = query[:, :, names.ends], mask[names.ends], x[:, names.ends]
            attended = functional.scaled_dot_product_attention(
                query.expand(batch, -1, -1, -1),
                torch.cat((keys, own_keys.expand(batch, -1, -1, -1)), dim=2),
                torch.cat((values, own_values.expand(batch, -1, -1, -1)), dim=2),
                attn_mask=mask,
            )
            x = _rest_of_block(block, x, attended)
        return functional.normalize(self._project(self.ln_final(x)), dim=-1)

    def _project(self, pooled: torch.Tensor) -> torch.Tensor:
        if self.text_projection is None:
            projected = pooled
        elif isinstance(self.text_projection, nn.Linear):
            projected = self.text_projection(pooled)
        else:
            projected = pooled @ self.text_projection.to(pooled.dtype)
        # Half precision is not accurate enough for a cosine that is multiplied by 100.
        return projected if projected.dtype == torch.float64 else projected.float()


def _spans(names: NameTokens, limit: int) -> Iterator[tuple[int, int]]:
    """Split classes, in order, into runs of at most ``limit`` tokens or of one class."""
    begin = tokens = 0
    for index, length in enumerate((names.end + 1).tolist()):
        if index > begin and tokens + length > limit:
            yield begin, index
            begin, tokens = index, 0
        tokens += length
    yield begin, len(names)


def _attention_inputs(
    block: ResidualAttentionBlock, x: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return query, keys and values of ``x`` [N, L, D], each [N, heads, L, D / heads]."""
    attention = block.attn
    projected = functional.linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
    query, keys, values = (
        part.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for part in projected.chunk(3, dim=-1)
    )
    return query, keys, values


def _rest_of_block(block: ResidualAttentionBlock, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
    """Apply output projection, residuals and feed-forward part of a block to ``attended`` [N, heads, L, d]."""
    x = x + block.ls_1(block.attn.out_proj(attended.transpose(1, 2).flatten(2)))
    out: torch.Tensor = x + block.ls_2(block.mlp(block.ln_2(x)))
    return out
