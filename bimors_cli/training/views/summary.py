"""The summary of finetune --head auto: what was chosen, and what each set of views would have given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bimors_cli.bundle.adapter_views import AdapterViews
from bimors_cli.bundle.views_table import carrier_lines, table_lines
from bimors_cli.fewshot.expected_accuracy import ExpectedAccuracy
from bimors_cli.metrics.scores import Scores
from bimors_cli.training.views.collect import Values
from bimors_cli.training.views.learn import Learned

# Sets of views shown; `adapters show` shows all.
_SHOWN: Final = 6


@dataclass(frozen=True)
class ViewsRun:
    """What a run found.

    Attributes
    ----------
    learned : Learned
        The fitted views.
    views : AdapterViews
        Description of the chosen ones.
    counts, short : dict of str to int
        Number of examples by label, and of those with fewer than requested.
    skipped : int
        Number of examples that could not be read.
    test : Scores or None
        Scores on the test split of the source.
    seconds : dict of str to float
        Time of each stage.
    place : str
        What the expected accuracy is of: ``this scene``.
    prompts : mapping of str to array
        Parameters of the prompt learner, if its answer is one of the chosen views.
    """

    learned: Learned
    views: AdapterViews
    counts: dict[str, int]
    short: dict[str, int]
    skipped: int
    test: Scores | None
    seconds: dict[str, float]
    place: str
    prompts: Mapping[str, Values]


@dataclass(frozen=True)
class ViewsSummary:
    """What a run found. ``output`` is the adapter's folder, ``warnings`` what the run warned of."""

    output: str
    run: ViewsRun
    warnings: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in their order."""
        return tuple(self.run.counts)

    @property
    def expected(self) -> ExpectedAccuracy | None:
        """The accuracy to expect; None where no example can be left out."""
        return self.run.learned.expected

    @property
    def examples(self) -> Mapping[str, int]:
        """Number of examples by label."""
        return self.run.counts

    def to_json(self) -> dict[str, Any]:
        """Return counts and figures as JSON values; times are in seconds."""
        return {
            "output": self.output,
            "labels": list(self.labels),
            "examples": dict(self.examples),
            "fewer_than_asked": dict(self.run.short),
            "unreadable": self.run.skipped,
            **figures_of(self.run),
            "warnings": list(self.warnings),
        }

    def lines(self, duration: Callable[[float], str]) -> Iterator[str]:
        """Format the summary as lines of text."""
        run = self.run
        classes = sum(map(bool, run.counts.values()))
        yield f"{sum(run.counts.values()):,} examples of {classes} classes, all of them learned from"
        for name, count in run.short.items():
            yield f"  {name}: only {count:,} examples, fewer than requested"
        if run.skipped:
            yield f"{run.skipped:,} examples could not be read"
        figures = figures_of(run)
        shown = [c for rank, c in enumerate(figures["candidates"]) if rank < _SHOWN or c["chosen"]]
        yield from table_lines(shown, "chosen by left-out examples:")
        yield from carrier_lines(figures["carriers"])
        if run.learned.expected is None:
            yield "expected accuracy: unknown; it needs two separate places (polygons) of a class"
        else:
            yield f"expected on {run.place}: {expected_text(run.learned.expected)}"
        if run.learned.together:
            yield "  too optimistic: the classes were drawn in one place each; draw each of them in several"
        if run.test is not None:
            accuracy = run.test.accuracy
            yield f"accuracy on test ({accuracy.total:,} images): {100 * accuracy.value:.1f} %"
        yield "time: " + ", ".join(f"{stage} {duration(seconds)}" for stage, seconds in run.seconds.items())


def expected_text(expected: ExpectedAccuracy) -> str:
    """Say what accuracy to expect: ``84 % right (77 to 90), from 63 examples in 21 separate places``."""
    return (
        f"{100 * expected.value:.0f} % right ({100 * expected.low:.0f} to "
        f"{100 * expected.high:.0f}), from {expected.examples:,} examples in {expected.groups:,} separate places"
    )


def figures_of(run: ViewsRun) -> dict[str, Any]:
    """Return the figures of a run as JSON values, for metrics.json."""
    learned = run.learned
    expected, chosen = learned.expected, learned.selection.chosen
    return {
        "expected": None
        if expected is None
        else {
            "accuracy": expected.value,
            "low": expected.low,
            "high": expected.high,
            "examples": expected.examples,
            "places": expected.groups,
            "too_optimistic": learned.together,
        },
        "candidates": [
            {
                "views": list(candidate.views),
                "chosen": candidate == chosen,
                "accuracy": _number(candidate.accuracy),
                "log_loss": _number(candidate.loss),
            }
            for candidate in learned.selection.candidates
        ],
        "weights": dict(zip(chosen.views, chosen.weights, strict=True)),
        "carriers": {
            name: {
                "views": {carrier.name: round(carrier.area, 4) for carrier in learned.views_of_class[label]},
                "bands": {carrier.name: round(carrier.area, 4) for carrier in learned.bands_of_class[label]},
            }
            for label, name in enumerate(run.counts)
        },
        "seconds": dict(run.seconds),
        **({} if run.test is None else {"test": {"views": run.test.as_json()}}),
    }


def _number(value: float) -> float | None:
    return None if value != value else round(value, 6)
