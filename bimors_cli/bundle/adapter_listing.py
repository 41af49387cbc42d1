"""Adapters in a folder: which there are, how two differ, one as a single file to carry."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bimors_cli.bundle.adapter import MANIFEST, WEIGHTS, Adapter, read_adapter
from bimors_cli.bundle.files import verify_files
from bimors_cli.errors import BundleError, InputError

METRICS = "metrics.json"
# What a folder of finetune holds; anything else in it is the user's and stays at home.
CARRIED = (MANIFEST, WEIGHTS, METRICS, "README.md", "training.png", "confusion.png", "reliability.png")


def list_adapters(folder: Path) -> list[Adapter]:
    """Read the adapters that lie directly in a folder, by name.

    Raises
    ------
    InputError
        No such folder.
    BundleError
        One of them is damaged.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder", "bimors finetune writes to adapters/ unless -o says otherwise")
    return [read_adapter(path.parent) for path in sorted(folder.glob(f"*/{MANIFEST}"))]


def read_metrics(adapter: Adapter) -> Mapping[str, Any]:
    """Read the figures beside an adapter; empty where there are none.

    Raises
    ------
    BundleError
        They are damaged.
    """
    path = adapter.folder / METRICS
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BundleError(f"{path}: damaged: {error}") from error
    if not isinstance(found, dict):
        raise BundleError(f"{path}: damaged: not an object")
    return found


def accuracies(adapter: Adapter) -> dict[str, float]:
    """Share of right answers of the trained head by part, ``validation`` and ``test``, as far as they were measured."""
    metrics = read_metrics(adapter)
    found = {}
    for part in ("validation", "test"):
        accuracy = metrics.get(part, {}).get(adapter.head, {}).get("accuracy", {}).get("value")
        if accuracy is not None:
            found[part] = float(accuracy)
    return found


def differences(first: Adapter, second: Adapter) -> dict[str, tuple[str, str]]:
    """What two adapters differ in: for each thing, what the one and the other say; empty if in nothing."""
    one, other = _told(first), _told(second)
    return {
        key: (one.get(key, "-"), other.get(key, "-"))
        for key in dict.fromkeys((*one, *other))
        if one.get(key) != other.get(key)
    }


def _told(adapter: Adapter) -> dict[str, str]:
    return {
        "bundle": f"{adapter.bundle} {adapter.bundle_sha256[:12]}",
        "weights": adapter.sha256[:12],
        "head": adapter.kind,
        "labels": ", ".join(adapter.labels),
        "temperature": f"{adapter.temperature:.4f}",
        **adapter.training,
        **{f"right on {part}": f"{100 * share:.1f} %" for part, share in accuracies(adapter).items()},
    }


def export_adapter(adapter: Adapter, target: Path) -> None:
    """Write an adapter as one zip file, to be unpacked anywhere; equal adapters give equal files.

    Raises
    ------
    BundleError
        Its weights are missing or changed.
    """
    verify_files(adapter.folder, adapter.files)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:
        for name in CARRIED:
            path = adapter.folder / name
            if path.is_file():
                entry = zipfile.ZipInfo(f"{adapter.name}/{name}")  # its date is 1980: no date of ours goes in
                entry.external_attr = 0o644 << 16
                packed.writestr(entry, path.read_bytes())
