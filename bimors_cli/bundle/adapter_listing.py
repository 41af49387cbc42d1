"""Listing the adapters of a folder, comparing two of them, exporting one as a zip file."""

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
# The files that finetune writes; other files in the folder are not exported.
EXPORTED = (MANIFEST, WEIGHTS, METRICS, "README.md", "training.png", "confusion.png", "reliability.png")


def list_adapters(folder: Path) -> list[Adapter]:
    """Read the adapters in the subfolders of a folder, sorted by name.

    Raises
    ------
    InputError
        The folder does not exist.
    BundleError
        An adapter is damaged.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: folder not found", "bimors finetune writes adapters to adapters/ by default")
    return [read_adapter(path.parent) for path in sorted(folder.glob(f"*/{MANIFEST}"))]


def read_metrics(adapter: Adapter) -> Mapping[str, Any]:
    """Read the metrics file of an adapter; empty if it has none.

    Raises
    ------
    BundleError
        The metrics file is damaged.
    """
    path = adapter.folder / METRICS
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BundleError(f"{path}: damaged: {error}") from error
    if not isinstance(found, dict):
        raise BundleError(f"{path}: damaged: not a JSON object")
    return found


def accuracies(adapter: Adapter) -> dict[str, float]:
    """Return the accuracy of the trained head, 0..1, where it was measured: on ``validation`` and ``test`` images, and
    ``expected`` from left-out examples.
    """
    metrics = read_metrics(adapter)
    found = {}
    if metrics.get("expected"):
        found["expected"] = float(metrics["expected"]["accuracy"])
    for split in ("validation", "test"):
        accuracy = metrics.get(split, {}).get(adapter.head, {}).get("accuracy", {}).get("value")
        if accuracy is not None:
            found[split] = float(accuracy)
    return found


def differences(first: Adapter, second: Adapter) -> dict[str, tuple[str, str]]:
    """Return the properties in which two adapters differ: property to both values; empty if they are equal."""
    one, other = _properties(first), _properties(second)
    return {
        key: (one.get(key, "-"), other.get(key, "-"))
        for key in dict.fromkeys((*one, *other))
        if one.get(key) != other.get(key)
    }


def _properties(adapter: Adapter) -> dict[str, str]:
    return {
        "bundle": f"{adapter.bundle} {adapter.bundle_sha256[:12]}",
        "weights": adapter.sha256[:12],
        "head": adapter.kind,
        "labels": ", ".join(adapter.labels),
        "temperature": f"{adapter.temperature:.4f}",
        **adapter.training,
        **{f"right on {split}": f"{100 * accuracy:.1f} %" for split, accuracy in accuracies(adapter).items()},
    }


def export_adapter(adapter: Adapter, target: Path) -> None:
    """Write an adapter as one zip file; equal adapters give identical files.

    Raises
    ------
    BundleError
        The weights are missing or changed.
    """
    verify_files(adapter.folder, adapter.files)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:
        for name in EXPORTED:
            path = adapter.folder / name
            if path.is_file():
                entry = zipfile.ZipInfo(f"{adapter.name}/{name}")  # dated 1980, so that the file is reproducible
                entry.external_attr = 0o644 << 16
                packed.writestr(entry, path.read_bytes())
