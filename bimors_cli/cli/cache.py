"""`bimors cache`: the captions and features that later runs reuse."""

from __future__ import annotations

import json

import typer

from bimors_cli.cli.console import say, set_verbosity
from bimors_cli.cli.parameters import Json, Quiet, Verbose

app = typer.Typer(no_args_is_help=True, help="Show or clear the cache of captions and image features.")
EXAMPLE = "Example: bimors cache info"


@app.command(epilog="Example: bimors cache info")
def info(json_output: Json = False, quiet: Quiet = False, verbose: Verbose = 0) -> None:
    """Show path, size and contents of the cache, by captioner and last use.

    Next to captions it holds features: CLIP's image features and the prompt contexts of adapters. With both, a run with
    other labels needs neither the captioner nor the image encoder.

    BIMORS_CACHE sets the folder, BIMORS_CACHE_SIZE the size limit (1GiB; 0 disables the cache).
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
    print(f"features  {facts.features:,} (image features, and prompt contexts of adapters)")
    print(f"size      {facts.bytes / 1e6:,.1f} MB of at most {facts.limit / 1e6:,.1f} MB")
    for source, entries, oldest, newest in facts.sources:
        who = f"{source.bundle} ({source.captioner:.12}), {source.settings}"
        print(f"{who}: {entries:,} captions, used {oldest:%Y-%m-%d %H:%M} to {newest:%Y-%m-%d %H:%M} UTC")


@app.command(epilog="Example: bimors cache clear")
def clear(quiet: Quiet = False, verbose: Verbose = 0) -> None:
    """Empty the cache. A damaged cache is deleted."""
    set_verbosity(verbose, quiet)
    from bimors_cli.pipeline.inference.caption_cache import clear_cache

    entries, size = clear_cache()
    what = "a damaged cache" if entries is None else f"{entries:,} captions"
    say(f"deleted {what}: {size / 1e6:.1f} MB freed")
