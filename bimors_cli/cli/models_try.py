"""`bimors models try`: does a bundle work on this machine, as a report for its makers."""

from __future__ import annotations

from bimors_cli.cli.command import command
from bimors_cli.cli.console import err, say, verbosity
from bimors_cli.cli.parameters import Offline
from bimors_cli.errors import BundleError
from bimors_cli.options.try_model import TryOptions

EXAMPLE = "Example: bimors models try georsclip-b32 --captioner none"


@command(TryOptions, fetches=True)
def try_(options: TryOptions, offline: Offline = False) -> None:
    """Fetch a bundle, verify it, and run it on a small image that is part of bimors.

    Most models of the catalog were never loaded where bimors is made. The report on standard output is Markdown to
    paste into an issue: versions, device, the files with their hashes, the time of each step, labels and captions.
    Your home folder, passwords and tokens are left out of it.

    A bundle that is installed is not fetched again, and one that was fetched stays installed. The exit code is 1 if a
    step failed.
    """
    from bimors_cli.cli.try_report import markdown
    from bimors_cli.pipeline.bundles.try_bundle import try_bundle

    bar = verbosity() >= 0 and err.is_terminal
    tried = try_bundle(options, offline=offline, report=say, progress=bar)
    print("\n".join(markdown(tried)))
    if (failed := tried.failure) is not None:
        raise BundleError(
            f"{tried.name}: the step {failed.name} failed: {failed.detail}",
            failed.hint or "paste the report into an issue of bimors",
        )
