"""The help on a narrow terminal, and colours where someone asks for them or forbids them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
import typer.main
import typer.rich_utils
from typer.testing import CliRunner

from bimors_cli.cli.main import app

COLUMNS = 80


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    for name, one in getattr(command, "commands", {}).items():
        yield from commands(one, (*path, name))


ALL = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_no_word_is_broken_or_cut_off_at_80_columns(path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    # typer reads TERMINAL_WIDTH once, when it is imported.
    monkeypatch.setattr(typer.rich_utils, "MAX_WIDTH", COLUMNS)
    shown = CliRunner().invoke(app, [*path, "--help"], terminal_width=COLUMNS, color=False).output
    assert max(map(len, shown.splitlines())) <= COLUMNS
    command = ALL[path]
    words = [*(command.help or "").split(), *(command.epilog or "").split()]
    for parameter in command.params:
        if getattr(parameter, "hidden", False):
            continue
        words += [*(parameter.opts if parameter.param_type_name == "option" else ()), *parameter.secondary_opts]
        words += [*(getattr(parameter, "help", "") or "").split(), *([parameter.metavar] if parameter.metavar else [])]
        if isinstance(parameter.default, str):
            words += parameter.default.split()
    assert [word for word in words if word not in shown] == []


@pytest.mark.parametrize(
    ("variables", "is_coloured"),
    [
        ({}, False),
        ({"NO_COLOR": "1"}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colours(variables: dict[str, str], is_coloured: bool) -> None:
    """In a pipe there are none, unless FORCE_COLOR asks for them; NO_COLOR forbids them, and counts more."""
    left = ("NO_COLOR", "FORCE_COLOR", "PY_COLORS", "CLICOLOR_FORCE", "GITHUB_ACTIONS", "TTY_COMPATIBLE")
    env = {name: value for name, value in os.environ.items() if name not in left}
    ended = subprocess.run(
        [sys.executable, "-m", "bimors_cli", "report", "missing.gpkg"],
        capture_output=True, text=True, env={**env, "TERM": "xterm-256color", **variables},
    )  # fmt: skip
    assert ended.returncode == 2 and "missing.gpkg does not exist" in ended.stderr
    assert ("\x1b[1;31m" in ended.stderr) is is_coloured
    colours = [code for code in ("\x1b[31m", "\x1b[1;31m", "\x1b[36m") if code in ended.stderr]
    assert bool(colours) is is_coloured
