"""BERT: a vector for each caption."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from transformers import BertModel, PreTrainedTokenizerBase

from bimors_cli.errors import BundleError
from bimors_cli.model.loading import load_frozen, load_tokenizer, read_json

# Of BERT as it was trained: the heads, and the pooler before one of them.
UNUSED = ("cls.", "bert.pooler.", "pooler.")


class CaptionEncoder(nn.Module):
    """A frozen BERT with its tokenizer."""

    def __init__(self, model: BertModel, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype = torch.float32) -> CaptionEncoder:
        """Load a folder as transformers saves it, from safetensors only, into one precision.

        Raises
        ------
        BundleError
            Something else lies there, or not all of it.
        """
        path = folder / "config.json"
        kind = read_json(path).get("model_type")
        if kind != "bert":
            raise BundleError(f"{path}: model_type {kind!r}; bimors reads captions by bert")
        model = load_frozen(BertModel, folder, dtype=dtype, unused=UNUSED, add_pooling_layer=False)
        return cls(model, load_tokenizer(folder))

    @property
    def width(self) -> int:
        return int(self.model.config.hidden_size)

    @torch.no_grad()
    def embed(self, captions: Sequence[str | None]) -> torch.Tensor:
        """Mean of the last hidden states of each caption's own tokens, first and last token included.

        Padding takes no part, so that a caption's embedding does not depend on its neighbours in the batch.

        Returns
        -------
        torch.Tensor
            float32 [B, Db]; NaN for what has no caption.
        """
        # An equal sentence gives an equal vector: captions repeat a lot.
        distinct = list(dict.fromkeys(caption or "" for caption in captions))
        tokens = self.tokenizer(distinct, padding=True, truncation=True, max_length=64, return_tensors="pt")
        tokens = tokens.to(self.model.device)
        hidden = self.model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).last_hidden_state
        own = tokens["attention_mask"].unsqueeze(-1)
        means: torch.Tensor = (hidden.float() * own).sum(dim=1) / own.sum(dim=1)
        place = {caption: i for i, caption in enumerate(distinct)}
        rows = means[[place[caption or ""] for caption in captions]]
        rows[[row for row, caption in enumerate(captions) if caption is None]] = torch.nan
        return rows
