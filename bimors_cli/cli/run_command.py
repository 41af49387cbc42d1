"""A run over tiles as a terminal has it: progress, signals, what was done, and the exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from bimors_cli.cli.console import TileProgress, duration, say
from bimors_cli.cli.signals import graceful_stop

if TYPE_CHECKING:
    from bimors_cli.pipeline.progress import Progress, StopRequest
    from bimors_cli.pipeline.summary import RunSummary

Options = TypeVar("Options", contravariant=True)


class Run(Protocol[Options]):
    """A run over tiles, such as `bimors_cli.pipeline.run.run`."""

    def __call__(
        self, options: Options, *, progress: Progress | None, stop: StopRequest | None, command: Sequence[str]
    ) -> RunSummary: ...


def run_with_progress(run: Run[Options], options: Options) -> None:
    """Run, tell what was done, and write the layer's path to standard output.

    Raises
    ------
    SystemExit
        With 3: some tiles failed.
    BimorsError
        As ``run``.
    """
    from bimors_cli.scene.gdal import count_http_retries

    with graceful_stop() as stop, TileProgress() as progress, count_http_retries() as retries:
        summary = run(options, progress=progress, stop=stop, command=sys.argv)
    for line in summary.lines(duration):
        say(line)
    if retries.count:
        say(f"{retries.count:,} requests to servers were made again")
    if summary.output is not None:
        print(summary.output)
    if summary.failed:
        raise SystemExit(3)
