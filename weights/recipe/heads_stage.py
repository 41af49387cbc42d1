"""Heads compared on the sets that the bundle was built from: the papers' protocols, and what explains the outcome.

Other bundles stand beside the shipped one, which has seen all classes of RSICD and has little left to learn: one that
was built without those which base-to-new calls new (``--without-new``), for which they are new indeed; and one whose
CLIP was stopped early: it knows them as little as the papers' backbone does, beside a captioner that knows more.

    python weights/build_mini.py clip --epochs 4 --final --work W --out BUNDLE      # with W/tokenizers of mini
    python weights/build_mini.py bundle --final --work W --out BUNDLE --lender weights/mini
    python weights/build_mini.py heads --beside WITHOUT-NEW --beside EARLY
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bimors_cli.bundle.manifest import Bundle, open_bundle
from bimors_cli.evaluation.compare import Comparison, compare
from bimors_cli.evaluation.options import EvaluateOptions
from bimors_cli.evaluation.results import PICTURES
from bimors_cli.evaluation.tables import Table, markdown
from bimors_cli.options.heads import HEADS, ZERO_SHOT
from recipe.common import Settings, write_json

ALL = (ZERO_SHOT, *HEADS, "bimors+tip-adapter")
# One thing changed at a time, and none changed.
ABLATIONS = (
    "zero-shot",
    "coop",
    "bimors",
    "bimors:no-captions",
    "bimors:no-patch-tokens",
    "bimors:frozen-projection",
    "bimors:random-start",
    "bimors:tokens=2",
    "bimors:tokens=8",
)
RATES = ("coop", "coop:lr=0.02", "coop:lr=0.2", "bimors", "bimors:lr=0.09", "bimors:lr=0.9")
OVER_SHOTS = ("zero-shot", "coop", "bimors", "tip-adapter", "linear")
# Of each run, the picture that the page shows.
SHOWN = {"protocols": "base_to_new-rsicd-16.png", "shots": "base_to_new-rsicd-harmonic_mean-shots.png"}
# What RSICD's 16-class split calls otherwise: its pictures lie under these names.
FOLDERS = {
    "overpass": "viaduct",
    "dense_residential": "denseresidential",
    "harbor": "port",
    "storage_tank": "storagetanks",
    "sparse_residential": "sparseresidential",
    "railway": "railwaystation",
    "intersection": "square",
}


@dataclass(frozen=True)
class Run:
    """One comparison: a name, a sentence on it for the page, and what is asked."""

    name: str
    told: str
    sources: tuple[str, ...]
    protocols: tuple[str, ...]
    heads: tuple[str, ...]
    shots: tuple[int, ...] = (16,)
    quirks: bool = False


class Lines:
    """Progress as lines."""

    signal_number: int | None = None

    def begin(self, what: str, total: int) -> None:
        print(f"{what}: {total}", flush=True)

    def advance(self, count: int) -> None:
        pass

    def trial(self, done: int, total: int, told: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {done} of {total}: {told}", flush=True)


def protocols(settings: Settings) -> tuple[Run, ...]:
    """What every bundle is asked."""
    rsicd, rsscn7 = str(settings.splits / "rsicd.json"), str(settings.imagery / "rsscn7" / "images")
    shared = str(_shared_classes(settings))
    return (
        Run("protocols", "the papers' protocols", (rsicd, rsscn7), ("base-to-new", "cross-dataset"), ALL),
        Run("shared", "RSICD's 16 classes that other sets have too", (shared,), ("domain-generalization",), ALL),
    )


def ablations(settings: Settings) -> tuple[Run, ...]:
    """What explains the outcome."""
    sources, protocol = (str(settings.splits / "rsicd.json"),), ("base-to-new",)
    return (
        Run("ablations", "one thing changed at a time", sources, protocol, ABLATIONS),
        Run("rates", "learning rates: the published one, ten and a hundred times it", sources, protocol, RATES),
        Run("shots", "few and fewer examples", sources, protocol, OVER_SHOTS, (1, 2, 4, 8, 16)),
        Run("official", "as the published code does it", sources, protocol, ("coop", "bimors"), quirks=True),
    )


def build(settings: Settings, others: Sequence[Path]) -> None:
    """Compare, and write ``heads.md``, ``heads.json`` and pictures beside the bundle."""
    bundles = [open_bundle(folder) for folder in (settings.out, *others)]
    found: list[tuple[Bundle, Run, Comparison]] = []
    for bundle in bundles:
        # What explains the outcome is asked of the last one, which has most to learn.
        for run in (*protocols(settings), *(ablations(settings) if bundle is bundles[-1] else ())):
            found.append((bundle, run, compare_on(settings, bundle, run)))
    _write(settings, found)


def compare_on(settings: Settings, bundle: Bundle, run: Run) -> Comparison:
    watch = Lines()
    work = settings.work / "heads" / bundle.name
    work.mkdir(parents=True, exist_ok=True)
    options = EvaluateOptions(
        sources=run.sources,
        images=(str(settings.imagery / "rsicd" / "images"),),
        protocols=run.protocols,
        heads=run.heads,
        shots=run.shots,
        output=str(work / run.name),
        evidence=str(work / "evidence"),
        model=str(bundle.folder),
        device=settings.device.type,
        official_quirks=run.quirks,
        resume=True,
    )
    return compare(options, progress=watch, stop=watch)


def _shared_classes(settings: Settings) -> Path:
    """RSICD's split of 16 classes with the names under which its pictures lie here."""
    split = json.loads((settings.splits / "rsicdv2.json").read_text(encoding="utf-8"))

    def here(name: str) -> str:
        kind, number = PurePosixPath(name).parent.name, PurePosixPath(name).stem.rpartition("_")[2]
        return f"{FOLDERS.get(kind, kind)}/{FOLDERS.get(kind, kind)}_{number}.jpg"

    path = settings.work / "rsicdv2.json"
    write_json(path, {part: [[here(file), label, kind] for file, label, kind in rows] for part, rows in split.items()})
    return path


