"""The reference of commands and options, from the tree of commands and the classes of options."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass
from typing import Any, Final, get_type_hints

import typer

from bimors_cli.cli.main import app
from bimors_cli.options.option import PANELS, RESOLVED, OptionField, Options, RowKey, option_fields
from docs.reference.markdown import code, directive, page, prose, table

PROGRAM: Final = "bimors"
FOLDER: Final = "reference/commands"
_OWN_PANEL: Final = "Options"  # of those without a panel


@dataclass(frozen=True)
class Command:
    """A command, by the words that call it (``models fetch``; empty for the program), and its place in the tree."""

    name: str
    command: Any

    @property
    def children(self) -> tuple[Command, ...]:
        """The commands of a group, in the order of its help."""
        inner: Mapping[str, Any] = getattr(self.command, "commands", {})
        return tuple(Command(f"{self.name} {word}".strip(), command) for word, command in inner.items())

    @property
    def path(self) -> str:
        """The page of the command, from the top of the site."""
        return f"{FOLDER}/{self.name.replace(' ', '-') or 'index'}.md"

    @property
    def called(self) -> str:
        """How a user calls it."""
        return f"{PROGRAM} {self.name}".strip()

    @property
    def classes(self) -> tuple[type[Options], ...]:
        """The classes of options that it takes; none for a group."""
        if self.command.callback is None:
            return ()
        function = inspect.unwrap(self.command.callback)
        hints = get_type_hints(function)
        return tuple(hint for hint in hints.values() if inspect.isclass(hint) and issubclass(hint, Options))


def program() -> Command:
    """Return the root of the tree."""
    return Command("", typer.main.get_command(app))


def walk(command: Command) -> Iterator[Command]:
    """Yield all commands below one, groups included."""
    for child in command.children:
        yield child
        yield from walk(child)


def command_pages() -> dict[str, str]:
    """Return the page of each command by its path, that of the program first."""
    root = program()
    return {root.path: _program_page(root)} | {each.path: _command_page(each) for each in walk(root)}


def _program_page(root: Command) -> str:
    rows = []
    for each in walk(root):
        level = each.name.count(" ")
        shown = f"[{code(each.called)}]({each.path.removeprefix(FOLDER + '/')})"
        rows.append(("&emsp;" * level + shown, prose(_first_sentence(each.command.help or ""))))
    return page(
        "Commands",
        "Every command and option of this version, from the declarations that the program itself uses. "
        "The same text is shown by `bimors COMMAND --help`.",
        table(("command", "what it does"), rows),
        "## Options before the command",
        directive("program", PROGRAM, ""),
        *_options(root),
    )


def _command_page(command: Command) -> str:
    text = (command.command.help or "").replace("\f", "")
    parts = [part for paragraph in text.split("\n\n") for part in _paragraph(paragraph)]
    example = str(command.command.epilog or "").removeprefix("Example: ")
    inner = [
        (f"[{code(child.called)}]({child.path.removeprefix(FOLDER + '/')})", prose(_first_sentence(child.command.help)))
        for child in command.children
    ]
    return page(
        command.called,
        *parts,
        *(["Example:", _shell(example)] if example else []),
        *(["## Commands", table(("command", "what it does"), inner)] if inner else []),
        directive("program", command.called, ""),
        *_options(command),
    )


def _paragraph(text: str) -> Iterator[str]:
    """Yield a paragraph of a help; one that introduces a command with a colon gives two."""
    about, colon, called = " ".join(text.split()).partition(f": {PROGRAM} ")
    if not colon:
        yield prose(about)
        return
    yield f"{prose(about)}:"
    yield _shell(f"{PROGRAM} {called}")


def _shell(line: str) -> str:
    return f"```sh\n{line}\n```"


def _options(command: Command) -> Iterator[str]:
    """Yield a section for each panel of the help, with its options."""
    fields = {field.name: (cls, field) for cls in command.classes for field in option_fields(cls)}
    shown = [parameter for parameter in command.command.params if not getattr(parameter, "hidden", False)]
    arguments = [parameter for parameter in shown if parameter.param_type_name == "argument"]
    if arguments:
        yield "## Arguments"
        yield from (_option(parameter, fields.get(parameter.name)) for parameter in arguments)
    panels = [getattr(parameter, "rich_help_panel", None) for parameter in shown]
    for panel in dict.fromkeys((*PANELS, *panels)):
        found = [
            parameter
            for parameter in shown
            if parameter.param_type_name == "option" and getattr(parameter, "rich_help_panel", None) == panel
        ]
        if found:
            yield f"## {panel or _OWN_PANEL}"
            yield from (_option(parameter, fields.get(parameter.name)) for parameter in found)


def _option(parameter: Any, declared: tuple[type[Options], OptionField] | None) -> str:
    facts = [prose(getattr(parameter, "help", None) or "")]
    if declared is not None and declared[1].option.choices:
        facts.append(table(("value", "meaning"), _choices(declared[1].option.choices)))
    notes = list(_notes(parameter, declared))
    if notes:
        facts.append("\n".join(f"- {note}" for note in notes))
    return directive("option", _signature(parameter), "\n\n".join(filter(None, facts)), fence="````")


def signature_names(parameter: Any) -> tuple[str, ...]:
    """Return the flags of an option, or the metavar of an argument."""
    if parameter.param_type_name == "argument":
        return (_value_name(parameter).strip("[]").rstrip(".").strip("[]"),)
    return (*parameter.opts, *parameter.secondary_opts)


def _signature(parameter: Any) -> str:
    names = signature_names(parameter)
    if parameter.param_type_name == "argument" or parameter.is_flag or getattr(parameter, "count", False):
        return ", ".join(names)
    return ", ".join(f"{name} {_value_name(parameter)}" for name in names)


def _value_name(parameter: Any) -> str:
    # Where none is declared the help shows a type; the name of the option says more.
    return str(parameter.metavar or max(parameter.opts, key=len).strip("-").upper())


def _choices(choices: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for value, meaning in choices.items():
        yield code(value), prose(meaning if isinstance(meaning, str) else str(meaning.help))


def _notes(parameter: Any, declared: tuple[type[Options], OptionField] | None) -> Iterator[str]:
    if parameter.required:
        yield "required"
    elif (default := _default(parameter, declared)) is not None:
        yield f"default: {code(default)}"
    if getattr(parameter, "multiple", False) or parameter.nargs == -1:
        yield "may be given several times" if parameter.param_type_name == "option" else "one or more"
    if parameter.envvar:
        names = [parameter.envvar] if isinstance(parameter.envvar, str) else parameter.envvar
        yield f"environment variable: {', '.join(map(code, names))}"
    if declared is None:
        return
    cls, field = declared
    low, high = field.option.minimum, field.option.maximum
    if low is not None or high is not None:
        yield "range: " + " and ".join(
            f"{words} {value:g}" for words, value in (("at least", low), ("at most", high)) if value is not None
        )
    yield f"in Python: {code(f'{cls.__name__}.{field.name}')}"
    if isinstance(field.option.rows, RowKey) or field.option.rows == RESOLVED:
        yield "decides the rows of the layer: `--resume` needs the same value"


def _default(parameter: Any, declared: tuple[type[Options], OptionField] | None) -> object | None:
    if declared is not None and declared[1].default is not MISSING and declared[1].option.parse is None:
        value = declared[1].default
        shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
    else:
        shown = None if callable(parameter.default) else parameter.default
    if isinstance(shown, float):
        return f"{shown:g}"
    if isinstance(shown, bool):
        return None if parameter.is_flag and not parameter.secondary_opts else "on" if shown else "off"
    return None if shown in (None, "", (), []) or (getattr(parameter, "count", False) and not shown) else shown


def _first_sentence(text: str) -> str:
    return " ".join(text.split("\n\n")[0].split())
