"""`bimors cache`: the captions and gists that later runs need not make again."""

from __future__ import annotations

import json

import typer

from bimors_cli.cli import options
from bimors_cli.cli.console import say, set_verbosity

app = typer.Typer(no_args_is_help=True, help="Look at what is kept of pictures for later runs, or clear it.")
EXAMPLE = "Example: bimors cache info"


@app.command(epilog="Example: bimors cache info")
def info(json_output: options.Json = False, quiet: options.Quiet = False, verbose: options.Verbose = 0) -> None:
    """Show where captions are kept, how many there are, of which captioner, and when they were used last.

    Beside them lie gists: what CLIP and an adapter made of a picture. With both, other labels need neither captioner
    nor image tower.

    BIMORS_CACHE is the folder, BIMORS_CACHE_SIZE the most that it may take (1GiB; 0 for no cache).
    """
    set_verbosity(verbose, quiet)
    from bimors_cli.pipeline.inference.caption_cache import cache_facts

    facts = cache_facts()
    if json_output:
        captioners = [
            {
                "bundle": source.bundle,
                "captioner_sha256": source.captioner,
                "settings": source.settings,
                "entries": entries,
                "oldest": oldest.isoformat(),
                "newest": newest.isoformat(),
            }
            for source, entries, oldest, newest in facts.sources
        ]
        sizes = {"entries": facts.entries, "gists": facts.features, "bytes": facts.bytes, "limit": facts.limit}
        print(json.dumps({"path": str(facts.path), **sizes, "captioners": captioners}, indent=1, ensure_ascii=False))
        return
    print(f"path      {facts.path}")
    print(f"captions  {facts.entries:,}")
    print(f"gists     {facts.features:,} (image features, and contexts of adapters)")
    print(f"size      {facts.bytes / 1e6:,.1f} MB of at most {facts.limit / 1e6:,.1f} MB")
    for source, entries, oldest, newest in facts.sources:
        who = f"{source.bundle} ({source.captioner:.12}), {source.settings}"
        print(f"{who}: {entries:,} captions, used {oldest:%Y-%m-%d %H:%M} to {newest:%Y-%m-%d %H:%M} UTC")


@app.command(epilog="Example: bimors cache clear")
def clear(quiet: options.Quiet = False, verbose: options.Verbose = 0) -> None:
    """Empty it; one that is damaged is deleted."""
    set_verbosity(verbose, quiet)
    from bimors_cli.pipeline.inference.caption_cache import clear_cache

    entries, size = clear_cache()
    what = "a damaged cache is" if entries is None else f"{entries:,} captions are"
    say(f"{what} gone; {size / 1e6:.1f} MB are free again")
