"""Paths that a user gave, in messages."""

from __future__ import annotations

import os


def why_missing(path: str) -> str:
    """Say why a path does not lead to a file: it was not found, or a folder on the way to it may not be entered."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return "not found"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "not found"
