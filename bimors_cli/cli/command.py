"""A class of options becomes a command: its signature, as typer reads it, follows from the fields.

    @command(ClassifyOptions)
    def classify(options: ClassifyOptions, dry_run: DryRun = False) -> None: ...

What is not declared in the class is a parameter of the function itself; -q and -v belong to every command, --offline to
those that read scenes.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from bimors_cli.cli import completion
from bimors_cli.cli.console import repeat_warnings, set_verbosity
from bimors_cli.cli.parameters import Offline, Quiet, Verbose
from bimors_cli.errors import InputError
from bimors_cli.options.option import PANELS, Option, OptionField, Options, option_fields
from bimors_cli.run_warnings import keep_warnings

Command = Callable[..., None]


def command(*classes: type[Options], fetches: bool = False) -> Callable[[Command], Command]:
    """Make a command of a function that takes one object of each class, then parameters of its own.

    A command that ``fetches`` may use the network of the model libraries; others may not.
    """

    def decorate(function: Command) -> Command:
        own = list(inspect.signature(function).parameters.values())[len(classes) :]
        hints = get_type_hints(function, include_extras=True)
        names = {cls: option_fields(cls) for cls in classes}
        reads_scenes = any(field.option.reads_scenes for found in names.values() for field in found)

        @wraps(function)
        def run(**given: Any) -> None:
            set_verbosity(given.pop("verbose"), given.pop("quiet"))
            with keep_warnings() as kept:
                try:
                    make_and_run(given)
                except SystemExit:  # some tiles failed, or a check did: the command has shown its result
                    repeat_warnings(kept.texts())
                    raise
                repeat_warnings(kept.texts())

        def make_and_run(given: dict[str, Any]) -> None:
            quiet_libraries()
            if not fetches:
                stay_off_the_network()
            offline = given.pop("offline") if reads_scenes else False  # else a parameter of the function's own
            made = []
            for cls, found in names.items():
                values = {field.name: _value(field, _pop(field, given)) for field in found}
                if offline:
                    for field in found:
                        if field.option.reads_scenes:
                            value = values[field.name]
                            paths = value if isinstance(value, tuple) else (value,) if value else ()
                            refuse_remote(paths, values.get("asset", ()))
                made.append(cls(**values))
            function(*made, **given)

        parameters = [parameter for found in names.values() for field in found for parameter in _parameters(field)]
        parameters += [parameter.replace(annotation=hints[parameter.name]) for parameter in own]
        if reads_scenes:
            parameters.append(_console_parameter("offline", Offline, False))
        parameters += [_console_parameter("quiet", Quiet, False), _console_parameter("verbose", Verbose, 0)]
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in sorted(parameters, key=_panel_number)]
        )
        run.__doc__ = _paragraphs(function.__doc__ or "")
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def _paragraphs(text: str) -> str:
    """Join the lines of each paragraph: typer keeps line breaks, and a terminal has a width of its own."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in inspect.cleandoc(text).split("\n\n"))


def typer_parameter(option: Option) -> Any:
    """Return the declaration of an option for typer: a `typer.Option`, or a `typer.Argument` where it has no flags."""
    offered = completion.of_option(option)
    if not option.flags:
        return typer.Argument(metavar=option.metavar, help=option.help, autocompletion=offered)
    return typer.Option(
        *option.flags.split(),
        metavar=option.metavar or ("|".join(option.choices) if option.choices else None),
        help=option.help,
        rich_help_panel=option.panel,
        envvar=option.envvar,
        autocompletion=offered,
    )


def _parameters(field: OptionField) -> Iterator[inspect.Parameter]:
    """Yield the parameters of a field: the option, and what else the command line takes for it."""
    yield _parameter(field)
    if field.option.flag_for is not None:
        flag, value = field.option.flag_for
        declared = typer.Option(
            flag, help=f"The same as {field.option.name} {value}.", rich_help_panel=field.option.panel
        )
        yield _console_parameter(_flag_name(flag), Annotated[bool, declared], False)
    if field.option.former is not None:
        declared = typer.Option(field.option.former, hidden=True, rich_help_panel=field.option.panel)
        yield _console_parameter(_former_name(field), Annotated[bool | None, declared], None)


def _former_name(field: OptionField) -> str:
    return f"former_{field.name}"


def _flag_name(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")


def _pop(field: OptionField, given: dict[str, Any]) -> Any:
    """Take what the command line gave for a field, by its option or by the flag for one of its values."""
    value = given.pop(field.name)
    if field.option.former is not None and (former := given.pop(_former_name(field))) is not None:
        value = former
    if field.option.flag_for is None:
        return value
    flag, meant = field.option.flag_for
    if not given.pop(_flag_name(flag)):
        return value
    if value not in (field.default, meant):
        raise InputError(f"{flag} contradicts {field.option.name} {value}", "use one of them")
    return meant


def _parameter(field: OptionField) -> inspect.Parameter:
    option, kind, default = field.option, field.type, field.default
    if option.commas:
        kind, default = str, ", ".join(map(str, default))  # with spaces, where the help can break it
    elif get_origin(kind) is tuple:
        kind, default = (list[str], []) if option.required else (list[str] | None, None)
    elif option.flag_for is not None:
        kind = str
    elif option.parse is not None:
        optional = type(None) in get_args(kind)
        kind, default = (str | None, None) if optional else (str, "")
    if option.required:
        default = inspect.Parameter.empty
        kind = str if kind == str | None else kind
    annotation = Annotated[kind, typer_parameter(option)]  # type: ignore[valid-type]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _console_parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _panel_number(parameter: inspect.Parameter) -> tuple[bool, int]:
    """Sort: arguments, options without a panel that are required, then panel by panel."""
    info = parameter.annotation.__metadata__[-1]
    required = parameter.default is inspect.Parameter.empty
    return not required, PANELS.index(getattr(info, "rich_help_panel", None))


def _value(field: OptionField, given: Any) -> Any:
    """Make a field's value of what the command line gave."""
    option = field.option
    if option.commas:
        words = (word.strip() for word in given.split(",") if word.strip())
        return tuple(_item(option, get_args(field.type)[0], word, given) for word in words)
    if option.parse is not None:
        return field.default if given is None else option.parse(given)
    if get_origin(field.type) is tuple:
        return tuple(given or ())
    return given


def _item(option: Option, kind: Any, word: str, given: str) -> Any:
    try:
        return kind(word)
    except ValueError:
        raise InputError(f"{option.name} {given}: not whole numbers", f"write {option.name} 1,2,3") from None


def refuse_remote(paths: tuple[str, ...], asset: tuple[str, ...] = ()) -> None:
    """Raise InputError for a scene, or an asset of a STAC item, that is not on this machine."""
    from bimors_cli.scene.gdal import display_name, is_local
    from bimors_cli.scene.stac_scene import is_stac, remote_sources
    from bimors_cli.scene.vrt import check_vrt_file

    for path in paths:
        if is_stac(path):
            for source in remote_sources(path, asset):
                raise InputError(f"--offline: {display_name(source)} is not on this machine", "copy it here first")
            continue
        if not is_local(path):
            raise InputError(f"--offline: {display_name(path)} is not on this machine", "copy it here first")
        for source in check_vrt_file(path) if os.path.isfile(path) else ():
            raise InputError(f"--offline: {path} refers to {display_name(source)}", "copy its sources here first")


def stay_off_the_network() -> None:
    """Keep the model libraries from asking their hubs, and quiet; they read this when they are imported."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    quiet_libraries()


def quiet_libraries() -> None:
    """Keep the model libraries from reporting to anyone; they read this when they are imported."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
