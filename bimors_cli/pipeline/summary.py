"""The summary that a run prints at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bimors_cli.output.classified_schema import RETRIED
from bimors_cli.pipeline.tile_result import TileResult

NEW_LABELS_SHOWN = 10


@dataclass
class RunSummary:
    """Counts of a run over tiles; ``output`` is the written file, None when the rows went to standard output.

    ``rows_are`` is the word for the rows that are counted: tiles, or cells if tiles vote.
    ``answered`` rows have a label or a caption, the others a reason; ``answered_as`` and ``unanswered_as`` are the
    words for them.
    ``finished_before`` says that --resume found a complete output, so that there was nothing to do. ``caption_hits``
    were taken from the caption cache or from an equal tile, ``caption_misses`` made by the captioner.
    ``empty_message`` is printed for a run without a tile, ``next_step`` at the end. ``warnings`` are those of the run.
    """

    rows_are: str = "tiles"
    answered_as: str = "labelled"
    unanswered_as: str = "without a label"
    output: str | None = None
    answered: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    resumed: int = 0
    rows: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    journal: str | None = None
    finished_before: bool = False
    caption_hits: int = 0
    caption_misses: int = 0
    empty_message: str = "the layer is empty: no tile has enough valid data"
    next_step: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def failed(self) -> int:
        """Number of tiles that could not be read or computed."""
        return sum(self.reasons[reason] for reason in RETRIED)

    def count(self, results: Iterable[TileResult]) -> Iterator[TileResult]:
        """Yield results unchanged and count them."""
        for result in results:
            if result.reason is None:
                self.answered += 1
            else:
                self.reasons[result.reason] += 1
            yield result

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON values; times are in seconds."""
        return {
            "output": self.output,
            "finished_before": self.finished_before,
            self.rows_are: self.answered + self.reasons.total(),
            self.answered_as: self.answered,
            "reasons": dict(self.reasons.most_common()),
            "failed": self.failed,
            "resumed": self.resumed,
            "rows": self.rows,
            "seconds": dict(self.seconds),
            "warnings": list(self.warnings),
        }

    def lines(self, duration: Callable[[float], str]) -> Iterator[str]:
        """Yield the lines of the summary."""
        if self.finished_before:
            yield f"{self.output} is already complete; nothing to do"
            return
        total = self.answered + self.reasons.total()
        yield f"{self.answered:,} of {total:,} {self.rows_are} {self.answered_as}" + (
            f", {self.resumed:,}{self._resumed_are} by earlier runs" * bool(self.resumed)
        )
        yield from self._answers()
        if self.reasons:
            yield self.unanswered_as
            for reason, count in self.reasons.most_common():
                yield f"  {reason:{self._width}}  {count:>9,}"
        if self.caption_hits:
            captions = self.caption_hits + self.caption_misses
            yield f"{self.caption_hits:,} of {captions:,} captions were known, from the cache or an equal tile"
        if self.seconds:
            yield "time: " + ", ".join(f"{stage} {duration(s)}" for stage, s in self.seconds.items())
        yield from self._remarks()
        if self.failed and self.journal is not None:
            yield f"{self.failed:,} tiles failed; run the same command with --resume to try them again"
        if not total:
            yield self.empty_message
        if self.next_step is not None:
            yield self.next_step

    @property
    def _resumed_are(self) -> str:
        return "" if self.rows_are == "tiles" else " tiles"

    @property
    def _width(self) -> int:
        return max(map(len, self.reasons), default=0)

    def _answers(self) -> Iterator[str]:
        """Yield lines about the labels."""
        yield from ()

    def _remarks(self) -> Iterator[str]:
        """Yield further lines about the run."""
        yield from ()


