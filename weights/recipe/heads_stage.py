"""Evaluation of heads on the data sets of the bundle: the protocols of the papers, and ablations.

The shipped bundle was trained on all classes of RSICD, so its heads can improve little. Two other bundles are evaluated
as well: one that was built without the new classes of base-to-new (``--without-new``), and one with a CLIP of few
epochs, whose accuracy is about that of the papers' backbone, and the captioner of the shipped bundle.

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
from bimors_cli.evaluation.evaluate import EvaluationResult, evaluate
from bimors_cli.evaluation.options import EvaluateOptions
from bimors_cli.evaluation.results import CHARTS
from bimors_cli.evaluation.tables import Table, markdown
from bimors_cli.options.heads import HEADS, ZERO_SHOT
from recipe.common import Settings, write_json

ALL = (ZERO_SHOT, *HEADS, "bimors+tip-adapter")
# Ablations: one setting is changed at a time.
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
# The chart that the page shows, by run.
SHOWN = {"protocols": "base_to_new-rsicd-16.png", "shots": "base_to_new-rsicd-harmonic_mean-shots.png"}
# Folder names of classes that have another name in RSICD's 16-class split.
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
    """One evaluation: its name, its title on the page, and its options."""

    name: str
    title: str
    sources: tuple[str, ...]
    protocols: tuple[str, ...]
    heads: tuple[str, ...]
    shots: tuple[int, ...] = (16,)
    quirks: bool = False


class Lines:
    """Prints progress as lines."""

    signal_number: int | None = None

    def begin(self, total: int, done: int = 0, stage: str = "") -> None:
        print(f"{stage}: {total}", flush=True)

    def advance(self, count: int) -> None:
        pass

    def trial(self, done: int, total: int, summary: str, /) -> None:
        print(f"{time.strftime('%H:%M:%S')} {done} of {total}: {summary}", flush=True)


def protocols(settings: Settings) -> tuple[Run, ...]:
    """Evaluations of every bundle."""
    rsicd, rsscn7 = str(settings.splits / "rsicd.json"), str(settings.imagery / "rsscn7" / "images")
    shared = str(_shared_classes(settings))
    return (
        Run("protocols", "the papers' protocols", (rsicd, rsscn7), ("base-to-new", "cross-dataset"), ALL),
        Run(
            "shared",
            "the 16 classes of RSICD that other data sets have too",
            (shared,),
            ("domain-generalization",),
            ALL,
        ),
    )


def ablations(settings: Settings) -> tuple[Run, ...]:
    """Evaluations with changed settings."""
    sources, protocol = (str(settings.splits / "rsicd.json"),), ("base-to-new",)
    return (
        Run("ablations", "ablations", sources, protocol, ABLATIONS),
        Run("rates", "learning rates: the published one, 10 times and 100 times higher", sources, protocol, RATES),
        Run("shots", "number of shots", sources, protocol, OVER_SHOTS, (1, 2, 4, 8, 16)),
        Run(
            "official",
            "with the deviations of the published implementation",
            sources,
            protocol,
            ("coop", "bimors"),
            quirks=True,
        ),
    )


def build(settings: Settings, others: Sequence[Path]) -> None:
    """Evaluate, and write ``heads.md``, ``heads.json`` and charts into the folder of the bundle."""
    bundles = [open_bundle(folder) for folder in (settings.out, *others)]
    found: list[tuple[Bundle, Run, EvaluationResult]] = []
    for bundle in bundles:
        # Only the last bundle gets the ablations, since its heads can improve most.
        for run in (*protocols(settings), *(ablations(settings) if bundle is bundles[-1] else ())):
            found.append((bundle, run, evaluate_on(settings, bundle, run)))
    _write(settings, found)


def evaluate_on(settings: Settings, bundle: Bundle, run: Run) -> EvaluationResult:
    progress = Lines()
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
    return evaluate(options, progress=progress, stop=progress)


def _shared_classes(settings: Settings) -> Path:
    """RSICD's split of 16 classes, with the file names of the images here."""
    split = json.loads((settings.splits / "rsicdv2.json").read_text(encoding="utf-8"))

    def here(name: str) -> str:
        kind, number = PurePosixPath(name).parent.name, PurePosixPath(name).stem.rpartition("_")[2]
        return f"{FOLDERS.get(kind, kind)}/{FOLDERS.get(kind, kind)}_{number}.jpg"

    path = settings.work / "rsicdv2.json"
    write_json(path, {part: [[here(file), label, kind] for file, label, kind in rows] for part, rows in split.items()})
    return path


def _write(settings: Settings, found: Sequence[tuple[Bundle, Run, EvaluationResult]]) -> None:
    minutes = sum(comparison.trial_seconds for _, _, comparison in found) / 60
    findings = settings.out / "heads-findings.md"  # written by hand
    lines = [
        "# Evaluation of heads on this bundle",
        "",
        f"Made by `weights/build_mini.py heads`; training and prediction took {minutes:.0f} minutes in total.",
        "Accuracy on test images in per cent, mean over seeds 1, 2 and 3 ± standard deviation. `ECE` is the expected",
        "calibration error in percentage points, `learns` the number of trained parameters, `seconds` the mean time of",
        "a trial.",
        "",
        "`mini` was trained on over two hundred images of each class, including the new classes of base-to-new.",
        "`mini-without-new` is built by the same program without these classes of RSICD, and without the classes of",
        "RSSCN7 that share a name with them: no images, captions or names. `mini-early` has a CLIP that was trained",
        "for 4 epochs instead of 44, with mini's captioner and caption encoder: as in the papers, a CLIP that is right",
        "for half of the images, and a better captioner.",
        "",
        *(["Interpretation: [heads-findings.md](heads-findings.md).", ""] if findings.exists() else []),
    ]
    results: list[dict[str, Any]] = []
    for bundle, run, comparison in found:
        lines += [f"## {bundle.name}: {run.title}", ""]
        for table in comparison.tables:
            lines += [f"### {table.name}", "", *markdown(table), ""]
            results.append({"bundle": bundle.name, "run": run.name, **_plain(table)})
        if (image := SHOWN.get(run.name)) is not None:
            name = f"heads-{bundle.name}-{image}"
            shutil.copyfile(comparison.folder / CHARTS / image, settings.out / name)
            lines += [f"![{bundle.name}, {run.title}]({name})", ""]
    (settings.out / "heads.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    write_json(settings.out / "heads.json", {"minutes": round(minutes, 1), "tables": results})


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
