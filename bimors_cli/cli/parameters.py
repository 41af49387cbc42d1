"""Parameters of the console itself, which are options of no run."""

from __future__ import annotations

from typing import Annotated

import typer

from bimors_cli.options.option import RUN

Offline = Annotated[
    bool,
    typer.Option("--offline", rich_help_panel=RUN, envvar="BIMORS_OFFLINE", help="Refuse every network connection."),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", rich_help_panel=RUN, help="Show errors only.")]
Verbose = Annotated[
    int,
    typer.Option("-v", "--verbose", count=True, rich_help_panel=RUN, help="Show more detail; -vv shows tracebacks."),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", rich_help_panel=RUN, help="Show the grid, the number of tiles and estimates, and write nothing."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", rich_help_panel=RUN, help="Replace an existing output.")]
