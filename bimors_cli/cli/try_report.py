"""The report of `bimors models try`: Markdown to paste into an issue."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bimors_cli.cli.console import duration
from bimors_cli.pipeline.bundles.tried import Tried
from bimors_cli.pipeline.bundles.try_steps import NOT_RUN, Step
from bimors_cli.redact import redact
from bimors_cli.version import __version__

_DISTRIBUTIONS: Final = (
    "torch", "transformers", "open_clip_torch", "timm", "safetensors", "huggingface_hub", "rasterio",
)  # fmt: skip


def markdown(tried: Tried) -> Iterator[str]:
    """Yield the lines of the report."""
    failed = tried.failure
    yield f"## bimors models try {_clean(tried.name)}"
    yield ""
    yield "**All steps passed.**" if failed is None else f"**The step {failed.name} failed.**"
    yield ""
    yield from _table(("", ""), _machine(tried))
    yield ""
    yield "### Steps"
    yield ""
    yield from _table(("step", "result", "time", ""), ((s.name, s.outcome, _time(s), _detail(s)) for s in tried.steps))
    if failed is not None and failed.trace:
        yield from ("", "```", *_clean(failed.trace.rstrip()).splitlines(), "```")
    if tried.answers:
        yield from ("", "### Answers", "")
        yield from _table(("tile", "label", "", "second", "", "caption"), _answers(tried))
    if tried.warnings:
        yield from ("", "### Warnings", "")
        yield from (f"- {_clean(text)}" for text in tried.warnings)
    if tried.files:
        yield from ("", "### Files", "")
        files = ((f.path, f"{f.size:,}", f.sha256, "yes" if f.known else "no") for f in tried.files)
        yield from _table(("file", "bytes", "SHA-256", "in the catalog"), files)
    if failed is None and tried.entry is not None:
        yield from ("", "### For the catalog", "", "```json", *_facts(tried).splitlines(), "```")


def _machine(tried: Tried) -> Iterator[tuple[str, str]]:
    yield "date", _today()
    yield "bimors", __version__
    yield "Python", platform.python_version()
    for name in _DISTRIBUTIONS:
        yield name, _version(name)
    yield "platform", platform.platform()
    yield "CPUs", str(os.cpu_count())
    yield "device", f"{tried.device}, {tried.precision}"
    if tried.memory is not None:
        yield "memory at most", _size(tried.memory)
    if tried.device_memory is not None:
        yield "memory of the GPU at most", _size(tried.device_memory)
    if tried.size:
        yield "size of the bundle", _size(tried.size)
    for part, revision in tried.revisions.items():
        yield f"commit of {part}", revision


def _answers(tried: Tried) -> Iterator[tuple[str, ...]]:
    for number, answer in enumerate(tried.answers):
        (first, second), (high, low) = answer.labels, answer.probabilities
        yield str(number), first, f"{high:.4f}", second, f"{low:.4f}", answer.caption or ""


def _facts(tried: Tried) -> str:
    """Return what a maintainer adds to catalogue.json: to each source, and to the bundle."""
    assert tried.entry is not None
    loaded = {"version": __version__, "date": _today(), "platform": f"{platform.system()} {platform.machine()}"}
    facts = {
        "sources": {source.origin: {"loaded": loaded} for source in tried.entry.parts.values()},
        "bundle": {"name": tried.entry.name, "expected": tried.facts.as_json()},
    }
    return json.dumps(facts, indent=1, ensure_ascii=False)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(_cell(cell) for cell in row)} |"


def _cell(text: str) -> str:
    """Return a text in which no character ends a cell or a line."""
    return " ".join(_clean(text).replace("|", r"\|").split())


def _clean(text: str) -> str:
    """Return a text without the user's home folder and without secrets."""
    return redact(text.replace(str(Path.home()), "~"))


def _detail(step: Step) -> str:
    return step.detail + (f"; hint: {step.hint}" if step.hint else "")


def _time(step: Step) -> str:
    return "" if step.outcome == NOT_RUN else duration(step.seconds)


def _size(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
