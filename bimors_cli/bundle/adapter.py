"""An adapter: a saved prompt learner with its calibration and its training labels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bimors_cli.bundle.files import FileEntry, list_files, parse_files, read_manifest, sha256_of_files, verify_files
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import BundleError, InputError

MANIFEST = "adapter.json"
WEIGHTS = "adapter.safetensors"
SCHEMA = 1


@dataclass(frozen=True)
class Adapter:
    """An adapter on disk.

    ``labels`` are those that it was trained on; ``temperature`` divides its logits; ``bundle_sha256`` names the frozen
    parts that it was trained with, ``training`` says how, for people.
    """

    folder: Path
    name: str
    bundle_sha256: str
    labels: tuple[str, ...]
    temperature: float
    training: Mapping[str, str]
    files: tuple[FileEntry, ...]

    @property
    def sha256(self) -> str:
        """Identity of the weights."""
        return sha256_of_files(self.files)

    @property
    def weights(self) -> Path:
        """The safetensors file with the prompt learner's state."""
        return self.folder / WEIGHTS


def open_adapter(folder: Path, bundle: Bundle) -> Adapter:
    """Open an adapter, verify its files, and check that it was trained with this bundle.

    Raises
    ------
    InputError
        There is none.
    BundleError
        It is incomplete or changed, or it belongs to another bundle.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder}: no adapter there (no {MANIFEST})", "--adapter takes the folder of an adapter")
    content = read_manifest(path, SCHEMA)
    try:
        adapter = Adapter(
            folder=folder,
            name=str(content["name"]),
            bundle_sha256=str(content["bundle_sha256"]),
            labels=tuple(map(str, content["labels"])),
            temperature=float(content["temperature"]),
            training={str(k): str(v) for k, v in content["training"].items()},
            files=parse_files(path, content),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"{path}: damaged: {error}") from error
    if [entry.path for entry in adapter.files] != [WEIGHTS]:
        raise BundleError(f"{path}: names other files than {WEIGHTS}")
    if adapter.bundle_sha256 != bundle.sha256:
        raise BundleError(
            f"{folder}: the adapter was trained with another bundle than {bundle.name}",
            "give the bundle that it was trained with by --model",
        )
    verify_files(folder, adapter.files)
    return adapter


def write_adapter_manifest(
    folder: Path,
    bundle: Bundle,
    *,
    name: str,
    labels: Sequence[str],
    temperature: float,
    training: Mapping[str, str],
) -> Adapter:
    """Write the manifest of the weights that lie in ``folder`` and open the adapter."""
    content = {
        "schema": SCHEMA,
        "name": name,
        "bundle": bundle.name,
        "bundle_sha256": bundle.sha256,
        "labels": list(labels),
        "temperature": temperature,
        "training": dict(training),
        "files": [asdict(entry) for entry in list_files(folder, [WEIGHTS])],
    }
    (folder / MANIFEST).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return open_adapter(folder, bundle)
