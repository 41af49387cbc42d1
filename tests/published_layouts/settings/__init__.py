"""The settings that are published next to the weights, and words for BERT's tokenizer."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from tests.model.full_size import bert_words


def settings_file(source: str, name: str = "config") -> bytes:
    return (Path(__file__).parent / f"{source}.{name}.json").read_bytes()


def read_settings(source: str, name: str = "config") -> dict[str, Any]:
    content: dict[str, Any] = json.loads(settings_file(source, name))
    return content


@cache
def bert_tokenizer_file() -> bytes:
    """As many words as BERT's, made here."""
    with tempfile.TemporaryDirectory() as folder:
        bert_words().save_pretrained(folder)
        return (Path(folder) / "tokenizer.json").read_bytes()


def vocabulary() -> bytes:
    words = bert_words().get_vocab()
    return "".join(f"{word}\n" for word in sorted(words, key=words.__getitem__)).encode()
