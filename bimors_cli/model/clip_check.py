"""Checks of the files of a CLIP that need no weights in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch

from bimors_cli.errors import BundleError
from bimors_cli.model.clip import CONFIG, UNUSED, WEIGHTS, build_clip, load_tokenizer, replace_input
from bimors_cli.model.loading import compare_tensors, read_json
from bimors_cli.options.band_names import CHANNELS

# Tables of token embeddings are padded to a multiple of at most this.
_PADDING: Final = 512
_ERRORS: Final = (KeyError, TypeError, ValueError, RuntimeError, AssertionError, OSError, AttributeError)


def check_clip(folder: Path) -> None:
    """Check that weights, configuration and tokenizer of a CLIP belong together.

    Parameters
    ----------
    folder : Path
        Folder in the ``local-dir:`` layout of open_clip.

    Raises
    ------
    BundleError
        open_clip cannot build the model; a tensor is missing, unknown or of another shape; the tokenizer has another
        vocabulary than the text tower; or the files call for code of their own.
    """
    path = folder / CONFIG
    config = read_json(path)
    model = check_config(str(path), config)
    try:
        tokenize = load_tokenizer(folder, config)
    except _ERRORS as error:
        raise BundleError(f"{folder}: the tokenizer cannot be loaded: {error}".splitlines()[0]) from error
    compare_tensors(model, folder / WEIGHTS, unused=UNUSED)
    _check_vocabulary(folder, config["model_cfg"]["text_cfg"], tokenize)


def check_config(where: str, config: Mapping[str, Any]) -> Any:
    """Check that open_clip can build the CLIP of an ``open_clip_config.json``; ``where`` it is, for messages.

    Returns
    -------
    torch.nn.Module
        The model without weights, on the device ``meta``.

    Raises
    ------
    BundleError
        It cannot.
    """
    try:
        with torch.device("meta"):
            model = build_clip(config["model_cfg"])
            if CHANNELS in config:
                replace_input(model, config[CHANNELS])
    except _ERRORS as error:
        raise BundleError(
            f"{where}: open_clip cannot build this CLIP: {error!r}".splitlines()[0], "use a repository of open_clip"
        ) from error
    return model


def _check_vocabulary(folder: Path, text: Mapping[str, Any], tokenize: Any) -> None:
    tokenizer, rows = getattr(tokenize, "tokenizer", None), text.get("vocab_size", 49408)
    tokens = tokenize.vocab_size if tokenizer is None else len(tokenizer)
    if not rows - _PADDING < tokens <= rows:
        raise BundleError(
            f"{folder}: the tokenizer has {tokens:,} tokens, the text tower {rows:,}: it is that of another model",
            "use a repository with the tokenizer that the model was trained with",
        )
