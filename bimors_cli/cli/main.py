"""The program `bimors`: its commands, and what happens when one fails."""

from __future__ import annotations

import codecs
import contextlib
import io
import logging
import os
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from bimors_cli.cli import (
    adapters,
    bench,
    cache,
    caption,
    change,
    classify,
    doctor,
    evaluate,
    finetune,
    info,
    labels,
    merge,
    models,
    preview,
    report,
    restore,
    sample,
    search,
    suggest,
    tiles,
)
from bimors_cli.cli.console import err, set_verbosity_before_command, show_error, show_traceback, verbosity
from bimors_cli.cli.parameters import Quiet, Verbose
from bimors_cli.cli.shown_steps import shown_step
from bimors_cli.cli.system_errors import exhausted, system_error
from bimors_cli.cli.usage_errors import is_usage_error, usage_error
from bimors_cli.errors import BimorsError, Interrupted
from bimors_cli.redact import redact
from bimors_cli.steps import show_steps
from bimors_cli.version import __version__


class _Group(TyperGroup):
    """Turns errors into one line and an exit code, for every command."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        try:
            return super().make_context(*args, **extra)
        except Exception as error:
            if is_usage_error(error):
                _refuse(error)
            raise

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BimorsError as error:
            if verbosity() >= 2:
                show_traceback()
            shown = exhausted(error) or error
            show_error(shown)
            _discard_unwritten()
            raise typer.Exit(128 + shown.signal_number if isinstance(shown, Interrupted) else shown.exit_code) from None
        except BrokenPipeError:
            # The reader of our output has closed it, as in `bimors … | head`.
            _discard_unwritten()
            raise typer.Exit(0) from None
        except (typer.Exit, typer.Abort, KeyboardInterrupt):
            raise
        except Exception as error:
            if is_usage_error(error):
                _refuse(error)
            if hasattr(error, "show"):  # of typer: help in place of arguments
                raise
            if verbosity() >= 2:
                show_traceback()
            refused = system_error(error)
            if refused is not None:
                show_error(refused)
                _discard_unwritten()
                raise typer.Exit(refused.exit_code) from None
            message = redact(f"{type(error).__name__}: {error}")
            err.print(f"error: internal error: {message}", style="bold red")
            err.print("hint: run it again with -vv, and report the output")
            raise typer.Exit(1) from None


def _discard_unwritten() -> None:
    """Drop what standard output no longer accepts: Python would fail to flush it at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refuse(error: Exception) -> NoReturn:
    """Show why a command line is refused, and end."""
    refused = usage_error(error)
    show_error(refused)
    raise typer.Exit(refused.exit_code) from None


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Label a georeferenced raster tile by tile with your own words, and open the coloured layer in QGIS.",
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"bimors {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    set_verbosity_before_command(verbose, quiet)
    show_steps(shown_step)


app.command("classify", epilog=classify.EXAMPLE)(classify.classify)
app.command("merge", epilog=merge.EXAMPLE)(merge.merge)
app.command("tiles", epilog=tiles.EXAMPLE)(tiles.tiles)
app.command("caption", epilog=caption.EXAMPLE)(caption.caption)
app.command("search", epilog=search.EXAMPLE)(search.search)
app.command("change", epilog=change.EXAMPLE)(change.change)
app.command("suggest", epilog=suggest.EXAMPLE)(suggest.suggest)
app.command("sample", epilog=sample.EXAMPLE)(sample.sample)
app.command("restore", epilog=restore.EXAMPLE)(restore.restore)
app.command("finetune", epilog=finetune.EXAMPLE)(finetune.finetune)
app.command("evaluate", epilog=evaluate.EXAMPLE)(evaluate.evaluate)
app.add_typer(adapters.app, name="adapters", epilog=adapters.EXAMPLE)
app.add_typer(models.app, name="models", epilog=models.EXAMPLE)
app.add_typer(cache.app, name="cache", epilog=cache.EXAMPLE)
app.command("labels", epilog=labels.EXAMPLE)(labels.labels)
app.command("bench", epilog=bench.EXAMPLE)(bench.bench)
app.command("info", epilog=info.EXAMPLE)(info.info)
app.command("preview", epilog=preview.EXAMPLE)(preview.preview)
app.command("report", epilog=report.EXAMPLE)(report.report)
app.command("doctor", epilog=doctor.EXAMPLE)(doctor.doctor)


def _accept_any_path() -> None:
    """Let standard output show every path and label, whatever its encoding: a finished run must not fail for that."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files are bytes; those that are not UTF-8 are written as they are.
        is_utf8 = codecs.lookup(sys.stdout.encoding).name == "utf-8"
        with contextlib.suppress(OSError):  # a stream that was exchanged below Python keeps its own
            sys.stdout.reconfigure(errors="surrogateescape" if is_utf8 else "backslashreplace")


def main() -> None:
    """Run the program."""
    _accept_any_path()
    # Warnings of libraries are shown with -v only.
    logging.captureWarnings(True)
    app()
