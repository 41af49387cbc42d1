"""`bimors search`: find tiles by a text or by tiles like them, without classifying again."""

from __future__ import annotations

import json
import sys

from bimors_cli.cli.command import command
from bimors_cli.cli.console import say
from bimors_cli.cli.parameters import Json
from bimors_cli.errors import InputError
from bimors_cli.options.layer import STDOUT
from bimors_cli.options.search import SearchOptions

EXAMPLE = 'Example: bimors search out.gpkg "a road next to a field" --top 20 -o found.gpkg'


@command(SearchOptions)
def search(options: SearchOptions, as_json: Json = False) -> None:
    """Find the tiles that match a text or other tiles best, in a layer written with classify --keep-features.

    Without -o a tab-separated table is written to standard output: rank, score, tile_id, label and caption. The score
    is the cosine similarity of text and image, or with --like that of a tile and the query, relative to the mean of all
    tiles. It ranks tiles and is not a probability: the best tiles have a rank even where the scene shows nothing of the
    kind.

    --like needs no model, and works for every adapter, also for those of --model bands.

    The layer of -o has a column accept. Set it in QGIS to yes (1) or no (0), then search again with --from, or learn
    the class with bimors finetune.
    """
    if as_json and options.output is not None:
        raise InputError("--json writes a table and -o a layer", "use one of them")
    from bimors_cli.results.search import search as run

    hits = run(options, command=sys.argv)
    if as_json:
        print(json.dumps([hit.to_json() for hit in hits], ensure_ascii=False, indent=2))
    elif options.output is None:
        print("rank\tscore\ttile_id\tlabel\tcaption")
        for hit in hits:
            caption = " ".join((hit.caption or "").split())
            print(hit.rank, f"{hit.score:.4f}", hit.tile_id, hit.label or "", caption, sep="\t")
    elif options.output != STDOUT:
        print(options.output)
    say(f"{len(hits):,} tiles found" + (f", scores {hits[0].score:.4f} to {hits[-1].score:.4f}" if hits else ""))
