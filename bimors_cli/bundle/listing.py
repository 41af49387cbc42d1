"""The bundles that can be used: the embedded one, those of the catalog, and those installed on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bimors_cli.bundle.catalog import CatalogEntry, Source, entries, entry_of
from bimors_cli.bundle.fetch_record import record_of
from bimors_cli.bundle.locate import BANDS, EMBEDDED, find_bundle
from bimors_cli.bundle.manifest import CLIP, Bundle, read_bundle
from bimors_cli.bundle.memory import FORMULA, memory_of
from bimors_cli.bundle.shared_files import LocalFiles, bytes_to_fetch, local_files
from bimors_cli.bundle.store import installed
from bimors_cli.errors import BundleError, InputError


def list_bundles() -> list[dict[str, Any]]:
    """Return a row per bundle.

    A row has ``name``, ``description``, ``size`` and ``to_fetch`` in bytes, ``licence``, ``context_length`` (None
    without CLIP) and ``installed``. ``to_fetch`` leaves out files that other installed bundles have. ``memory`` in
    bytes and ``commercial`` are those of the catalog, None for other bundles. The bundles that are part of bimors come
    first, then the catalog, then other installed bundles. Files are not verified.

    Raises
    ------
    BundleError
        The manifest of an installed bundle is damaged.
    """
    folders = installed()
    local = local_files(folders.values())
    rows = [_row_of_bundle(name, read_bundle(find_bundle(name))) for name in (EMBEDDED, BANDS)]
    rows += [_row_of_entry(entry, folders.get(entry.name), local) for entry in entries()]
    known = {row["name"] for row in rows}
    for name, folder in folders.items():
        if name not in known:
            of_catalog = [_row_of_entry(entry, folder, local) for entry in _combined(name)]
            rows += of_catalog or [_row_of_bundle(name, read_bundle(folder))]
    return rows


def _combined(name: str) -> tuple[CatalogEntry, ...]:
    """Return the entry of the catalog with another captioner that has this name, ``georsclip-b32+blip-base``."""
    try:
        return (entry_of(name),)
    except InputError:
        return ()


def bundle_info(name: str) -> dict[str, Any]:
    """Return the details of a bundle, by its name in the catalog, its installed name or its folder.

    Raises
    ------
    InputError
        The bundle is neither in the catalog nor installed.
    BundleError
        Its manifest is damaged.
    """
    folders = installed()
    folder = folders.get(name)
    for entry in (*entries(), *_combined(name)):
        if entry.name == name:
            return {
                **_row_of_entry(entry, folder, local_files(folders.values())),
                "folder": None if folder is None else str(folder),
                "context": entry.context,
                "image_size": entry.image_size,
                "clip": f"open_clip {entry.architecture}",
                "sources": {
                    part: source.origin + (f" at {source.revision}" if source.revision else "")
                    for part, source in entry.parts.items()
                },
                "licences": entry.licences,
                "commercial_use_of_parts": {
                    part: asdict(source.facts.commercial) for part, source in entry.parts.items()
                },
                "band_names": list(entry.band_names),
                **({} if entry.bands is None else entry.bands.as_json()),
                "training": None if entry.training is None else asdict(entry.training),
                "zero_shot": _zero_shot(entry),
                "memory_is": FORMULA,
                "loaded": {part: _loaded(source) for part, source in entry.parts.items()},
                "notes": list(entry.notes),
                "settled_by_the_first_fetch": entry.unconfirmed,
                "record": str(record_of(folder)) if folder is not None and record_of(folder).is_file() else None,
            }
    bundle = read_bundle(find_bundle(name))
    return {
        **_row_of_bundle(name, bundle),
        "folder": str(bundle.folder),
        **_prompts(bundle),
        "training_domain": _domain(bundle),
        **({} if bundle.bands is None else bundle.bands.as_json()),
        "licences": dict(bundle.licences),
        "words_in_training": None if bundle.vocabulary is None else len(bundle.vocabulary),
    }


def _loaded(source: Source) -> str:
    return "never loaded by us" if source.loaded is None else str(source.loaded)


def _domain(bundle: Bundle) -> dict[str, Any] | None:
    """Return the training domain without its thousands of numbers."""
    return None if bundle.training_domain is None else replace(bundle.training_domain, image_feature=None).as_json()


def _prompts(bundle: Bundle) -> dict[str, Any]:
    """Return what concerns CLIP; nothing without it."""
    if not bundle.has_part(CLIP):
        return {}
    return {"context": bundle.context, "templates": list(bundle.templates), "image_size": bundle.image_size}


def _zero_shot(entry: CatalogEntry) -> dict[str, Any] | None:
    found = entry.zero_shot
    if found is None:
        return None
    return {
        "figures": dict(found.figures),
        "protocol": found.protocol.title,
        "source": found.protocol.source,
        "doubt": found.doubt,
    }


def _row_of_entry(entry: CatalogEntry, folder: Path | None, local: LocalFiles) -> dict[str, Any]:
    return {
        "name": entry.name,
        "description": entry.description,
        "size": entry.size,
        "size_is_known": entry.size_is_known,
        "to_fetch": 0 if folder is not None else bytes_to_fetch(entry, local),
        "licence": _in_short([source.licence for source in entry.parts.values()]),
        "commercial": entry.commercial,
        "memory": memory_of(entry),
        "context_length": entry.context_length,
        "installed": folder is not None,
    }


def _row_of_bundle(name: str, bundle: Bundle) -> dict[str, Any]:
    return {
        "name": name,
        "description": bundle.description,
        "size": sum(entry.size for entry in bundle.files),
        "size_is_known": True,
        "to_fetch": 0,
        "licence": _in_short([next(iter(bundle.licences.values()), "not stated")]),
        "commercial": None,
        "memory": None,
        "context_length": _context_length(bundle),
        "installed": True,
    }


def _in_short(licences: list[str]) -> str:
    """Return licences without remarks: ``MIT, Apache-2.0``."""
    short = [licence.partition(" (")[0].partition(",")[0].partition(";")[0] for licence in licences]
    return ", ".join(dict.fromkeys(short))


def _context_length(bundle: Bundle) -> int | None:
    if not bundle.has_part(CLIP):
        return None
    path = bundle.part(CLIP) / "open_clip_config.json"
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["model_cfg"]["text_cfg"].get("context_length", 77))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{path}: missing or damaged", "check the bundle: bimors models verify") from error
