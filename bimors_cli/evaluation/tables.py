"""Tables of outcomes: one row for each head, mean and standard deviation over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bimors_cli.evaluation.options import EvaluateOptions
from bimors_cli.evaluation.protocols import BASE_TO_NEW, Task
from bimors_cli.evaluation.trials import Outcome, Trial
from bimors_cli.evaluation.variants import HeadVariant

HARMONIC_MEAN, TARGET_MEAN, MEAN = "harmonic mean", "mean of targets", "mean"


@dataclass(frozen=True)
class Cell:
    """Accuracies or errors 0..1, one for each seed; one for zero-shot. Empty if the head cannot predict the classes."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float | None:
        """Mean over seeds; None for an empty cell."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation over seeds (n - 1); None for fewer than two values."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Row:
    """A head: cells by column, number of trained parameters, mean seconds of a trial.

    ``errors`` are expected calibration errors, 0..1, by column of a task, and their mean.
    """

    head: str
    cells: Mapping[str, Cell]
    parameters: int
    seconds: float
    errors: Mapping[str, Cell]


@dataclass(frozen=True)
class Table:
    """A table of a protocol; ``title`` is the data set or source, ``rows`` are the heads."""

    protocol: str
    title: str
    shots: int
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def name(self) -> str:
        """Title of the table in the results."""
        shots = "all shots" if self.shots == 0 else "1 shot" if self.shots == 1 else f"{self.shots} shots"
        source = f"from {self.title}" if self.title in self.columns else self.title
        return f"{self.protocol}, {source}, {shots}"

    def as_text(self) -> tuple[list[str], list[list[str]]]:
        """Headers and cells as text; accuracies in per cent, calibration errors in percentage points."""
        headers = ["head", *(f"{column}, %" for column in self.columns), "ECE", "learns", "seconds"]
        rows = [
            [
                row.head,
                *(_format(row.cells[column]) for column in self.columns),
                _format(row.errors[MEAN]),
                f"{row.parameters:,}",
                f"{row.seconds:.1f}",
            ]
            for row in self.rows
        ]
        return headers, rows


def tables(tasks: Sequence[Task], options: EvaluateOptions, outcomes: Mapping[Trial, Outcome]) -> tuple[Table, ...]:
    """Make one table for each protocol, each ``table`` of its tasks, and each number of shots."""
    found = []
    for protocol in dict.fromkeys(task.protocol for task in tasks):
        of_protocol = [task for task in tasks if task.protocol == protocol]
        for shots in options.shots:
            parts = [
                _table([task for task in of_protocol if task.table == title], shots, options, outcomes)
                for title in dict.fromkeys(task.table for task in of_protocol)
            ]
            found += parts
            if protocol == BASE_TO_NEW and len(parts) > 1:
                found.append(_average(parts))
    return tuple(found)


def _table(tasks: Sequence[Task], shots: int, options: EvaluateOptions, outcomes: Mapping[Trial, Outcome]) -> Table:
    columns = [task.column for task in tasks]
    roles = {task.column: task.role for task in tasks}
    rows = []
    for variant in options.variants:
        scores = [_scores(variant, task, shots, options, outcomes) for task in tasks]
        cells = {column: Cell(tuple(values)) for column, (values, _, _) in zip(columns, scores, strict=True)}
        errors = {column: Cell(tuple(values)) for column, (_, values, _) in zip(columns, scores, strict=True)}
        # Mean of the tasks that the head can predict: a linear probe has no scores for new classes.
        errors[MEAN] = _by_seed([cell for cell in errors.values() if cell.values], statistics.fmean)
        if set(roles.values()) == {"base", "new"}:
            cells[HARMONIC_MEAN] = _by_seed(list(cells.values()), statistics.harmonic_mean)
        elif list(roles.values()).count("target") > 1:
            targets = [cells[column] for column in columns if roles[column] == "target"]
            cells[TARGET_MEAN] = _by_seed(targets, statistics.fmean)
        elif len(columns) > 1 and set(roles.values()) == {"source"}:
            cells[MEAN] = _by_seed(list(cells.values()), statistics.fmean)
        trials = {trial: outcomes[trial] for _, _, found in scores for trial in found}
        seconds = statistics.fmean(outcome.seconds for outcome in trials.values())
        rows.append(Row(variant.name, cells, max(outcome.parameters for outcome in trials.values()), seconds, errors))
    return Table(tasks[0].protocol, tasks[0].table, shots, tuple(rows[0].cells), tuple(rows))


def _scores(
    variant: HeadVariant, task: Task, shots: int, options: EvaluateOptions, outcomes: Mapping[Trial, Outcome]
) -> tuple[list[float], list[float], list[Trial]]:
    """Accuracies and calibration errors in the order of the seeds, and their trials."""
    found, trials = [], []
    for trial, outcome in outcomes.items():
        if trial.variant != variant or not trial_covers(trial, task, shots):
            continue
        trials.append(trial)
        scores = outcome.scores[trial.test_classes.index(task.test_classes)]
        if scores is not None:
            found.append((trial.seed, float(scores["accuracy"]["value"]), float(scores["calibration_error"])))
    order = {seed: index for index, seed in enumerate(options.seeds)}
    found.sort(key=lambda row: order.get(row[0], 0))
    return [accuracy for _, accuracy, _ in found], [error for _, _, error in found], trials


def trial_covers(trial: Trial, task: Task, shots: int) -> bool:
    """Tell whether a trial has scores for a task with this number of shots."""
    trained = trial.train_classes
    return task.test_classes in trial.test_classes and (
        trained is None or (trained == task.train_classes and trial.shots == shots)
    )


def _by_seed(cells: Sequence[Cell], combine: Callable[[Sequence[float]], float]) -> Cell:
    """Combine cells seed by seed; the result is empty if one of the cells is."""
    if not cells or any(not cell.values for cell in cells):
        return Cell(())
    return Cell(tuple(combine(values) for values in zip(*(cell.values for cell in cells), strict=True)))


def _average(tables: Sequence[Table]) -> Table:
    """Mean over data sets for base-to-new: of base, of new, and the harmonic mean of these."""
    rows = []
    for same_head in zip(*(table.rows for table in tables), strict=True):
        cells = {
            column: _by_seed([row.cells[column] for row in same_head], statistics.fmean)
            for column in tables[0].columns
            if column != HARMONIC_MEAN
        }
        cells[HARMONIC_MEAN] = _by_seed(list(cells.values()), statistics.harmonic_mean)
        errors = {
            column: _by_seed([row.errors[column] for row in same_head], statistics.fmean)
            for column in same_head[0].errors
        }
        seconds = statistics.fmean(row.seconds for row in same_head)
        parameters = max(row.parameters for row in same_head)
        rows.append(Row(same_head[0].head, cells, parameters, seconds, errors))
    return Table(BASE_TO_NEW, "mean of data sets", tables[0].shots, tuple(rows[0].cells), tuple(rows))


def markdown(table: Table) -> Iterator[str]:
    """Lines of a Markdown table; the best value of a column is bold."""
    headers, rows = table.as_text()
    best = [max((cell.mean or 0.0 for cell in cells), default=0.0) for cells in _columns(table)]
    yield "| " + " | ".join(headers) + " |"
    yield "|---|" + "---:|" * (len(headers) - 1)
    for row, cells in zip(table.rows, rows, strict=True):
        for index, column in enumerate(table.columns):
            if row.cells[column].values and row.cells[column].mean == best[index]:
                cells[index + 1] = f"**{cells[index + 1]}**"
        yield "| " + " | ".join(cells) + " |"


def _columns(table: Table) -> list[list[Cell]]:
    return [[row.cells[column] for row in table.rows] for column in table.columns]


def _format(cell: Cell) -> str:
    if cell.mean is None:
        return "-"
    return f"{100 * cell.mean:.2f}" + (f" ± {100 * cell.deviation:.2f}" if cell.deviation is not None else "")
