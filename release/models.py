"""Write docs/models.md: the bundles of the catalog, with the facts that are known of them and their sources."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bimors_cli.bundle.catalog import CatalogEntry, captioners, entries, one_of_each_clip
from bimors_cli.bundle.facts import NOT_KNOWN, Protocol, pixel_sizes
from bimors_cli.bundle.memory import FORMULA, memory_of
from release.dependencies import ROOT

PAGE = ROOT / "docs/models.md"
HEAD = f"""# Models of the catalog

`bimors models fetch NAME` installs a model, `bimors models show NAME` prints what is known of it with the source of
each fact, and `bimors models recommend` chooses for a scene:

    bimors models recommend scene.tif --memory 8GB
    bimors models recommend --gsd 10m --bands s2 --memory 8GB --commercial

`make models` writes this page from the catalog. What no public source states is "{NOT_KNOWN}". Sizes and hashes that no
public source states are recorded at the first fetch, and later fetches must match them. None of these weights was
available where bimors is built: it is tested with random weights.

## Use, bands and memory

Commercial use is that of all parts of the bundle together: *yes*, *ask* (the licence is not stated, or public pages
contradict each other) or *no*; `bimors models show` says why, which is not legal advice. Another captioner changes
it, and size and memory: see [captioners](#captioners). Memory is that on a CPU: {FORMULA}.
On a GPU the weights take half of it.

| name | model | commercial use | bands | pixels of training | trained on | download | memory |
|---|---|---|---|---|---|---|---|
"""
ACCURACY = """
## Accuracy without training

Top-1 accuracy in percent. Figures are comparable within one table only: with other prompts and other images, the same
model differs by up to 20 points (`georsclip-b32` on EuroSAT: 61.4 by its authors, 53.4 and 41.3 below).
"""
CAPTIONERS = """
## Captioners

`--captioner NAME` combines them with any bundle of colours, `--captioner none` leaves the captioner out.

| name | commercial use | why | download |
|---|---|---|---|
"""
TAIL = """
## Not in the catalog

- DOFA-CLIP: its image tower makes the weights of its first layer from the wavelengths of the bands, by code of its own
  fork of open_clip, so that neither open_clip nor transformers can build it.
- FarSLIP of the second stage, and of ViT-B/16: by the evaluation code of their authors, their text tower is that of
  LongCLIP, with 248 tokens.
- SigLIP 2: open_clip's table has no figures of it. It is fetched as every CLIP of open_clip:
  `bimors models fetch openclip:ViT-B-16-SigLIP2-256/webli`.
"""


def use_rows() -> Iterator[str]:
    """Yield the lines of all bundles."""
    for entry in entries():
        memory = memory_of(entry)
        images = NOT_KNOWN if entry.training is None else _linked("; ".join(entry.training.images), entry)
        yield _row(
            f"`{entry.name}`",
            entry.description,
            entry.commercial,
            "red, green, blue" if entry.bands is None else f"{entry.channels}: {', '.join(entry.band_names)}",
            pixel_sizes(None if entry.training is None else entry.training.pixel_size_m),
            images,
            _size(entry.size, entry.size_is_known),
            NOT_KNOWN if memory is None else f"{memory / 1e9:.1f} GB",
        )


def accuracy_tables() -> Iterator[str]:
    """Yield the lines of a table a protocol, and of the bundles without figures."""
    protocols: dict[str, Protocol] = {}
    for entry in entries():
        if entry.zero_shot is not None:
            protocols.setdefault(entry.zero_shot.protocol.name, entry.zero_shot.protocol)
    for protocol in protocols.values():
        yield from _accuracy_table(protocol)
    unknown = [f"`{entry.name}`" for entry in entries() if entry.zero_shot is None]
    if unknown:
        yield f"\nAccuracy {NOT_KNOWN}: {', '.join(unknown)}."


def captioner_rows() -> Iterator[str]:
    """Yield the lines of all captioners."""
    for name, source in captioners().items():
        fact = source.facts.commercial
        why = f"[{fact.why}]({fact.source})" if fact.source else fact.why
        size = sum(file.size or file.about or 0 for file in source.files)
        weights = [file for file in source.files if file.target.endswith(".safetensors")]
        yield _row(f"`{name}`", fact.answer, why, _size(size, all(file.size or file.about for file in weights)))


def page() -> str:
    """Return the whole page."""
    accuracy = "\n".join(accuracy_tables())
    return f"{HEAD}{_joined(use_rows())}{ACCURACY}{accuracy}\n{CAPTIONERS}{_joined(captioner_rows())}{TAIL}"


def _accuracy_table(protocol: Protocol) -> Iterator[str]:
    found = [
        (entry.name, entry.zero_shot.figures)
        for entry in one_of_each_clip()
        if entry.zero_shot is not None and entry.zero_shot.protocol.name == protocol.name
    ]
    if protocol.reference and all(figures != protocol.reference for _, figures in found):
        found.append(("georsclip-b32", protocol.reference))
    data_sets = list(dict.fromkeys(data_set for _, figures in found for data_set in figures))
    yield f"\n**{protocol.title}**, [source]({protocol.source}):\n"
    yield _row("name", *data_sets)
    yield "|---" * (1 + len(data_sets)) + "|"
    for name, figures in found:
        yield _row(f"`{name}`", *(f"{figures[one]:.1f}" if one in figures else NOT_KNOWN for one in data_sets))


def _linked(text: str, entry: CatalogEntry) -> str:
    return text if entry.training is None else f"[{text}]({entry.training.source})"


def _size(size: int, known: bool) -> str:
    return f"{'' if known else 'more than '}{size / 1e9:.1f} GB"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE.relative_to(ROOT))
