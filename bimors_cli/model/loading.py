"""Loading what transformers saved: local files, safetensors only, in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from bimors_cli.errors import BundleError


def load_frozen(kind: Any, folder: Path, **options: Any) -> Any:
    """Load a transformers model of class ``kind`` in float32, frozen.

    Raises
    ------
    BundleError
        The folder does not hold such a model in safetensors.
    """
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        model = kind.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, **options
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise BundleError(f"{folder}: not a {kind.__name__}: {str(error).splitlines()[0]}") from error
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
    return model.eval().requires_grad_(False)