def _write(settings: Settings, found: Sequence[tuple[Bundle, Run, Comparison]]) -> None:
    minutes = sum(comparison.learning for _, _, comparison in found) / 60
    findings = settings.out / "heads-findings.md"  # written by hand
    lines = [
        "# Heads compared on this bundle",
        "",
        f"Made by `weights/build_mini.py heads`; learning and answering took {minutes:.0f} minutes in all.",
        "Per cent of test pictures that are right, mean over seeds 1, 2 and 3 ± standard deviation. `ECE` is the",
        "expected calibration error in points, `learns` the number of learnable parameters, `seconds` the mean time of",
        "a trial.",
        "",
        "`mini` has seen over two hundred pictures of each class, also of those that base-to-new calls new.",
        "`mini-without-new` is built by the same program without these classes of RSICD, and without those of RSSCN7",
        "that share a name with one of them: no picture, no caption, no name. `mini-early` has the CLIP of 4 epochs",
        "instead of 44, with mini's captioner and caption encoder: as in the papers, a CLIP that knows half of the",
        "answers beside a captioner that knows more.",
        "",
        *(["What to make of it: [heads-findings.md](heads-findings.md).", ""] if findings.exists() else []),
    ]
    told: list[dict[str, Any]] = []
    for bundle, run, comparison in found:
        lines += [f"## {bundle.name}: {run.told}", ""]
        for table in comparison.tables:
            lines += [f"### {table.name}", "", *markdown(table), ""]
            told.append({"bundle": bundle.name, "run": run.name, **_plain(table)})
        if (picture := SHOWN.get(run.name)) is not None:
            name = f"heads-{bundle.name}-{picture}"
            shutil.copyfile(comparison.folder / PICTURES / picture, settings.out / name)
            lines += [f"![{bundle.name}, {run.told}]({name})", ""]
    (settings.out / "heads.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    write_json(settings.out / "heads.json", {"minutes": round(minutes, 1), "tables": told})


def _plain(table: Table) -> dict[str, Any]:
    rows = [
        {
            "head": row.head,
            "parameters": row.parameters,
            "seconds": round(row.seconds, 2),
            **{column: [round(100 * value, 2) for value in cell.values] for column, cell in row.cells.items()},
        }
        for row in table.rows
    ]
    return {"protocol": table.protocol, "title": table.title, "shots": table.shots, "rows": rows}
