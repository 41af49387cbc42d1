"""Outcomes as the tables of the literature: a row a head, mean and standard deviation over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bimors_cli.evaluation.options import EvaluateOptions
from bimors_cli.evaluation.protocols import BASE_TO_NEW, Question
from bimors_cli.evaluation.trials import Outcome, Trial
from bimors_cli.evaluation.variants import HeadVariant

HARMONIC_MEAN, TARGET_MEAN, MEAN = "harmonic mean", "mean of targets", "mean"


@dataclass(frozen=True)
class Cell:
    """Accuracies or errors 0..1, one a seed; of zero-shot one in all. Empty where a head cannot answer."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float | None:
        """None where there is none."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation over seeds (n - 1); None of fewer than two."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Row:
    """A head: its cells by column, how many parameters it learns, how many seconds a trial of it took.

    ``errors`` are expected calibration errors, 0..1, by the columns of single questions, and their mean.
    """

    head: str
    cells: Mapping[str, Cell]
    parameters: int
    seconds: float
    errors: Mapping[str, Cell]


@dataclass(frozen=True)
class Table:
    """``title`` is the data set or source; ``columns`` in order; one row a head."""

    protocol: str
    title: str
    shots: int
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def name(self) -> str:
        """For people."""
        shots = "all shots" if self.shots == 0 else "1 shot" if self.shots == 1 else f"{self.shots} shots"
        source = f"from {self.title}" if self.title in self.columns else self.title
        return f"{self.protocol}, {source}, {shots}"

    def as_text(self) -> tuple[list[str], list[list[str]]]:
        """Column heads and cells as they are shown; accuracies in per cent, calibration errors in points."""
        heads = ["head", *(f"{column}, %" for column in self.columns), "ECE", "learns", "seconds"]
        rows = [
            [
                row.head,
                *(_told(row.cells[column]) for column in self.columns),
                _told(row.errors[MEAN]),
                f"{row.parameters:,}",
                f"{row.seconds:.1f}",
            ]
            for row in self.rows
        ]
        return heads, rows


def tables(
    questions: Sequence[Question], options: EvaluateOptions, outcomes: Mapping[Trial, Outcome]
) -> tuple[Table, ...]:
    """Put all outcomes into tables: one for each protocol, table of its questions, and number of shots."""
    found = []
    for protocol in dict.fromkeys(question.protocol for question in questions):
        of_protocol = [question for question in questions if question.protocol == protocol]
        for shots in options.shots:
            parts = [
                _table([q for q in of_protocol if q.table == title], shots, options, outcomes)
                for title in dict.fromkeys(question.table for question in of_protocol)
            ]
            found += parts
            if protocol == BASE_TO_NEW and len(parts) > 1:
                found.append(_average(parts))
    return tuple(found)


def _table(asked: Sequence[Question], shots: int, options: EvaluateOptions, outcomes: Mapping[Trial, Outcome]) -> Table:
    columns = [question.column for question in asked]
    roles = {question.column: question.role for question in asked}
    rows = []
    for one in options.contestants:
        known = [_answers(one, question, shots, options, outcomes) for question in asked]
        cells = {column: Cell(tuple(values)) for column, (values, _, _) in zip(columns, known, strict=True)}
        errors = {column: Cell(tuple(values)) for column, (_, values, _) in zip(columns, known, strict=True)}
        # Of what a head can answer: a linear probe is not asked about new classes.
        errors[MEAN] = _by_seed([cell for cell in errors.values() if cell.values], statistics.fmean)
        if set(roles.values()) == {"base", "new"}:
            cells[HARMONIC_MEAN] = _by_seed(list(cells.values()), statistics.harmonic_mean)
        elif list(roles.values()).count("target") > 1:
            targets = [cells[column] for column in columns if roles[column] == "target"]
            cells[TARGET_MEAN] = _by_seed(targets, statistics.fmean)
        elif len(columns) > 1 and set(roles.values()) == {"source"}:
            cells[MEAN] = _by_seed(list(cells.values()), statistics.fmean)
        trials = {trial: outcomes[trial] for _, _, some in known for trial in some}
        seconds = statistics.fmean(outcome.seconds for outcome in trials.values())
        rows.append(Row(one.name, cells, max(outcome.parameters for outcome in trials.values()), seconds, errors))
    return Table(asked[0].protocol, asked[0].table, shots, tuple(rows[0].cells), tuple(rows))


def _answers(
    one: HeadVariant, question: Question, shots: int, options: EvaluateOptions, outcomes: Mapping[Trial, Outcome]
) -> tuple[list[float], list[float], list[Trial]]:
    """Accuracies and calibration errors in the order of the seeds, and the trials that they come from."""
    found, trials = [], []
    for trial, outcome in outcomes.items():
        of_it = trial.contestant == one and question.asked in trial.asked
        if not of_it or not (trial.learned is None or (trial.learned == question.learned and trial.shots == shots)):
            continue
        trials.append(trial)
        answer = outcome.answers[trial.asked.index(question.asked)]
        if answer is not None:
            found.append((trial.seed, float(answer["accuracy"]["value"]), float(answer["calibration_error"])))
    order = {seed: place for place, seed in enumerate(options.seeds)}
    found.sort(key=lambda one: order.get(one[0], 0))
    return [right for _, right, _ in found], [error for _, _, error in found], trials


def _by_seed(cells: Sequence[Cell], combine: Callable[[Sequence[float]], float]) -> Cell:
    """Combine cells seed by seed; of nothing where one of them is empty."""
    if not cells or any(not cell.values for cell in cells):
        return Cell(())
    return Cell(tuple(combine(values) for values in zip(*(cell.values for cell in cells), strict=True)))


def _average(parts: Sequence[Table]) -> Table:
    """The mean of base-to-new over data sets: of base, of new, and of these two the harmonic mean."""
    rows = []
    for some in zip(*(part.rows for part in parts), strict=True):
        cells = {
            column: _by_seed([row.cells[column] for row in some], statistics.fmean)
            for column in parts[0].columns
            if column != HARMONIC_MEAN
        }
        cells[HARMONIC_MEAN] = _by_seed(list(cells.values()), statistics.harmonic_mean)
        errors = {column: _by_seed([row.errors[column] for row in some], statistics.fmean) for column in some[0].errors}
        seconds = statistics.fmean(row.seconds for row in some)
        rows.append(Row(some[0].head, cells, max(row.parameters for row in some), seconds, errors))
    return Table(BASE_TO_NEW, "mean of data sets", parts[0].shots, tuple(rows[0].cells), tuple(rows))


def markdown(table: Table) -> Iterator[str]:
    """Lines of a Markdown table, the best of a column in bold."""
    heads, rows = table.as_text()
    best = [max((cell.mean or 0.0 for cell in cells), default=0.0) for cells in _columns(table)]
    yield "| " + " | ".join(heads) + " |"
    yield "|---|" + "---:|" * (len(heads) - 1)
    for row, cells in zip(table.rows, rows, strict=True):
        for place, column in enumerate(table.columns):
            if row.cells[column].values and row.cells[column].mean == best[place]:
                cells[place + 1] = f"**{cells[place + 1]}**"
        yield "| " + " | ".join(cells) + " |"


def _columns(table: Table) -> list[list[Cell]]:
    return [[row.cells[column] for row in table.rows] for column in table.columns]


def _told(cell: Cell) -> str:
    if cell.mean is None:
        return "-"
    return f"{100 * cell.mean:.2f}" + (f" ± {100 * cell.deviation:.2f}" if cell.deviation is not None else "")
