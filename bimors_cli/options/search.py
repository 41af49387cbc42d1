"""The options of `bimors search`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from bimors_cli.errors import InputError
from bimors_cli.options.common import FORMAT, OVERWRITE
from bimors_cli.options.layer import STDOUT
from bimors_cli.options.option import Option, Options
from bimors_cli.options.view import LAYER_FILE, LAYER_NAME

MOST_TILES = 10_000


@dataclass(frozen=True, kw_only=True)
class SearchOptions(Options):
    """The options of `bimors search`.

    ``layer`` is the layer to search in, ``output_layer`` the name of the layer that is written. Without ``output``
    nothing is written. ``model`` None is the bundle that computed the features, by its name. Either ``query`` is given,
    a text, or ``like``, ids of tiles.
    """

    file: Annotated[Path, LAYER_FILE] = Path()
    query: Annotated[str | None, Option("", "What the tiles should show, in a few words.", metavar="TEXT")] = None
    like: Annotated[
        tuple[str, ...],
        Option(
            "--like",
            "Instead of TEXT: find the tiles most like these, given by their tile_id. They are left out of the result.",
            metavar="TILE_ID,...",
            commas=True,
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
            "Write the best tiles as a layer, coloured by score. Use - to stream GeoJSONSeq.",
            metavar="FILE",
        ),
    ] = None
    format: Annotated[str | None, FORMAT] = None
    output_layer: str = "found"
    overwrite: Annotated[bool, OVERWRITE] = False

    def check_combination(self) -> None:
        super().check_combination()
        if self.like and self.query is not None:
            raise InputError("TEXT and --like are two ways to search", "use one of them")
        if self.like and self.model is not None:
            raise InputError("--like loads no model", "leave out --model")
        if self.format is not None and self.output is None:
            raise InputError("--format needs --output", "add -o FILE")
        if self.output not in (None, STDOUT) and Path(str(self.output)).resolve() == self.file.resolve():
            raise InputError(f"{self.output} is the file that is searched", "use another -o")

    def check_required(self) -> None:
        super().check_required()
        if self.query is None and not self.like:
            raise InputError(
                "nothing to search for", "write what the tiles should show, or give tiles of that kind: --like TILE_ID"
            )
        if self.query is not None and not self.query.strip():
            raise InputError("the search text is empty", 'write what the tiles should show: "a bridge over a river"')
