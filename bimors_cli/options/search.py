"""The options of `bimors search`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from bimors_cli.errors import InputError
from bimors_cli.options.common import FORMAT, OVERWRITE
from bimors_cli.options.layer import STDOUT
from bimors_cli.options.option import Option, Options
from bimors_cli.options.parse import parse_tile_ids
from bimors_cli.options.view import LAYER_FILE, LAYER_NAME

MOST_TILES = 10_000


@dataclass(frozen=True, kw_only=True)
class SearchOptions(Options):
    """The options of `bimors search`.

    ``layer`` is the layer to search in, ``output_layer`` the name of the layer that is written. Without ``output``
    nothing is written. ``model`` None is the bundle that computed the features, by its name. At least one of ``query``,
    a text, ``like``, ids of tiles, and ``judged``, files of earlier searches, is given.
    """

    file: Annotated[Path, LAYER_FILE] = Path()
    query: Annotated[str | None, Option("", "What the tiles should show, in a few words.", metavar="TEXT")] = None
    like: Annotated[
        tuple[str, ...],
        Option(
            "--like",
            "Find the tiles most like this one, given by its tile_id. Repeat the option for several. Together with "
            "TEXT, both count. Given tiles are left out of the result.",
            metavar="TILE_ID",
            parse=parse_tile_ids,
        ),
    ] = ()
    unlike: Annotated[
        tuple[str, ...],
        Option(
            "--unlike",
            "With --like: a tile of another kind, which looks similar. Repeat the option for several.",
            metavar="TILE_ID",
            parse=parse_tile_ids,
        ),
    ] = ()
    judged: Annotated[
        tuple[str, ...],
        Option(
            "--from",
            "A layer that an earlier search wrote and in which you accepted and rejected tiles: search again, with the "
            "accepted ones as --like and the rejected ones as --unlike. Repeat the option for several.",
            metavar="FILE",
        ),
    ] = ()
    top: Annotated[
        int, Option("--top", "Number of tiles, best first.", metavar="N", minimum=1, maximum=MOST_TILES)
    ] = 50  # fmt: skip
    layer: Annotated[str | None, LAYER_NAME] = None
    model: Annotated[
        str | None,
        Option(
            "--model",
            "For TEXT: the bundle that computed the features, if its name or folder differs now.",
            metavar="NAME|DIR",
            complete="bundles",
        ),
    ] = None
    output: Annotated[
        str | None,
        Option(
            "-o --output",
            "Write the best tiles as a layer, coloured by score, in which you can accept and reject tiles for "
            "bimors finetune. Use - to stream GeoJSONSeq.",
            metavar="FILE",
        ),
    ] = None
    accepted_as: Annotated[
        str | None,
        Option(
            "--as",
            "With -o: the class of the tiles that you will accept. Default: that of --from, otherwise TEXT.",
            metavar="NAME",
        ),
    ] = None
    format: Annotated[str | None, FORMAT] = None
    output_layer: str = "found"
    overwrite: Annotated[bool, OVERWRITE] = False

    def check_combination(self) -> None:
        super().check_combination()
        for tile_id in self.like:
            if tile_id in self.unlike:
                raise InputError(f"--like and --unlike both have the tile {tile_id}", "use one of them")
        if self.model is not None and self.query is None and (self.like or self.judged):
            raise InputError("--like loads no model", "leave out --model")
        for value, name in ((self.format, "--format"), (self.accepted_as, "--as")):
            if value is not None and self.output is None:
                raise InputError(f"{name} needs --output", "add -o FILE")
        if self.accepted_as is not None and not self.accepted_as.strip():
            raise InputError("--as: the name of the class is empty", 'name it: --as "solar farm"')
        self._check_output()

    def _check_output(self) -> None:
        if self.output in (None, STDOUT):
            return
        output = Path(str(self.output)).resolve()
        if output == self.file.resolve():
            raise InputError(f"{self.output} is the file that is searched", "use another -o")
        if output in [Path(name).resolve() for name in self.judged]:
            raise InputError(f"{self.output} is read with --from, and holds what you accepted", "use another -o")

    def check_required(self) -> None:
        super().check_required()
        if self.query is not None and not self.query.strip():
            raise InputError("the search text is empty", 'write what the tiles should show: "a bridge over a river"')
        if self.unlike and not (self.like or self.judged):
            raise InputError("--unlike needs --like", "add --like TILE_ID, a tile as those to find")
        if self.query is None and not self.like and not self.judged:
            raise InputError(
                "nothing to search for", "write what the tiles should show, or give tiles of that kind: --like TILE_ID"
            )
