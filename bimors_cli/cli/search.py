"""`bimors search`: tiles by a sentence, without classifying again."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from bimors_cli.cli import completion, options
from bimors_cli.cli.classify import stay_off_the_network
from bimors_cli.cli.console import say, set_verbosity
from bimors_cli.errors import InputError

EXAMPLE = 'Example: bimors search out.gpkg "a road beside a field" --top 20 -o found.gpkg'

Query = Annotated[str, typer.Argument(metavar="TEXT", help="What the tiles should show, in a few words.")]
Top = Annotated[int, typer.Option("--top", metavar="N", help="How many tiles, the best first.")]
FoundOutput = Annotated[
    str | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="A layer of the best tiles, coloured by score; - streams GeoJSONSeq."
    ),
]
MadeBy = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME|DIR",
        autocompletion=completion.bundles,
        help="The bundle that made the layer, if it is elsewhere now.",
    ),
]


def search(
    layer_file: options.LayerFile,
    query: Query,
    top: Top = 50,
    output: FoundOutput = None,
    format: options.Format = None,
    layer: options.ShownLayer = None,
    model: MadeBy = None,
    as_json: options.Json = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Find the tiles that look most like a text, in a layer made with classify --keep-features.

    Without -o a table goes to standard output: rank, score, tile_id, label and caption, with tabs between them. The
    score is the cosine of text and picture: good for ranking, no probability; the best tiles of a scene that shows no
    such thing have a rank as well.
    """
    set_verbosity(verbose, quiet)
    stay_off_the_network()
    if as_json and output is not None:
        raise InputError("--json is the table, and -o the layer", "give one of them")
    from bimors_cli.results.search import SearchOptions
    from bimors_cli.results.search import search as run

    hits = run(
        SearchOptions(
            file=layer_file,
            query=query,
            top=top,
            layer=layer,
            model=model,
            output=output,
            format=format,
            overwrite=overwrite,
        ),
        command=sys.argv,
    )
    if as_json:
        print(json.dumps([hit.to_json() for hit in hits], ensure_ascii=False, indent=2))
    elif output is None:
        print("rank\tscore\ttile_id\tlabel\tcaption")
        for hit in hits:
            print(
                hit.rank,
                f"{hit.score:.4f}",
                hit.tile_id,
                hit.label or "",
                " ".join((hit.caption or "").split()),
                sep="\t",
            )
    elif output != "-":
        print(output)
    say(f"{len(hits):,} tiles found" + (f", scores {hits[0].score:.4f} to {hits[-1].score:.4f}" if hits else ""))
