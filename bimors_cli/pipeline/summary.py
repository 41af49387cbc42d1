"""What a run tells at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from bimors_cli.pipeline.tile_result import RETRIED, TileResult

NEW_LABELS_SHOWN = 10


@dataclass
class RunSummary:
    """Counts of a run that looks at tiles; ``output`` is the written file, None when the rows went to standard output.

    ``rows_are`` is the word for what is counted: tiles, or what they are settled on.
    ``answered`` tiles have what was asked for, the others a reason; ``answered_as`` and ``unanswered_as`` are the words
    for them.
    ``finished_before`` says that --resume found the output whole and there was nothing to do. ``caption_hits`` were
    taken from the caption cache or from an equal tile, ``caption_misses`` made by the captioner. ``none`` is said
    of a run without a tile, ``then`` at the end: what to do next.
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
    none: str = "the layer is empty: no tile holds enough data"
    then: str | None = None

    @property
    def failed(self) -> int:
        """Count the tiles that could not be read or computed."""
        return sum(self.reasons[reason] for reason in RETRIED)

    def count(self, records: Iterable[TileResult]) -> Iterator[TileResult]:
        """Pass records on and count them."""
        for record in records:
            if record.reason is None:
                self.answered += 1
            else:
                self.reasons[record.reason] += 1
            yield record

    def lines(self, duration: Callable[[float], str]) -> Iterator[str]:
        """Say it in lines."""
        if self.finished_before:
            yield f"{self.output} was finished before; nothing to do"
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
            yield f"{self.caption_hits:,} of {captions:,} captions came from the cache"
        if self.seconds:
            yield "time: " + ", ".join(f"{stage} {duration(s)}" for stage, s in self.seconds.items())
        yield from self._remarks()
        if self.failed and self.journal is not None:
            yield f"{self.failed:,} tiles failed; the same command with --resume tries them again"
        if not total:
            yield self.none
        if self.then is not None:
            yield self.then

    @property
    def _resumed_are(self) -> str:
        return "" if self.rows_are == "tiles" else " tiles"

    @property
    def _width(self) -> int:
        return max(map(len, self.reasons), default=0)

    def _answers(self) -> Iterator[str]:
        """Say more about the answers."""
        yield from ()

    def _remarks(self) -> Iterator[str]:
        """Say what is to be known of the run."""
        yield from ()


@dataclass
class Summary(RunSummary):
    """Counts of a run of classify; ``raster`` is the label raster, None when none was asked for.

    ``names`` are the labels in their order. ``new_labels`` are those that the adapter of the name ``adapter`` was not
    trained on. ``refined`` says how many labels of how many tiles refining changed, ``voters`` how many tiles voted,
    and ``failed_tiles`` how many could not be read or computed where rows are not of tiles.
    """

    names: tuple[str, ...] = ()
    labels: Counter[str] = field(default_factory=Counter)
    raster: str | None = None
    unknown_words: dict[str, tuple[str, ...]] = field(default_factory=dict)
    adapter: str | None = None
    new_labels: tuple[str, ...] = ()
    refined: tuple[int, int] | None = None
    voters: int | None = None
    failed_tiles: int | None = None

    @property
    def failed(self) -> int:
        """Count the tiles that could not be read or computed."""
        return super().failed if self.failed_tiles is None else self.failed_tiles

    def count(self, records: Iterable[TileResult]) -> Iterator[TileResult]:
        """Pass records on and count them."""
        for record in super().count(records):
            if record.reason is None:
                self.labels[self.names[record.ranked[0][0]]] += 1
            yield record

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
        if self.raster is not None:
            yield f"label raster: {self.raster}"
        if self.new_labels:
            yield _new_labels(self.new_labels, self.adapter)
        for name, words in self.unknown_words.items():
            yield f"not to be trusted: {name!r}, since this model never saw {', '.join(map(repr, words))}"


def _new_labels(names: tuple[str, ...], adapter: str | None) -> str:
    """Say which labels an adapter never saw; of a long list, the beginning."""
    shown = ", ".join(names[:NEW_LABELS_SHOWN])
    more = f" and {len(names) - NEW_LABELS_SHOWN:,} more" if len(names) > NEW_LABELS_SHOWN else ""
    counted = "1 label is" if len(names) == 1 else f"{len(names):,} labels are"
    return f"{counted} new to the adapter {adapter}: {shown}{more}"
