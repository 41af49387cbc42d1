"""JSON schemas of the JSON files of bundles: their documentation, and what they are checked against."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from bimors_cli.errors import BundleError


def check_schema(path: Path, content: Any, schema: str) -> None:
    """Check the content of a JSON file against one of the schemas in this folder.

    Parameters
    ----------
    path : Path
        Path of the file, for messages.
    content : Any
        Parsed JSON.
    schema : str
        ``manifest``, ``catalogue`` or ``record``.

    Raises
    ------
    BundleError
        The content does not follow the schema; the message names the JSON path.
    """
    # Takes a quarter of a second to import, and ordinary runs do not need it.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    text = (files(__name__) / f"{schema}.json").read_text(encoding="utf-8")
    error = best_match(Draft202012Validator(json.loads(text)).iter_errors(content))
    if error is not None:
        reason = " ".join(error.message.split())
        raise BundleError(f"{path}: damaged: {error.json_path}: {reason if len(reason) < 200 else reason[:200] + ' …'}")
