"""The header of a shard's journal: options and command, so that another machine can repeat the run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from bimors_cli.errors import InputError
from bimors_cli.options.captions import ALL, DEFAULT_DOUBTFUL_BELOW, NONE
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.options.shard import Shard
from bimors_cli.pipeline.checkpoint.journal_format import ShardHeader
from bimors_cli.redact import redact
from bimors_cli.scene.gdal import is_local

# Left out at their defaults, as in journals of versions without these options.
_NEW: Final = {
    "priors": None,
    "novelty": False,
    "unlike_examples": None,
    "coverage": None,
    "doubtful_below": DEFAULT_DOUBTFUL_BELOW,
}


def shard_header(options: ClassifyOptions, shard: Shard, command: Sequence[str]) -> ShardHeader:
    """Return the header of a shard's journal: the options and the command of its run."""
    # Secrets in URLs stay out of a file that is copied and kept.
    redacted = replace(
        options,
        scenes=tuple(map(_redact_url, options.scenes)),
        aoi=None if options.aoi is None else _redact_url(options.aoi),
    )
    values = to_json(redacted)
    # Earlier versions, which can read the journal too, had true and false only.
    values["captions"] = {ALL: True, NONE: False}.get(values["captions"], values["captions"])
    for name, default in _NEW.items():
        if values[name] == default:
            del values[name]
    return ShardHeader(shard, values, tuple(map(redact, command)))


def options_of(values: Mapping[str, Any], **other: Any) -> ClassifyOptions:
    """Return the options of classify that a header holds, with ``other`` in place of some.

    Raises
    ------
    InputError
        The values are not options of classify, or do not go together.
    """
    try:
        options: ClassifyOptions = from_json(ClassifyOptions, values)
    except InputError as error:
        raise InputError(f"the options in the shards' journals are invalid: {error.message}", error.hint) from error
    return replace(options, **other)


def to_json(options: Any) -> Any:
    """Return options as JSON values: a dataclass becomes an object, a tuple an array."""
    if is_dataclass(options):
        return {field.name: to_json(getattr(options, field.name)) for field in fields(options)}
    if isinstance(options, tuple | list):
        return [to_json(value) for value in options]
    return os.fspath(options) if isinstance(options, os.PathLike) else options


def from_json(hint: Any, value: Any, name: str = "") -> Any:
    """Invert `to_json`. Unknown names are ignored, and missing ones have their defaults.

    Parameters
    ----------
    hint : type
        A dataclass, or the type of one of its fields.
    value
        JSON values.
    name : str
        Name of the field, for messages.

    Raises
    ------
    InputError
        A value is missing or has another type, or the dataclass refuses its values.
    """
    kind, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        hints = get_type_hints(hint)
        found = {}
        for field in fields(hint):
            where = f"{name}.{field.name}" if name else field.name
            if field.name in value:
                found[field.name] = from_json(hints[field.name], value[field.name], where)
            elif _is_required(field):
                raise InputError(f"{where}: missing")
        return hint(**found)
    if kind is tuple and isinstance(value, list | tuple):
        return tuple(from_json(arguments[0], each, f"{name}.{i}") for i, each in enumerate(value))
    if kind in (Union, UnionType):
        if value is None and NoneType in arguments:
            return None
        first, *others = (each for each in arguments if each is not NoneType)
        if not others:
            return from_json(first, value, name)
        if type(value) in (first, *others):
            return value
    if kind is Literal and value in arguments:
        return value
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if hint in (str, int, bool) and type(value) is hint:
        return value
    raise InputError(f"{name or 'options'}: not {_described(hint)}")


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _described(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_described(each) for each in get_args(hint))
    names = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}
    return names.get(hint, "an array" if get_origin(hint) is tuple else "an object")


def command_of(header: ShardHeader, shard: Shard, *more: str) -> list[str]:
    """Return the command that processes another shard of the same run, as words; ``more`` are options to add."""
    old, new = str(header.shard), str(shard)
    words = ["bimors", *(header.command[1:] or ("classify", "..."))]
    if "--resume" in more:
        words = [word for word in words if word != "--overwrite"]
    changed = [new if word == old else f"--shard={new}" if word == f"--shard={old}" else word for word in words]
    if changed == words and old != new:
        changed += ["--shard", new]
    return [*changed, *(word for word in more if word not in changed)]


def _redact_url(path: str) -> str:
    return path if is_local(path) else redact(path)