@dataclass
class Summary(RunSummary):
    """Counts of a run of classify; ``raster`` is the label raster, None without ``--raster``, ``stac`` the
    STAC item, None without ``--stac``.

    ``names`` are the labels in their order. ``unknown_words`` are, by label, the words that the model was not trained
    on, ``new_labels`` the labels that the adapter named ``adapter`` was not trained on, which only some heads answer
    (``answers_new_labels``). ``refined`` is the number of labels that refining changed and the number of tiles,
    ``voters`` the number of tiles that voted, and ``failed_tiles`` the number that could not be read or computed, if
    the rows are cells. ``caption_note`` says why the column ``caption`` is null. ``captions_below`` is the confidence
    below which tiles are captioned, None if not doubtful ones only are, and ``captioned`` the number of those that are.
    ``unlike_above`` is what tiles are compared with, and the novelty above which they are unlike, None without
    ``--novelty``; ``compared`` is the number of tiles that have a novelty, ``unlike`` that of those above it.
    ``promise`` is what ``--coverage`` promises of the sets of labels, and ``set_sizes`` counts tiles by the size of
    their set.
    """

    names: tuple[str, ...] = ()
    labels: Counter[str] = field(default_factory=Counter)
    raster: str | None = None
    stac: str | None = None
    unknown_words: dict[str, tuple[str, ...]] = field(default_factory=dict)
    adapter: str | None = None
    new_labels: tuple[str, ...] = ()
    answers_new_labels: bool = True
    refined: tuple[int, int] | None = None
    voters: int | None = None
    failed_tiles: int | None = None
    caption_note: str | None = None
    captions_below: float | None = None
    captioned: int = 0
    unlike_above: tuple[str, float] | None = None
    compared: int = 0
    unlike: int = 0
    promise: tuple[str, ...] = ()
    set_sizes: Counter[int] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        """Number of tiles that could not be read or computed."""
        return super().failed if self.failed_tiles is None else self.failed_tiles

    def count(self, results: Iterable[TileResult]) -> Iterator[TileResult]:
        """Yield results unchanged and count them."""
        for result in super().count(results):
            if result.reason is None:
                self.labels[self.names[result.ranking[0][0]]] += 1
            self.captioned += result.caption is not None
            if self.unlike_above is not None and result.novelty is not None:
                self.compared += 1
                self.unlike += result.novelty > self.unlike_above[1]
            if result.label_set is not None:
                self.set_sizes[len(result.label_set)] += 1
            yield result

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON values; times are in seconds."""
        return {
            **super().to_json(),
            "labels": {name: self.labels[name] for name in self.names},
            "raster": self.raster,
            "refined": None if self.refined is None else self.refined[0],
            **({} if self.captions_below is None else {"captioned": self.captioned}),
            "unlike_examples": None if self.unlike_above is None else self.unlike,
        }

    @property
    def _width(self) -> int:
        return max((len(name) for name in (*self.labels, *self.reasons)), default=0)

    def _answers(self) -> Iterator[str]:
        for name, count in self.labels.most_common():
            yield f"  {name:{self._width}}  {count:>9,}  {100 * count / max(self.answered, 1):5.1f} %"

    def _remarks(self) -> Iterator[str]:
        if self.refined is not None:
            yield "refined: {:,} of {:,} labels changed".format(*self.refined)
        if self.voters is not None:
            yield f"voted: {self.voters:,} tiles on {self.answered + self.reasons.total():,} cells"
        if self.set_sizes:
            yield _set_sizes(self.set_sizes)
        yield from self.promise
        if self.unlike_above is not None and self.unlike > self.compared / 2:
            what, above = self.unlike_above
            counts = f"{self.unlike:,} of {self.compared:,}"
            yield f"most tiles are unlike the {what}: {counts} have a novelty above {above:g}"
        if self.raster is not None:
            yield f"label raster: {self.raster}"
        if self.stac is not None:
            yield f"STAC item: {self.stac}"
        if self.captions_below is not None:
            tiles = "1 tile" if self.captioned == 1 else f"{self.captioned:,} tiles"
            yield f"captions: {tiles} with a confidence below {self.captions_below:g} or without a label"
        if self.caption_note is not None:
            yield self.caption_note
        if self.new_labels:
            yield _new_labels(self.new_labels, self.adapter, self.answers_new_labels)
        for name, words in self.unknown_words.items():
            yield _unknown_words(name, words)


def _new_labels(names: tuple[str, ...], adapter: str | None, answered: bool) -> str:
    """Report the labels that an adapter was not trained on; a long list is cut."""
    shown = ", ".join(names[:NEW_LABELS_SHOWN])
    more = f" and {len(names) - NEW_LABELS_SHOWN:,} more" if len(names) > NEW_LABELS_SHOWN else ""
    counted = "1 label is" if len(names) == 1 else f"{len(names):,} labels are"
    if not answered:
        counted = "1 label has" if len(names) == 1 else f"{len(names):,} labels have"
        return f"{counted} no examples in the adapter {adapter}, so that no tile gets them: {shown}{more}"
    return f"{counted} new to the adapter {adapter}: {shown}{more}"


def _unknown_words(name: str, words: tuple[str, ...]) -> str:
    quoted = ", ".join(map(repr, words))
    return f"low reliability for label {name!r}: the model was not trained on the word{'s' * (len(words) > 1)} {quoted}"


def _set_sizes(sizes: Counter[int]) -> str:
    """Report how many tiles have one label in their set, several, or none."""
    total, one, none = sizes.total(), sizes[1], sizes[0]
    mean = sum(size * count for size, count in sizes.items()) / total
    shares = [100 * count / total for count in (one, total - one - none, none)]
    return "label sets: one label {:.1f} %, several {:.1f} %, none (unlike all examples) {:.1f} %".format(*shares) + (
        f"; {mean:.2f} labels on average"
    )
