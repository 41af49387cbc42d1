"""An adapter: the trained weights of a head, with its calibration and its training labels."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bimors_cli.bundle.adapter_views import AdapterViews
from bimors_cli.bundle.files import FileEntry, list_files, parse_files, read_manifest, sha256_of_files, verify_files
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import BundleError, InputError
from bimors_cli.labels import Labels
from bimors_cli.options.heads import VIEWS_HEAD, find_head, is_head
from bimors_cli.options.views import CAPTION, VIEWS
from bimors_cli.run_warnings import warnings_so_far

MANIFEST = "adapter.json"
WEIGHTS = "adapter.safetensors"
SCHEMA = 1


@dataclass(frozen=True)
class Adapter:
    """An adapter on disk.

    ``head`` is one of `TRAINABLE_HEADS`; with ``cache`` the weights include a Tip-Adapter cache whose logits are added
    to the head's. ``labels`` are the training labels; ``temperature`` divides the logits; ``bundle`` and
    ``bundle_sha256`` identify the frozen models of the training; ``training`` describes it, for display. ``views`` are
    those of an adapter whose head is ``views``, None for others. ``examples`` are the tiles of scenes that it learned
    from, validation included, each as `bimors_cli.scene.tile_set.TileSet.to_json`; None where they are not recorded:
    image files, or an adapter of an earlier version. ``warnings`` are what its training warned of.
    """

    folder: Path
    name: str
    bundle: str
    bundle_sha256: str
    head: str
    cache: bool
    labels: tuple[str, ...]
    temperature: float
    training: Mapping[str, str]
    files: tuple[FileEntry, ...]
    views: AdapterViews | None = None
    examples: tuple[Mapping[str, Any], ...] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def captions(self) -> bool:
        """Whether it needs captions."""
        return find_head(self.head).captions if self.views is None else CAPTION in self.views.inputs

    @property
    def sha256(self) -> str:
        """Hash of everything that affects predictions: weights, head, labels and temperature."""
        parts = [sha256_of_files(self.files), self.head, self.cache, self.labels, self.temperature]
        identity = json.dumps(parts if self.views is None else [*parts, self.views.to_json()])
        return hashlib.sha256(identity.encode()).hexdigest()

    @property
    def kind(self) -> str:
        """The head, for display: ``bimors with a cache``."""
        return self.head + (" with a cache" if self.cache and self.head != "cache" else "")

    @property
    def weights(self) -> Path:
        """The safetensors file of the weights."""
        return self.folder / WEIGHTS


def open_adapter(folder: Path, bundle: Bundle) -> Adapter:
    """Open an adapter, verify its files, and check that it was trained with this bundle.

    Raises
    ------
    InputError
        The folder has no adapter.
    BundleError
        The adapter is incomplete or changed, or was trained with another bundle.
    """
    adapter = read_adapter(folder)
    if adapter.bundle_sha256 != bundle.sha256:
        raise BundleError(
            f"{folder}: the adapter was trained with another bundle, not with {bundle.name}",
            "select the bundle that it was trained with by --model",
        )
    verify_files(folder, adapter.files)
    return adapter


def read_adapter(folder: Path) -> Adapter:
    """Read the manifest of an adapter. Its weights are not verified, and its bundle need not be installed.

    Raises
    ------
    InputError
        The folder has no adapter.
    BundleError
        The manifest is damaged or was written by a newer version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder}: not an adapter ({MANIFEST} not found)", "give the folder of an adapter")
    content = read_manifest(path, SCHEMA)
    try:
        if not isinstance(content["cache"], bool) or not isinstance(content["labels"], list):
            raise TypeError("cache is not a boolean, or labels is not a list")
        adapter = Adapter(
            folder=folder,
            name=str(content["name"]),
            bundle=str(content["bundle"]),
            bundle_sha256=str(content["bundle_sha256"]),
            head=str(content["head"]),
            cache=content["cache"],
            labels=Labels.literal([str(label) for label in content["labels"]]).names,
            temperature=float(content["temperature"]),
            training={str(k): str(v) for k, v in content["training"].items()},
            files=parse_files(path, content),
            views=AdapterViews.from_json(content["views"]) if content["head"] == VIEWS_HEAD else None,
            examples=None if "examples" not in content else tuple(dict(one.items()) for one in content["examples"]),
            warnings=tuple(map(str, content.get("warnings", ()))),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"{path}: damaged: {error}") from error
    if adapter.views is not None:
        unknown = [name for name in adapter.views.names if name not in VIEWS]
        if unknown:
            raise BundleError(f"{path}: unknown view {unknown[0]!r}", "update bimors")
    elif not is_head(adapter.head):
        raise BundleError(f"{path}: unknown head {adapter.head!r}", "update bimors")
    if adapter.head == "cache" and not adapter.cache:
        raise BundleError(f"{path}: damaged: head is 'cache', but cache is false")
    if not (math.isfinite(adapter.temperature) and adapter.temperature > 0):
        raise BundleError(f"{path}: damaged: temperature {adapter.temperature}")
    if [entry.path for entry in adapter.files] != [WEIGHTS]:
        raise BundleError(f"{path}: lists other files than {WEIGHTS}")
    return adapter


def write_adapter_manifest(
    folder: Path,
    bundle: Bundle,
    *,
    name: str,
    head: str,
    cache: bool = False,
    labels: Sequence[str],
    temperature: float,
    training: Mapping[str, str],
    views: AdapterViews | None = None,
    examples: Sequence[Mapping[str, Any]] | None = None,
) -> Adapter:
    """Write the manifest of the weights in ``folder``, with what the run has warned of, and open the adapter.

    Parameters
    ----------
    folder : Path
        Folder with `WEIGHTS`; other files in it (model card, figures) are not part of the adapter.
    bundle : Bundle
        The bundle that it was trained with.
    name, head, cache, labels, temperature, training, views, examples
        See `Adapter`.
    """
    content = {
        "schema": SCHEMA,
        "name": name,
        "bundle": bundle.name,
        "bundle_sha256": bundle.sha256,
        "head": head,
        "cache": cache,
        "labels": list(labels),
        "temperature": temperature,
        "training": dict(training),
        **({} if views is None else {"views": views.to_json()}),
        **({} if examples is None else {"examples": list(examples)}),
        **({} if not (warnings := warnings_so_far()) else {"warnings": list(warnings)}),
        "files": [asdict(entry) for entry in list_files(folder, [WEIGHTS])],
    }
    (folder / MANIFEST).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return open_adapter(folder, bundle)
