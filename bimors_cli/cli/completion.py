"""What the shell offers for a value: names that are known without a network, without torch and without loading models.

typer drops what does not start with the typed text. Where nothing is left, bash and zsh offer files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bimors_cli.options.option import Option

Completion = Callable[[str], Any]
_ITEMS = 20  # files that completion reads for names of assets
_LABEL_SUFFIXES = (".txt", ".csv", ".json", ".yaml", ".yml", ".qml", ".sld", ".clr")


def of_option(option: Option) -> Completion | None:
    """Return the completion of an option: its choices, or the function of this module that it names."""
    if option.choices is not None:
        choices = option.choices
        return lambda incomplete: [(name, str(getattr(row, "help", row))) for name, row in choices.items()]
    if option.complete is None:
        return None
    function: Completion = globals()[option.complete]
    return function


def bundles(incomplete: str) -> list[tuple[str, str]]:
    """Bundles by name: those that are part of bimors, those of the catalogue, others that are here."""
    from bimors_cli.bundle.catalog import entries
    from bimors_cli.bundle.locate import BANDS, EMBEDDED
    from bimors_cli.bundle.store import installed

    there = installed()
    here = (EMBEDDED, BANDS, *there)
    names = dict.fromkeys((EMBEDDED, BANDS, *(entry.name for entry in entries()), *there))
    return [(name, "here" if name in here else "to be fetched first") for name in names]


def captioners(incomplete: str) -> list[str]:
    """Captioners of the catalogue, or none."""
    from bimors_cli.bundle.catalog import NO_CAPTIONER
    from bimors_cli.bundle.catalog import captioners as of_catalog

    return [*of_catalog(), NO_CAPTIONER]


def fetchable(incomplete: str) -> list[str]:
    """Bundles of the catalogue."""
    from bimors_cli.bundle.catalog import entries

    return [entry.name for entry in entries()]


def fetched(incomplete: str) -> list[str]:
    """Bundles that `bimors models remove` can remove."""
    from bimors_cli.bundle.store import installed

    return list(installed())


def adapters(incomplete: str) -> list[str]:
    """Folders of adapters: in adapters/, where finetune puts them, and below the folder that was typed, or here."""
    from bimors_cli.bundle.adapter import MANIFEST

    typed = Path(incomplete or ".")
    below = typed if incomplete.endswith(("/", "\\")) else typed.parent
    found = {path.parent for folder in (below, Path("adapters")) for path in folder.glob(f"*/{MANIFEST}")}
    return sorted(path.as_posix() for path in found)


def trained_heads(incomplete: str) -> list[tuple[str, str]]:
    """Heads that finetune trains."""
    from bimors_cli.options.heads import HEADS

    return [(entry.name, entry.help) for entry in HEADS.values()]


def compared_heads(incomplete: str) -> list[str]:
    """The next of the heads that evaluate compares, after those that were typed with commas."""
    from bimors_cli.options.heads import HEADS, ZERO_SHOT

    return _next(incomplete, (ZERO_SHOT, *HEADS))


def protocols(incomplete: str) -> list[str]:
    """The next of evaluate's protocols, after those that were typed with commas."""
    from bimors_cli.evaluation.protocols import PROTOCOLS

    return _next(incomplete, PROTOCOLS)


def wordlists(incomplete: str) -> list[str]:
    """Wordlists by name."""
    from bimors_cli.wordlists import wordlist_names

    return list(wordlist_names())


def label_lists(incomplete: str) -> list[str]:
    """Wordlists by name, and the files of class names in the folder that was typed, or here."""
    typed = Path(incomplete or ".")
    below = typed if incomplete.endswith(("/", "\\")) else typed.parent
    files = sorted(path.as_posix() for path in below.glob("*") if path.suffix.lower() in _LABEL_SUFFIXES)
    return [*files, *wordlists(incomplete)]


def stac_assets(incomplete: str) -> list[tuple[str, str]]:
    """The next raster asset of the STAC items in the current folder, after those that were typed with commas."""
    from bimors_cli.errors import SceneError
    from bimors_cli.scene.stac_item import named_json, read_item

    found: dict[str, str] = {}
    for path in sorted(each.as_posix() for each in Path().iterdir() if named_json(each.name))[:_ITEMS]:
        try:
            assets = read_item(path).assets.values()
        except SceneError:
            continue
        found |= {asset.key: ", ".join(asset.roles) for asset in assets if asset.is_raster}
    return [(name, found[name.rpartition(",")[2]]) for name in _next(incomplete, found)]


def stretches(incomplete: str) -> list[tuple[str, str]]:
    """Stretches of each kind."""
    from bimors_cli.options.scene import STRETCHES

    return list(STRETCHES.items())


def formats(incomplete: str) -> list[tuple[str, str]]:
    """Formats by their GDAL names."""
    from bimors_cli.output.formats import FORMATS

    names = dict.fromkeys(known.name for known in FORMATS)
    return [(name, " ".join(known.suffix for known in FORMATS if known.name == name)) for name in names]


def devices(incomplete: str) -> list[str]:
    """Kinds of devices; which there are only torch knows."""
    return ["auto", "cpu", "cuda", "cuda:0", "mps"]


def _next(incomplete: str, names: Iterable[str]) -> list[str]:
    """Return the names that can follow in a list with commas: those that it does not have yet."""
    before, comma, _ = incomplete.rpartition(",")
    there = before.split(",")
    return [f"{before}{comma}{name}" for name in names if name not in there]
