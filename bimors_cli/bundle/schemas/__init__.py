"""What the JSON files of bundles look like, as JSON schemas; they are the documentation, and what is checked."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from bimors_cli.errors import BundleError


def check_form(path: Path, content: Any, schema: str) -> None:
    """Check a JSON file's content against one of the schemas in this folder.

    Parameters
    ----------
    path : Path
        Of the content, for messages.
    content : Any
        Parsed JSON.
    schema : str
        ``manifest``, ``catalogue`` or ``record``.

    Raises
    ------
    BundleError
        Names the place that is wrong.
    """
    # A quarter of a second to import, and no plain run needs it.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    text = (files(__name__) / f"{schema}.json").read_text(encoding="utf-8")
    error = best_match(Draft202012Validator(json.loads(text)).iter_errors(content))
    if error is not None:
        said = " ".join(error.message.split())
        raise BundleError(f"{path}: damaged: {error.json_path}: {said if len(said) < 200 else said[:200] + ' …'}")
