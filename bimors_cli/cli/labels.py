"""`bimors labels`: the wordlists, and one of them as a labels file."""

from __future__ import annotations

import json as json_text
from typing import Annotated

import typer

from bimors_cli.cli import completion
from bimors_cli.cli.command import command
from bimors_cli.cli.parameters import Json

EXAMPLE = "Example: bimors labels nlcd"

Name = Annotated[
    str | None,
    typer.Argument(metavar="NAME", autocompletion=completion.wordlists, help="A wordlist. Default: list all."),
]


@command()
def labels(name: Name = None, json: Json = False) -> None:
    """List the wordlists, the class names of well-known land cover maps, or write one as a labels file.

    A wordlist is used by its name: bimors classify scene.tif --labels worldcover. Its colours are those of the map. To
    change it, write it to a file, edit the file and use that: bimors labels nlcd > mine.csv
    """
    from bimors_cli.wordlists import read_wordlist, wordlist_names

    if name is not None:
        chosen = read_wordlist(name)
        rows = [{"name": label, "color": colour} for label, colour in chosen.classes.items()]
        print(
            json_text.dumps(rows, indent=1, ensure_ascii=False) if json else chosen.as_csv(), end="\n" if json else ""
        )
        return
    found = [read_wordlist(each) for each in wordlist_names()]
    if json:
        facts = [
            {"name": one.name, "title": one.title, "source": one.source, "labels": len(one.classes)} for one in found
        ]
        print(json_text.dumps(facts, indent=1, ensure_ascii=False))
        return
    width = max(len(one.name) for one in found)
    for one in found:
        print(f"{one.name:{width}}  {len(one.classes):>2} labels  {one.title}")
