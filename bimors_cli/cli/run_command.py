"""A run over tiles from the command line: progress, signals, summary and exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from bimors_cli.cli.console import RunProgress, duration, say
from bimors_cli.cli.json_output import print_json
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


def run_with_progress(run: Run[Options], options: Options, *, as_json: bool) -> None:
    """Run, show the summary, and write the path of the layer, or the summary as JSON, to standard output.

    Raises
    ------
    SystemExit
        Some tiles failed; the code is 3.
    BimorsError
        ``run`` failed.
    """
    from bimors_cli.scene.gdal import count_http_retries

    with graceful_stop() as stop, RunProgress() as progress, count_http_retries() as retries:
        summary = run(options, progress=progress, stop=stop, command=sys.argv)
    for line in summary.lines(duration):
        say(line)
    if retries.count:
        say(f"{retries.count:,} HTTP requests were repeated")
    if as_json:
        print_json(summary.to_json())
    elif summary.output is not None:
        print(summary.output)
    if summary.failed:
        raise SystemExit(3)
