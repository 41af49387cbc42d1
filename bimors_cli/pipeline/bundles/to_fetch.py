"""What `bimors models fetch` is asked for: a bundle of the catalog, or a CLIP of open_clip or of the hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bimors_cli.bundle.catalog import NO_CAPTIONER, CatalogEntry, combined_name, entry_of, with_captioner
from bimors_cli.bundle.fetch import Convert
from bimors_cli.bundle.fetch_record import recorded_revision
from bimors_cli.bundle.references import parse_reference
from bimors_cli.bundle.store import bundle_folder
from bimors_cli.model.pickle_to_safetensors import pickle_to_safetensors
from bimors_cli.steps import LIBRARIES, step


@dataclass(frozen=True)
class ToFetch:
    """A bundle to fetch to the folder ``target``; ``convert`` makes safetensors files of files of its sources.

    ``named`` is what follows ``--model`` to use it from the user's data folder.
    """

    entry: CatalogEntry
    convert: Convert
    target: Path
    named: str


def find_to_fetch(name: str, captioner: str | None, folder: Path | None) -> ToFetch:
    """Find what to fetch.

    Parameters
    ----------
    name : str
        A bundle of the catalog, ``openclip:ARCHITECTURE/TAG`` or ``hf:OWNER/NAME[@REVISION]``.
    captioner : str or None
        A captioner of the catalog instead of the bundle's own, or `NO_CAPTIONER`. A CLIP has none of its own.
    folder : Path or None
        The bundle's folder. By default it is the one of its name in the user's data folder.

    Raises
    ------
    InputError
        There is no such bundle or captioner.
    BundleError
        As `bimors_cli.pipeline.bundles.clip_entry.entry_of_reference`, or the record of an earlier fetch is damaged.
    """
    reference = parse_reference(name)
    if reference is None:
        entry = entry_of(combined_name(name, captioner))
        return ToFetch(entry, pickle_to_safetensors, folder or bundle_folder(entry.name), _named(name, captioner))

    with step(LIBRARIES):
        from bimors_cli.pipeline.bundles.clip_entry import entry_of_reference  # imports torch

    captioner = None if captioner == NO_CAPTIONER else captioner
    target = folder or bundle_folder(combined_name(reference.bundle_name, captioner))
    found = entry_of_reference(reference, recorded_revision(target))
    entry = found.entry if captioner is None else with_captioner(found.entry, captioner)
    return ToFetch(entry, found.convert, target, _named(name, captioner))


def _named(name: str, captioner: str | None) -> str:
    return name if captioner is None else f"{name} --captioner {captioner}"
