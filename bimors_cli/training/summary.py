"""What a run of finetune tells at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from bimors_cli.metrics.scores import Scores
from bimors_cli.training.adapter_folder import Results
from bimors_cli.training.examples.base import Examples


@dataclass(frozen=True)
class FinetuneSummary:
    """Counts and scores of a run; ``output`` is the adapter's folder, ``scores`` by part and head."""

    output: str
    labels: tuple[str, ...]
    examples: Mapping[str, int]
    validation: int
    short: Mapping[str, int]
    skipped: tuple[str, ...]
    scores: Mapping[str, Mapping[str, Scores]]
    seconds: Mapping[str, float]

    @classmethod
    def of(cls, output: str, examples: Examples, results: Results) -> FinetuneSummary:
        """Gather it from a run."""
        names = examples.labels.names
        count = Counter(names[examples.examples[row].label] for row in results.sample.train)
        return cls(
            output=output,
            labels=names,
            examples={name: count[name] for name in names},
            validation=len(results.sample.validation),
            short=results.sample.short,
            skipped=results.sample.skipped,
            scores=results.scores,
            seconds=results.seconds,
        )

    def lines(self, duration: Callable[[float], str]) -> Iterator[str]:
        """Say it in lines."""
        count = sum(self.examples.values())
        yield f"{count:,} examples of {len(self.labels)} classes, {self.validation:,} for validation"
        for name, count in self.short.items():
            yield f"  {name}: only {count:,}, which is fewer than asked"
        if self.skipped:
            yield f"{len(self.skipped):,} pictures could not be read: {', '.join(self.skipped[:3])}" + (
                " …" if len(self.skipped) > 3 else ""
            )
        for part, heads in self.scores.items():
            told = ", ".join(f"{head} {100 * s.accuracy.value:.1f} %" for head, s in heads.items())
            yield f"right on {part} ({next(iter(heads.values())).accuracy.total:,} pictures): {told}"
        yield "time: " + ", ".join(f"{stage} {duration(seconds)}" for stage, seconds in self.seconds.items())
