"""The reference of models: those in the package, and those of the catalogue, from their manifests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from bimors_cli.bundle.catalog import CatalogEntry, Source, captioners, entries
from bimors_cli.bundle.locate import BANDS, EMBEDDED, find_bundle
from bimors_cli.bundle.manifest import MANIFEST
from docs.reference.markdown import code, page, prose, table

CARD: Final = "../weights/mini.md"
FOLDER: Final = "reference/models"


def model_pages() -> dict[str, str]:
    """Return the page of the list, and the card of each model of the catalogue, by their paths."""
    return {f"{FOLDER}/index.md": _list()} | {f"{FOLDER}/{entry.name}.md": _card(entry) for entry in entries()}


def _list() -> str:
    inside = {name: _manifest(name) for name in (EMBEDDED, BANDS)}
    links = {EMBEDDED: f"[{code(EMBEDDED)}](../../weights/mini.md)", BANDS: code(BANDS)}
    return page(
        "Models",
        "A model is a *bundle*: CLIP, a captioner, and an encoder of captions, with a manifest. "
        "`bimors models recommend SCENE` says which suits a scene and your memory. Sizes are of the download.",
        "## In the package",
        table(
            ("model", "what it is", "image size", "licence"),
            (
                (
                    links[name],
                    prose(content["description"]),
                    f"{content['image_size']} pixels",
                    prose("; ".join(f"{part}: {text}" for part, text in content["licences"].items())),
                )
                for name, content in inside.items()
            ),
        ),
        "The card of `mini` lists its classes, its accuracy and its limits, as measured. `bands` has no CLIP: it "
        "classifies by statistics of the bands, with an adapter that you train.",
        "## In the catalogue",
        "`bimors models fetch NAME` downloads them, file by file, with size and SHA-256 checked where they are "
        "published.",
        table(
            ("model", "what it is", "image size", "download"),
            (
                (
                    f"[{code(entry.name)}]({entry.name}.md)",
                    prose(entry.description),
                    f"{entry.image_size} pixels",
                    _size(entry),
                )
                for entry in entries()
            ),
        ),
        "## Captioners",
        "`--captioner NAME` combines a bundle with another captioner; `none` leaves it out.",
        table(
            ("captioner", "source", "licence", "download"),
            (
                (code(name), prose(source.origin), prose(source.licence), _bytes(_known(source)))
                for name, source in captioners().items()
            ),
        ),
    )


def _card(entry: CatalogEntry) -> str:
    return page(
        entry.name,
        f"{prose(entry.description)}. Download: {_size(entry)}.",
        f"```sh\nbimors models fetch {entry.name}\n"
        f"bimors classify scene.tif --labels labels.txt --model {entry.name} -o out.gpkg\n```",
        table(
            ("property", "value"),
            (
                ("architecture of CLIP", code(entry.architecture)),
                ("image size", f"{entry.image_size} pixels a side"),
                ("context of the prompt", code(entry.context)),
                ("context length", f"{entry.context_length} tokens"),
            ),
        ),
        "## What its authors report",
        "\n".join(f"- {prose(note)}" for note in entry.notes),
        *(part for name, source in entry.parts.items() for part in _source(name, source)),
        "## Intended use and limits",
        "Labels of tiles of optical images in red, green and blue, seen from above. The accuracies above are of "
        "benchmarks, not of your scene: measure yours with [a sample](../../areas.md). Its training images, and "
        "so its biases, are those of its authors' data. bimors does not redistribute the weights.",
    )


def _source(part: str, source: Source) -> Iterator[str]:
    yield f"## Part: {part.replace('_', ' ')}"
    facts = [("source", prose(source.origin)), ("licence", prose(source.licence))]
    if source.repository:
        facts.append(("revision", code(source.revision or "recorded at the first fetch")))
    yield table(("property", "value"), facts)
    yield table(
        ("file", "size", "SHA-256"),
        (
            (
                code(file.path),
                _bytes(file.size) if file.size else f"about {_bytes(file.about)}" if file.about else "not published",
                code(file.sha256) if file.sha256 else "recorded at the first fetch",
            )
            for file in source.files
        ),
    )


def _manifest(name: str) -> Mapping[str, Any]:
    content: Mapping[str, Any] = json.loads((find_bundle(name) / MANIFEST).read_text(encoding="utf-8"))
    return content


def _known(source: Source) -> int:
    return sum(file.size or file.about or 0 for file in source.files)


def _size(entry: CatalogEntry) -> str:
    return _bytes(entry.size) + ("" if entry.size_is_known else " and CLIP, whose size is not published")


def _bytes(count: int) -> str:
    unit, divisor = ("GB", 1e9) if count >= 1e9 else ("MB", 1e6) if count >= 1e6 else ("kB", 1e3)
    return f"{count / divisor:.1f} {unit}"
