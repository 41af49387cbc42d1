"""The JSON that a command writes to standard output."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bimors_cli.errors import InputError
from bimors_cli.options.layer import STDOUT
from bimors_cli.run_warnings import warnings_so_far


def print_json(facts: Mapping[str, Any]) -> None:
    """Write facts as a JSON object, with what the command warned of under ``warnings``: texts, each once, in order."""
    content = {**facts, "warnings": list(warnings_so_far())}
    print(json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False))


def refuse_rows_and_json(output: object, as_json: bool) -> None:
    """Refuse to write rows and a JSON object to standard output. Raises InputError."""
    if as_json and str(output) == STDOUT:
        raise InputError("--json and -o - both write to standard output", "use -o FILE with --json")
