"""The output folder of an evaluation: all figures as JSON, tables as Markdown, charts."""

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
from bimors_cli.evaluation.protocols import Task
from bimors_cli.evaluation.tables import Cell, Table, markdown, trial_covers
from bimors_cli.evaluation.trial_log import RESULTS
from bimors_cli.evaluation.trials import Outcome, Trial
from bimors_cli.metrics.charts import confusion_matrix
from bimors_cli.metrics.comparison_charts import Measured, against_parameters, bars, lines
from bimors_cli.metrics.scores import Scores, score_predictions
from bimors_cli.options.heads import ZERO_SHOT
from bimors_cli.output.atomic import scratch
from bimors_cli.run_warnings import warnings_so_far
from bimors_cli.version import __version__

TABLES, CHARTS = "results.md", "pictures"
SCHEMA = 1


@dataclass(frozen=True)
class EvaluationReport:
    """The options, inputs, outcomes and tables of an evaluation: everything that is written."""

    options: EvaluateOptions
    bundle: Bundle
    data_sets: Mapping[str, DataSet]
    tasks: Sequence[Task]
    outcomes: Mapping[Trial, Outcome]
    tables: Sequence[Table]
    seconds: float


def write_results(folder: Path, report: EvaluationReport) -> None:
    """Write ``results.json``, ``results.md`` and ``pictures/``, each atomically.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    try:
        with scratch(folder / CHARTS) as built:
            built.mkdir()
            charts = _draw_charts(built, report)
            shutil.rmtree(folder / CHARTS, ignore_errors=True)
            os.replace(built, folder / CHARTS)
        _write(folder / RESULTS, json.dumps(_results(report), indent=1, ensure_ascii=False))
        _write(folder / TABLES, "\n".join(_page(report, charts)))
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror or error}", "is the disk full?") from error


def _results(report: EvaluationReport) -> dict[str, Any]:
    options, bundle = report.options, report.bundle
    return {
        "schema": SCHEMA,
        "bimors": __version__,
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "device": options.device},
        "seconds": report.seconds,
        "warnings": list(warnings_so_far()),
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
            for name, one in report.data_sets.items()
        },
        "options": {
            key: value
            for key, value in asdict(options).items()
            if key not in ("overwrite", "resume", "evidence", "output")
        },
        "questions": [task.as_json() for task in report.tasks],
        "trials": [{**trial.as_json(), **outcome.as_json()} for trial, outcome in report.outcomes.items()],
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
            for table in report.tables
        ],
    }


def _cells(cells: Mapping[str, Cell]) -> dict[str, Any]:
    return {
        column: {"mean": cell.mean, "deviation": cell.deviation, "values": cell.values}
        for column, cell in cells.items()
    }


def _page(report: EvaluationReport, charts: Sequence[tuple[str, str]]) -> list[str]:
    options, bundle = report.options, report.bundle
    lines = [
        "# Evaluation of heads",
        "",
        f"Bundle {bundle.name} ({bundle.sha256[:12]}), seeds {', '.join(map(str, options.seeds))}, "
        f"{options.epochs} epochs, batch {options.batch_size}"
        + (", with the deviations of the published implementation" if options.official_quirks else "")
        + f". {report.seconds / 60:.1f} minutes.",
        "",
        "Accuracy on test images in per cent: mean over seeds ± standard deviation. `ECE` is the expected calibration "
        "error in percentage points, the mean over the columns of the row; `learns` is the number of trained "
        "parameters, `seconds` the mean time for training and prediction.",
        "",
        *(
            f"- {name}: {len(one.classes)} classes, {len(one.test_rows()):,} test images of {len(one.examples):,}"
            for name, one in report.data_sets.items()
        ),
        "",
    ]
    for table in report.tables:
        lines += [f"## {table.name}", "", *markdown(table), ""]
    lines += [f"![{title}]({CHARTS}/{file})\n" for file, title in charts]
    return lines


def _draw_charts(folder: Path, report: EvaluationReport) -> list[tuple[str, str]]:
    """Draw all charts; returns file and title of those that the page shows. The others are confusion matrices."""
    charts = []
    for table in report.tables:
        name = f"{_file_name(table.protocol)}-{_file_name(table.title)}-{table.shots}"
        heads = {
            row.head: {column: _measured(cell) for column, cell in row.cells.items() if cell.values}
            for row in table.rows
        }
        bars(folder / f"{name}.png", table.name, heads)
        charts.append((f"{name}.png", table.name))
        last = table.columns[-1]
        points = [
            (row.head, row.parameters, _measured(row.cells[last])) for row in table.rows if row.cells[last].values
        ]
        against_parameters(folder / f"{name}-parameters.png", table.name, last, points)
        charts.append((f"{name}-parameters.png", f"{table.name}: {last} and trained parameters"))
    if len(report.options.shots) > 1:
        charts += _draw_shots(folder, report.tables)
    for task in report.tasks:
        for head, scores in _pooled_scores(task, report.outcomes, report.options.most_shots).items():
            parts = (task.protocol, task.table, task.column, head)
            confusion_matrix(folder / f"confusion-{'-'.join(map(_file_name, parts))}.png", scores)
    return charts


def _draw_shots(folder: Path, tables: Sequence[Table]) -> list[tuple[str, str]]:
    charts = []
    for protocol, title in dict.fromkeys((table.protocol, table.title) for table in tables):
        same = [table for table in tables if (table.protocol, table.title) == (protocol, title)]
        for column in same[0].columns:
            heads: dict[str, dict[int, Measured]] = {}
            for table in sorted(same, key=lambda table: (table.shots == 0, table.shots)):
                for row in table.rows:
                    if row.cells[column].values:
                        heads.setdefault(row.head, {})[table.shots] = _measured(row.cells[column])
            caption = f"{protocol}, {title}: {column}"
            file = f"{_file_name(protocol)}-{_file_name(title)}-{_file_name(column)}-shots.png"
            lines(folder / file, caption, "shots", heads, level=ZERO_SHOT)
            charts.append((file, caption))
    return charts


def _pooled_scores(task: Task, outcomes: Mapping[Trial, Outcome], shots: int) -> dict[str, Scores]:
    """Scores of each head on a task, with the confusion matrices of all seeds added."""
    by_head: dict[str, list[dict[str, Any]]] = {}
    for trial, outcome in outcomes.items():
        if trial_covers(trial, task, shots):
            scores = outcome.scores[trial.test_classes.index(task.test_classes)]
            if scores is not None:
                by_head.setdefault(trial.variant.name, []).append(scores)
    return {head: _pool(scores) for head, scores in by_head.items()}


def _pool(scores: Sequence[Mapping[str, Any]]) -> Scores:
    """Scores of several predictions for the same images, as if they were one set."""
    table = sum(torch.tensor(one["confusion"], dtype=torch.int64) for one in scores)
    assert isinstance(table, torch.Tensor)
    pairs = table.nonzero().repeat_interleave(table[table > 0], dim=0)
    return score_predictions(pairs[:, 1], pairs[:, 0], scores[0]["labels"])


def _measured(cell: Cell) -> Measured:
    return Measured(cell.mean or 0.0, cell.deviation)


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text.rstrip() + "\n", encoding="utf-8")
    os.replace(part, path)
