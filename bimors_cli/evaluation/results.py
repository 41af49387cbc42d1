"""The folder of a comparison: every figure as JSON, the tables as Markdown, pictures."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import OutputError
from bimors_cli.evaluation.datasets import DataSet
from bimors_cli.evaluation.options import EvaluateOptions
from bimors_cli.evaluation.protocols import Question
from bimors_cli.evaluation.tables import Cell, Table, markdown
from bimors_cli.evaluation.trials import Outcome, Trial
from bimors_cli.metrics.charts import confusion_matrix
from bimors_cli.metrics.comparison_charts import Measured, against_parameters, bars, lines
from bimors_cli.metrics.scores import Scores, score_answers
from bimors_cli.options.heads import ZERO_SHOT
from bimors_cli.output.atomic import scratch
from bimors_cli.version import __version__

LEDGER, RESULTS, TABLES, PICTURES = "trials.jsonl", "results.json", "results.md", "pictures"
SCHEMA = 1


@dataclass(frozen=True)
class Findings:
    """What a comparison came to, and from what: all that its results tell."""

    options: EvaluateOptions
    bundle: Bundle
    data_sets: Mapping[str, DataSet]
    questions: Sequence[Question]
    outcomes: Mapping[Trial, Outcome]
    tables: Sequence[Table]
    seconds: float


def write_results(folder: Path, findings: Findings) -> None:
    """Write ``results.json``, ``results.md`` and ``pictures/``, each whole or not at all.

    Raises
    ------
    OutputError
        They cannot be written.
    """
    try:
        with scratch(folder / PICTURES) as built:
            built.mkdir()
            drawn = _draw(built, findings)
            shutil.rmtree(folder / PICTURES, ignore_errors=True)
            os.replace(built, folder / PICTURES)
        _write(folder / RESULTS, json.dumps(_results(findings), indent=1, ensure_ascii=False))
        _write(folder / TABLES, "\n".join(_page(findings, drawn)))
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror or error}", "is the disk full?") from error


def _results(findings: Findings) -> dict[str, Any]:
    options, bundle = findings.options, findings.bundle
    return {
        "schema": SCHEMA,
        "bimors": __version__,
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "device": options.device},
        "seconds": findings.seconds,
        "bundle": {
            "name": bundle.name,
            "sha256": bundle.sha256,
            "temperature": bundle.zero_shot_temperature,
            "templates": list(bundle.templates),
        },
        "data_sets": {
            name: {
                "sha256": one.sha256,
                "classes": list(one.classes),
                "pictures": len(one.examples),
                "test": len(one.test_rows()),
                "source": dict(one.examples.description),
            }
            for name, one in findings.data_sets.items()
        },
        "options": {
            key: value
            for key, value in asdict(options).items()
            if key not in ("overwrite", "resume", "evidence", "output")
        },
        "questions": [asdict(question) for question in findings.questions],
        "trials": [{**asdict(trial), **asdict(outcome)} for trial, outcome in findings.outcomes.items()],
        "tables": [
            {
                **{key: getattr(table, key) for key in ("protocol", "title", "shots", "columns")},
                "rows": [
                    {
                        "head": row.head,
                        "parameters": row.parameters,
                        "seconds": row.seconds,
                        "cells": _cells(row.cells),
                        "calibration_error": _cells(row.errors),
                    }
                    for row in table.rows
                ],
            }
            for table in findings.tables
        ],
    }


def _cells(cells: Mapping[str, Cell]) -> dict[str, Any]:
    return {
        column: {"mean": cell.mean, "deviation": cell.deviation, "values": cell.values}
        for column, cell in cells.items()
    }


def _page(findings: Findings, drawn: Sequence[tuple[str, str]]) -> list[str]:
    options, bundle = findings.options, findings.bundle
    lines = [
        "# Heads compared",
        "",
        f"Bundle {bundle.name} ({bundle.sha256[:12]}), seeds {', '.join(map(str, options.seeds))}, "
        f"{options.epochs} epochs, batch {options.batch_size}"
        + (", with the deviations of the published implementation" if options.official_quirks else "")
        + f". {findings.seconds / 60:.1f} minutes.",
        "",
        "Per cent of test pictures that are right: mean over seeds ± standard deviation. `ECE` is the expected "
        "calibration error in points, the mean over the questions of the row; `learns` the number of learnable "
        "parameters, `seconds` the mean time that a head took to learn and to answer.",
        "",
        *(
            f"- {name}: {len(one.classes)} classes, {len(one.test_rows()):,} test pictures of {len(one.examples):,}"
            for name, one in findings.data_sets.items()
        ),
        "",
    ]
    for table in findings.tables:
        lines += [f"## {table.name}", "", *markdown(table), ""]
    lines += [f"![{told}]({PICTURES}/{file})\n" for file, told in drawn]
    return lines


def _draw(folder: Path, findings: Findings) -> list[tuple[str, str]]:
    """Draw all pictures; those that the page shows, file and title, come back. The others are confusion matrices."""
    drawn = []
    for table in findings.tables:
        name = f"{_plain(table.protocol)}-{_plain(table.title)}-{table.shots}"
        heads = {
            row.head: {column: _measured(cell) for column, cell in row.cells.items() if cell.values}
            for row in table.rows
        }
        bars(folder / f"{name}.png", table.name, heads)
        drawn.append((f"{name}.png", table.name))
        last = table.columns[-1]
        known = [(row.head, row.parameters, _measured(row.cells[last])) for row in table.rows if row.cells[last].values]
        against_parameters(folder / f"{name}-parameters.png", table.name, last, known)
        drawn.append((f"{name}-parameters.png", f"{table.name}: {last} and learnable parameters"))
    if len(findings.options.shots) > 1:
        drawn += _draw_shots(folder, findings.tables)
    for question in findings.questions:
        for head, scores in _summed(question, findings.outcomes, findings.options.most_shots).items():
            parts = (question.protocol, question.table, question.column, head)
            confusion_matrix(folder / f"confusion-{'-'.join(map(_plain, parts))}.png", scores)
    return drawn


def _draw_shots(folder: Path, tables: Sequence[Table]) -> list[tuple[str, str]]:
    drawn = []
    for protocol, title in dict.fromkeys((table.protocol, table.title) for table in tables):
        of_it = [table for table in tables if (table.protocol, table.title) == (protocol, title)]
        for column in of_it[0].columns:
            heads: dict[str, dict[int, Measured]] = {}
            for table in sorted(of_it, key=lambda table: (table.shots == 0, table.shots)):
                for row in table.rows:
                    if row.cells[column].values:
                        heads.setdefault(row.head, {})[table.shots] = _measured(row.cells[column])
            told = f"{protocol}, {title}: {column}"
            file = f"{_plain(protocol)}-{_plain(title)}-{_plain(column)}-shots.png"
            lines(folder / file, told, "shots", heads, level=ZERO_SHOT)
            drawn.append((file, told))
    return drawn


def _summed(question: Question, outcomes: Mapping[Trial, Outcome], shots: int) -> dict[str, Scores]:
    """Each head's confusion matrix, all seeds together."""
    found: dict[str, list[dict[str, Any]]] = {}
    for trial, outcome in outcomes.items():
        if question.asked in trial.asked and (
            trial.learned is None or (trial.learned == question.learned and trial.shots == shots)
        ):
            answer = outcome.answers[trial.asked.index(question.asked)]
            if answer is not None:
                found.setdefault(trial.contestant.name, []).append(answer)
    return {head: _together(answers) for head, answers in found.items()}


def _together(answers: Sequence[Mapping[str, Any]]) -> Scores:
    """Scores of several answers to the same pictures, as if they were of one set."""
    table = sum(torch.tensor(answer["confusion"], dtype=torch.int64) for answer in answers)
    assert isinstance(table, torch.Tensor)
    pairs = table.nonzero().repeat_interleave(table[table > 0], dim=0)
    return score_answers(pairs[:, 1], pairs[:, 0], answers[0]["labels"])


def _measured(cell: Cell) -> Measured:
    return Measured(cell.mean or 0.0, cell.deviation)


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text.rstrip() + "\n", encoding="utf-8")
    os.replace(part, path)
