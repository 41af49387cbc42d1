"""`bimors models`: bundles that can be had, fetched, checked and carried."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bimors_cli.cli import completion, models_import, models_new, models_recommend, models_try
from bimors_cli.cli.console import animates, say, set_verbosity, verbosity
from bimors_cli.cli.models_page import page, size_text, table
from bimors_cli.cli.parameters import Json, Offline, Overwrite, Quiet, Verbose
from bimors_cli.errors import InputError

app = typer.Typer(no_args_is_help=True, help="List, recommend, fetch, verify and transfer model bundles.")
EXAMPLE = "Example: bimors models list"

_NAME_HELP = "Name of a bundle, see bimors models list."
ToFetch = Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.fetchable, help=_NAME_HELP)]
Fetched = Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.fetched, help=_NAME_HELP)]
Captioner = Annotated[
    str | None,
    typer.Option(
        "--captioner",
        metavar="NAME",
        autocompletion=completion.captioners,
        help="Fetch the bundle with another captioner of the catalog, or without one: none.",
    ),
]
NameOrFolder = Annotated[
    str,
    typer.Argument(metavar="NAME|DIR", autocompletion=completion.bundles, help="A bundle: a name, or a folder."),
]
To = Annotated[
    Path | None,
    typer.Option("--to", metavar="DIR", help="Folder of the bundle. Default: NAME in the user's data folder."),
]
Pack = Annotated[Path, typer.Argument(metavar="FILE", help="A file that bimors models pack wrote.")]
PackOutput = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="Output file. Default: NAME.bimors.zip, in the current folder."
    ),
]


@app.command("list", epilog="Example: bimors models list --json")
def list_(json_output: Json = False, quiet: Quiet = False, verbose: Verbose = 0) -> None:
    """List the bundles that are part of bimors, those that can be fetched, and those that are installed."""
    set_verbosity(verbose, quiet)
    from bimors_cli.bundle.catalog import NO_CAPTIONER, captioners, entries
    from bimors_cli.bundle.listing import list_bundles

    rows = list_bundles()
    if json_output:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    for line in table(rows):
        print(line)
    say(
        "TO FETCH is what no installed bundle has. Bundles with another captioner, or none, may be smaller: "
        f"bimors models fetch NAME --captioner {'|'.join((*captioners(), NO_CAPTIONER))}"
    )
    say("MEMORY is about that on a CPU; bimors models show NAME says more, and why commercial use is yes, ask or no")
    never = [entry.name for entry in entries() if any(source.loaded is None for source in entry.parts.values())]
    if never:
        say(
            f"{len(never)} of {len(entries())} bundles of the catalog were never loaded by us, only rehearsed with "
            "small files of the same layout: bimors models try NAME makes a report for us"
        )


@app.command(epilog="Example: bimors models show georsclip-b32")
def show(name: NameOrFolder, json_output: Json = False, quiet: Quiet = False, verbose: Verbose = 0) -> None:
    """Show licences, training images, published accuracy and memory of a bundle, and the source of each fact."""
    set_verbosity(verbose, quiet)
    from bimors_cli.bundle.listing import bundle_info

    facts = bundle_info(name)
    if json_output:
        print(json.dumps(facts, indent=1, ensure_ascii=False))
        return
    for line in page(facts):
        print(line)


@app.command(epilog="Example: bimors models fetch georsclip-b32")
def fetch(
    name: ToFetch,
    captioner: Captioner = None,
    to: To = None,
    offline: Offline = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Download a bundle of the catalog, or a CLIP of open_clip or of the hub, and verify all its files.

    openclip:ARCHITECTURE/TAG is a pretrained CLIP of open_clip; hf:OWNER/NAME, or hf:OWNER/NAME@REVISION, a repository
    with CLIP or SigLIP weights in the layout of open_clip or transformers. Both come without captioner, unless
    --captioner names one. Code from a repository is never run.

    Files that an installed bundle already has are not downloaded again: bundles share them on the disk.

    Mirror, token and proxy are set as for huggingface_hub: HF_ENDPOINT, HF_TOKEN, HTTPS_PROXY. The same command resumes
    an interrupted download. Bundles are stored in the user's data folder, or in BIMORS_HOME.
    """
    set_verbosity(verbose, quiet)
    if offline:
        raise InputError(
            "--offline: a download needs the network", "transfer the bundle with bimors models pack and unpack"
        )
    from bimors_cli.bundle.fetch import fetch_bundle
    from bimors_cli.model.clip_check import check_clip
    from bimors_cli.pipeline.bundles.to_fetch import find_to_fetch

    wanted = find_to_fetch(name, captioner, to)
    for note in wanted.entry.notes:
        say(note)
    bar = verbosity() >= 0 and animates()
    bundle = fetch_bundle(wanted.entry, wanted.target, wanted.convert, say, progress=bar, check=check_clip)
    say(f"{bundle.name} is installed: bimors classify … --model {wanted.named if to is None else to}")
    print(bundle.folder)


@app.command(epilog="Example: bimors models verify mini")
def verify(name: NameOrFolder, quiet: Quiet = False, verbose: Verbose = 0) -> None:
    """Verify size and hash of every file of a bundle, and that its weights are finite."""
    set_verbosity(verbose, quiet)
    from bimors_cli.bundle.locate import find_bundle
    from bimors_cli.bundle.store import verify_bundle

    bundle = verify_bundle(find_bundle(name))
    size = sum(entry.size for entry in bundle.files)
    say(f"{bundle.name}: {len(bundle.files)} files, {size_text(size)}, all verified; sha256 {bundle.sha256}")
    print(bundle.folder)


@app.command(epilog="Example: bimors models remove georsclip-b32")
def remove(name: Fetched, quiet: Quiet = False, verbose: Verbose = 0) -> None:
    """Delete a fetched bundle, or the files of an interrupted download."""
    set_verbosity(verbose, quiet)
    from bimors_cli.bundle.store import remove_bundle

    say(f"{name} is deleted: {size_text(remove_bundle(name))} freed")


@app.command(epilog="Example: bimors models pack georsclip-b32 -o georsclip-b32.bimors.zip")
def pack(
    name: NameOrFolder,
    output: PackOutput = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Write a bundle to one file, to transfer it to a machine without a network."""
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
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Install a bundle from a file that bimors models pack wrote, and verify it."""
    set_verbosity(verbose, quiet)
    from bimors_cli.bundle.archive import unpack_bundle

    bundle = unpack_bundle(file, to, overwrite=overwrite)
    say(f"{bundle.name} is installed: bimors classify … --model {bundle.name if to is None else to}")
    print(bundle.folder)


app.command("new", epilog=models_new.EXAMPLE)(models_new.new)
app.command("import", epilog=models_import.EXAMPLE)(models_import.import_)
app.command("recommend", epilog=models_recommend.EXAMPLE)(models_recommend.recommend)
app.command("try", epilog=models_try.EXAMPLE)(models_try.try_)
