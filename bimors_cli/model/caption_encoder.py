"""BERT: a vector for each caption."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from transformers import AutoTokenizer, BertModel, PreTrainedTokenizerBase

from bimors_cli.model.loading import load_frozen


class CaptionEncoder(nn.Module):
    """A frozen BERT with its tokenizer."""

    def __init__(self, model: BertModel, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer

    @classmethod
    def load(cls, folder: Path) -> CaptionEncoder:
        """Load a folder as transformers saves it, from safetensors only."""
        model = load_frozen(BertModel, folder, add_pooling_layer=False)
        return cls(model, AutoTokenizer.from_pretrained(folder, local_files_only=True))

    @property
    def width(self) -> int:
        return int(self.model.config.hidden_size)

    @torch.no_grad()
    def embed(self, captions: Sequence[str]) -> torch.Tensor:
        """Mean of the last hidden states of each caption's own tokens, first and last token included.

        Padding takes no part, so that a caption's embedding does not depend on its neighbours in the batch.

        Returns
        -------
        torch.Tensor
            float32 [B, Db]
        """
        # An equal sentence gives an equal vector: captions repeat a lot.
        distinct = list(dict.fromkeys(captions))
        tokens = self.tokenizer(distinct, padding=True, truncation=True, max_length=64, return_tensors="pt")
        tokens = tokens.to(self.model.device)
        hidden = self.model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).last_hidden_state
        own = tokens["attention_mask"].unsqueeze(-1)
        means: torch.Tensor = (hidden.float() * own).sum(dim=1) / own.sum(dim=1)
        place = {caption: i for i, caption in enumerate(distinct)}
        return means[[place[caption] for caption in captions]]
