"""What a shard's journal tells of where it comes from, so that its run can be made again from it alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bimors_cli.errors import InputError
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.options.shard import Shard
from bimors_cli.pipeline.checkpoint.journal_format import ShardHeader
from bimors_cli.redact import redact
from bimors_cli.scene.gdal import is_local


def shard_header(options: ClassifyOptions, shard: Shard, command: Sequence[str]) -> ShardHeader:
    """Tell where a shard's journal comes from: the options and the command of its run."""
    from pydantic import TypeAdapter

    # What an address holds of secrets stays out of a file that is copied and kept.
    shown = replace(
        options, scenes=tuple(map(_shown, options.scenes)), aoi=None if options.aoi is None else _shown(options.aoi)
    )
    values = TypeAdapter(type(options)).dump_python(shown, mode="json")
    return ShardHeader(shard, values, tuple(map(redact, command)))


def options_of(values: Mapping[str, Any], **other: Any) -> ClassifyOptions:
    """Make the options of classify again, with ``other`` in place of some.

    Raises
    ------
    InputError
        These are no options, or they do not go together.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return replace(TypeAdapter(ClassifyOptions).validate_python(values, strict=False), **other)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"the options of the shards cannot be used here: {where}: {first['msg']}") from error


def command_of(origin: ShardHeader, shard: Shard, *more: str) -> list[str]:
    """Return the command that makes another shard of the same run, as words; ``more`` are options to add."""
    old, new = str(origin.shard), str(shard)
    words = ["bimors", *(origin.command[1:] or ("classify", "..."))]
    if "--resume" in more:
        words = [word for word in words if word != "--overwrite"]
    changed = [new if word == old else f"--shard={new}" if word == f"--shard={old}" else word for word in words]
    if changed == words and old != new:
        changed += ["--shard", new]
    return [*changed, *(word for word in more if word not in changed)]


def _shown(path: str) -> str:
    return path if is_local(path) else redact(path)
