"""The options of `bimors merge`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from bimors_cli.errors import InputError
from bimors_cli.options.common import FORMAT, OVERWRITE
from bimors_cli.options.layer import STDOUT
from bimors_cli.options.option import INPUT, OUTPUT, RUN, Option, Options
from bimors_cli.options.parse import expand_globs


@dataclass(frozen=True, kw_only=True)
class MergeOptions(Options):
    """The options of `bimors merge`.

    ``format`` and ``layer`` None are those of the shards, unless the suffix of ``output`` means another format.
    """

    output: Annotated[
        str,
        Option("", "Output file of the layer: any name that classify -o takes but -.", metavar="OUT", required=True),
    ] = ""
    journals: Annotated[
        tuple[str, ...],
        Option(
            "",
            "The journals of all shards of one run. Shell patterns are expanded.",
            metavar="JOURNAL",
            required=True,
            parse=expand_globs,
        ),
    ] = ()
    format: Annotated[str | None, FORMAT] = None
    layer: Annotated[
        str | None,
        Option("--layer", "Name of the output layer. Default: that of the shards.", metavar="NAME", panel=OUTPUT),
    ] = None
    scenes: Annotated[
        tuple[str, ...],
        Option(
            "--scene",
            "Path of a scene on this machine, if it differs; scenes are matched by file name. Repeat it for several.",
            metavar="PATH",
            panel=INPUT,
        ),
    ] = ()
    aoi: Annotated[
        str | None,
        Option("--aoi", "Path of the AOI on this machine, if it differs.", metavar="FILE[:LAYER]", panel=INPUT),
    ] = None
    model: Annotated[
        str | None,
        Option(
            "--model", "The bundle on this machine, if its name or folder differs.", metavar="NAME|DIR", panel=INPUT
        ),
    ] = None
    adapter: Annotated[
        str | None,
        Option("--adapter", "Folder of the adapter on this machine, if it differs.", metavar="DIR", panel=INPUT),
    ] = None
    overwrite: Annotated[bool, OVERWRITE] = False
    keep_journals: Annotated[
        bool, Option("--keep-journals", "Do not delete the journals after the merge.", panel=RUN)
    ] = False

    def check_combination(self) -> None:
        super().check_combination()
        if Path(self.output) == Path(STDOUT):
            raise InputError(
                "shards are merged into a file, not into a stream", "use: bimors merge out.gpkg JOURNAL..."
            )
