"""BERT: an embedding of each caption."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from transformers import BertModel, PreTrainedTokenizerBase

from bimors_cli.errors import BundleError
from bimors_cli.model.loading import CPU, load_frozen, load_tokenizer, read_json

# Tensors of pretrained BERT that are not used: the heads, and the pooler of one of them.
UNUSED = ("cls.", "bert.pooler.", "pooler.")


class CaptionEncoder(nn.Module):
    """A frozen BERT with its tokenizer."""

    def __init__(self, model: BertModel, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype = torch.float32, device: torch.device = CPU) -> CaptionEncoder:
        """Load a transformers folder onto a device, from safetensors only, in one precision.

        Raises
        ------
        BundleError
            The folder holds another model, or is incomplete.
        """
        path = folder / "config.json"
        kind = read_json(path).get("model_type")
        if kind != "bert":
            raise BundleError(f"{path}: unsupported caption encoder model_type {kind!r}", "use bert")
        model = load_frozen(BertModel, folder, dtype=dtype, device=device, unused=UNUSED, add_pooling_layer=False)
        return cls(model, load_tokenizer(folder))

    @property
    def width(self) -> int:
        return int(self.model.config.hidden_size)

    @torch.no_grad()
    def embed(self, captions: Sequence[str | None]) -> torch.Tensor:
        """Mean of the last hidden states of each caption's own tokens, first and last token included.

        Padding is masked, so a caption's embedding does not depend on the other captions in the batch.

        Returns
        -------
        torch.Tensor
            float32 [B, Db]; NaN where there is no caption.
        """
        # Captions repeat a lot: each distinct sentence is embedded once.
        distinct = list(dict.fromkeys(caption or "" for caption in captions))
        tokens = self.tokenizer(distinct, padding=True, truncation=True, max_length=64, return_tensors="pt")
        tokens = tokens.to(self.model.device)
        hidden = self.model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1)
        means: torch.Tensor = (hidden.float() * mask).sum(dim=1) / mask.sum(dim=1)
        index = {caption: i for i, caption in enumerate(distinct)}
        rows = means[[index[caption or ""] for caption in captions]]
        rows[[row for row, caption in enumerate(captions) if caption is None]] = torch.nan
        return rows


class NullCaptionEncoder(CaptionEncoder):
    """Stands in for a caption encoder that the bundle lacks, or that no view of the run needs: embeddings are empty."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    @property
    def width(self) -> int:
        return 0

    def embed(self, captions: Sequence[str | None]) -> torch.Tensor:
        """Return float32 [B, 0]."""
        return torch.zeros(len(captions), 0)
