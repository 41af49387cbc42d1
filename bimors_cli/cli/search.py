"""`bimors search`: tiles by a sentence, without classifying again."""

from __future__ import annotations

import json
import sys

from bimors_cli.cli import options
from bimors_cli.cli.classify import stay_off_the_network
from bimors_cli.cli.console import say, set_verbosity
from bimors_cli.errors import InputError

EXAMPLE = 'Example: bimors search out.gpkg "a road beside a field" --top 20 -o found.gpkg'


def search(
    layer_file: options.LayerFile,
    query: options.Query,
    top: options.Top = 50,
    output: options.FoundOutput = None,
    format: options.Format = None,
    layer: options.ShownLayer = None,
    model: options.MadeBy = None,
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
    from bimors_cli.pipeline.search import SearchOptions
    from bimors_cli.pipeline.search import search as run

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
