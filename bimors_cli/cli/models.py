"""`bimors models`: bundles that can be had, fetched, checked and carried."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bimors_cli.cli import completion, models_import, models_new, options
from bimors_cli.cli.console import err, say, set_verbosity, verbosity
from bimors_cli.errors import InputError

app = typer.Typer(no_args_is_help=True, help="List, fetch, check and carry the models that bimors classifies with.")
EXAMPLE = "Example: bimors models list"

_NAME_HELP = "A bundle's name, see bimors models list."
ToFetch = Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.fetchable, help=_NAME_HELP)]
Fetched = Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.fetched, help=_NAME_HELP)]
NameOrFolder = Annotated[
    str,
    typer.Argument(metavar="NAME|DIR", autocompletion=completion.bundles, help="A bundle: a name, or a folder."),
]
To = Annotated[
    Path | None,
    typer.Option("--to", metavar="DIR", help="The bundle's folder. Default: NAME among the fetched bundles."),
]
Pack = Annotated[Path, typer.Argument(metavar="FILE", help="A file of bimors models pack.")]
PackOutput = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="The file. Default: NAME.bimors.zip, here.")
]


@app.command("list", epilog="Example: bimors models list --json")
def list_(json_output: options.Json = False, quiet: options.Quiet = False, verbose: options.Verbose = 0) -> None:
    """List the bundle that comes with bimors, those that can be fetched, and those that are there."""
    set_verbosity(verbose, quiet)
    from bimors_cli.bundle.listing import list_bundles

    rows = list_bundles()
    if json_output:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    width = max(len(row["name"]) for row in rows)
    print(f"{'NAME':{width}}  {'':9}  {'SIZE':>9}  {'TOKENS':>6}  DESCRIPTION; LICENCE")
    for row in rows:
        size = f"{'' if row['size_is_known'] else '> '}{_size(row['size'])}"
        here = "installed" if row["installed"] else ""
        tokens = row["context_length"] or ""
        print(f"{row['name']:{width}}  {here:9}  {size:>9}  {tokens:>6}  {row['description']}; {row['licence']}")
    say("TOKENS is what a prompt may have; bimors models show NAME tells more, and which are strong on remote sensing")


@app.command(epilog="Example: bimors models show georsclip-b32")
def show(
    name: NameOrFolder, json_output: options.Json = False, quiet: options.Quiet = False, verbose: options.Verbose = 0
) -> None:
    """Show where a bundle comes from, its terms, what it is worth, and whether it is there."""
    set_verbosity(verbose, quiet)
    from bimors_cli.bundle.listing import bundle_info

    facts = bundle_info(name)
    if json_output:
        print(json.dumps(facts, indent=1, ensure_ascii=False))
        return
    told = list(_told(facts))
    width = max(len(key) for key, _ in told)
    for key, value in told:
        print(f"{key:{width}}  {value}")


@app.command(epilog="Example: bimors models fetch georsclip-b32")
def fetch(
    name: ToFetch,
    to: To = None,
    offline: options.Offline = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Fetch a bundle of the catalogue and check every file of it.

    Mirror, token and proxy are those of huggingface_hub: HF_ENDPOINT, HF_TOKEN, HTTPS_PROXY. A fetch that was
    interrupted goes on with the same command. Bundles lie in the user's data folder, or in BIMORS_HOME.
    """
    set_verbosity(verbose, quiet)
    if offline:
        raise InputError("--offline, but fetching needs the network", "carry the bundle: bimors models pack, unpack")
    from bimors_cli.bundle.catalog import entry_of
    from bimors_cli.bundle.fetch import fetch_bundle
    from bimors_cli.bundle.store import bundle_folder
    from bimors_cli.model.pickle_to_safetensors import pickle_to_safetensors

    entry = entry_of(name)
    target = bundle_folder(name) if to is None else to
    for note in entry.notes:
        say(note)
    bar = verbosity() >= 0 and err.is_terminal
    bundle = fetch_bundle(entry, target, pickle_to_safetensors, say, progress=bar)
    say(f"{bundle.name} is there: bimors classify … --model {name if to is None else to}")
    print(bundle.folder)


@app.command(epilog="Example: bimors models verify mini")
def verify(name: NameOrFolder, quiet: options.Quiet = False, verbose: options.Verbose = 0) -> None:
    """Check every file of a bundle: size, hash, and that its weights are finite numbers."""
    set_verbosity(verbose, quiet)
    from bimors_cli.bundle.locate import find_bundle
    from bimors_cli.bundle.store import verify_bundle

    bundle = verify_bundle(find_bundle(name))
    size = sum(entry.size for entry in bundle.files)
    say(f"{bundle.name}: {len(bundle.files)} files, {_size(size)}, all as promised; sha256 {bundle.sha256}")
    print(bundle.folder)


@app.command(epilog="Example: bimors models remove georsclip-b32")
def remove(name: Fetched, quiet: options.Quiet = False, verbose: options.Verbose = 0) -> None:
    """Remove a fetched bundle, or what an interrupted fetch of it left."""
    set_verbosity(verbose, quiet)
    from bimors_cli.bundle.store import remove_bundle

    say(f"{name} is gone; {_size(remove_bundle(name))} are free again")


@app.command(epilog="Example: bimors models pack georsclip-b32 -o georsclip-b32.bimors.zip")
def pack(
    name: NameOrFolder,
    output: PackOutput = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Write a bundle as one file, to carry to a machine without a network."""
    set_verbosity(verbose, quiet)
    from bimors_cli.bundle.archive import pack_bundle
    from bimors_cli.bundle.locate import find_bundle
    from bimors_cli.bundle.manifest import read_bundle
    from bimors_cli.output.atomic import replacing

    folder = find_bundle(name)
    target = Path(f"{read_bundle(folder).name}.bimors.zip") if output is None else output
    with replacing(target, overwrite=overwrite) as built:
        pack_bundle(folder, built)
    print(target)


@app.command(epilog="Example: bimors models unpack georsclip-b32.bimors.zip")
def unpack(
    file: Pack,
    to: To = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Take a bundle out of the file that bimors models pack wrote, and check it."""
    set_verbosity(verbose, quiet)
    from bimors_cli.bundle.archive import unpack_bundle

    bundle = unpack_bundle(file, to, overwrite=overwrite)
    say(f"{bundle.name} is there: bimors classify … --model {bundle.name if to is None else to}")
    print(bundle.folder)


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _told(facts: dict[str, Any]) -> Any:
    for key, value in facts.items():
        if key == "size_is_known":
            continue
        label = key.replace("_", " ")
        if key == "size":
            yield label, f"{'' if facts['size_is_known'] else 'more than '}{_size(value)}"
        elif isinstance(value, list):
            yield from ((label, line) for line in value)
        elif isinstance(value, dict):
            yield from ((f"{label}, {part}", line) for part, line in value.items())
        elif isinstance(value, bool):
            yield label, "yes" if value else "no"
        elif value is not None:
            yield label, value


app.command("new", epilog=models_new.EXAMPLE)(models_new.new)
app.command("import", epilog=models_import.EXAMPLE)(models_import.import_)
