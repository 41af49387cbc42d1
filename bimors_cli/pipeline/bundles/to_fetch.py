"""What `bimors models fetch` is asked for: a bundle of the catalog, or a CLIP of open_clip or of the hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bimors_cli.bundle.catalog import LORA, NO_CAPTIONER, CatalogEntry, combined_name, entry_of, with_captioner
from bimors_cli.bundle.fetch import Convert
from bimors_cli.bundle.manifest import CAPTIONER
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
        convert = _with_lora(entry, _convert(entry))
        return ToFetch(entry, convert, folder or bundle_folder(entry.name), _named(name, captioner))

    with step(LIBRARIES):
        from bimors_cli.pipeline.bundles.clip_entry import entry_of_reference  # imports torch

    captioner = None if captioner == NO_CAPTIONER else captioner
    target = folder or bundle_folder(combined_name(reference.bundle_name, captioner))
    found = entry_of_reference(reference, target)
    entry = found.entry if captioner is None else with_captioner(found.entry, captioner)
    return ToFetch(entry, _with_lora(entry, found.convert), target, _named(name, captioner))


def _with_lora(entry: CatalogEntry, convert: Convert) -> Convert:
    """Return a conversion that also merges the LoRA of an entry, which may have none, into its captioner."""
    if LORA not in entry.parts:
        return convert
    base = str(entry.parts[CAPTIONER].repository)

    def convert_or_merge(source: Path, target: Path) -> None:
        from bimors_cli.pipeline.bundles.lora import check_base, merge_lora, read_lora  # imports torch

        if target.parent.name == LORA:
            convert(source, target)
            check_base(read_lora(target.parent), base)  # before the captioner is downloaded
        elif target.parent.name == CAPTIONER and source.suffix == ".safetensors":
            merge_lora({source: target}, read_lora(source.parents[1] / LORA))
        else:
            convert(source, target)

    return convert_or_merge


def _convert(entry: CatalogEntry) -> Convert:
    if entry.bands is None:
        return pickle_to_safetensors

    from bimors_cli.pipeline.bundles.make import extract_clip  # imports torch

    return extract_clip


def _named(name: str, captioner: str | None) -> str:
    return name if captioner is None else f"{name} --captioner {captioner}"
