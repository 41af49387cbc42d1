"""The summary that finetune prints when it ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bimors_cli.metrics.scores import Scores
from bimors_cli.run_warnings import warnings_so_far
from bimors_cli.training.adapter_folder import Results
from bimors_cli.training.examples.base import Examples

# Stages that are shown under another name than their key in metrics.json.
_STAGES: Final = {"evidence": "encoding"}


@dataclass(frozen=True)
class FinetuneSummary:
    """Counts and scores of a run; ``output`` is the adapter's folder, ``scores`` are by split and head."""

    output: str
    labels: tuple[str, ...]
    examples: Mapping[str, int]
    validation: int
    short: Mapping[str, int]
    skipped: tuple[str, ...]
    scores: Mapping[str, Mapping[str, Scores]]
    seconds: Mapping[str, float]
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, output: str, examples: Examples, results: Results) -> FinetuneSummary:
        """Summarize the results of a run."""
        names = examples.labels.names
        count = Counter(names[examples.examples[row].label] for row in results.split.train)
        return cls(
            output=output,
            labels=names,
            examples={name: count[name] for name in names},
            validation=len(results.split.validation),
            short=results.split.short,
            skipped=results.split.skipped,
            scores=results.scores,
            seconds=results.seconds,
            warnings=warnings_so_far(),
        )

    def to_json(self) -> dict[str, Any]:
        """Return counts and scores as JSON values; times are in seconds."""
        return {
            "output": self.output,
            "labels": list(self.labels),
            "examples": dict(self.examples),
            "validation": self.validation,
            "fewer_than_asked": dict(self.short),
            "unreadable": list(self.skipped),
            "scores": {
                split: {
                    head: {"accuracy": one.accuracy.value, "images": one.accuracy.total} for head, one in heads.items()
                }
                for split, heads in self.scores.items()
            },
            "seconds": dict(self.seconds),
            "warnings": list(self.warnings),
        }

    def lines(self, duration: Callable[[float], str]) -> Iterator[str]:
        """Format the summary as lines of text."""
        count = sum(self.examples.values())
        yield f"{count:,} examples of {len(self.labels)} classes, {self.validation:,} for validation"
        for name, count in self.short.items():
            yield f"  {name}: only {count:,} examples, fewer than requested"
        if self.skipped:
            yield f"{len(self.skipped):,} images could not be read: {', '.join(self.skipped[:3])}" + (
                " …" if len(self.skipped) > 3 else ""
            )
        for split, heads in self.scores.items():
            accuracies = ", ".join(f"{head} {100 * s.accuracy.value:.1f} %" for head, s in heads.items())
            yield f"accuracy on {split} ({next(iter(heads.values())).accuracy.total:,} images): {accuracies}"
        times = (f"{_STAGES.get(stage, stage)} {duration(seconds)}" for stage, seconds in self.seconds.items())
        yield "time: " + ", ".join(times)
