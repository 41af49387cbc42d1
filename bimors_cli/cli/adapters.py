"""`bimors adapters`: what was trained, and how it differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bimors_cli.cli import completion
from bimors_cli.cli.console import set_verbosity
from bimors_cli.cli.parameters import Json, Overwrite, Quiet, Verbose

app = typer.Typer(no_args_is_help=True, help="List, show, compare and carry what finetune trained.")
EXAMPLE = "Example: bimors adapters show coast"

Folder = Annotated[Path, typer.Argument(metavar="DIR", autocompletion=completion.adapters, help="An adapter's folder.")]
Zip = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="The zip file. Default: NAME.zip, here.")
]


@app.command("list", epilog="Example: bimors adapters list adapters")
def list_(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where they lie.")] = Path("adapters"),
    json_output: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """List the adapters in a folder."""
    set_verbosity(verbose, quiet)
    from bimors_cli.bundle.adapter_listing import accuracies, list_adapters

    found = [(adapter, accuracies(adapter)) for adapter in list_adapters(folder)]
    if json_output:
        rows = [
            {
                "path": adapter.folder.as_posix(),
                "head": adapter.head,
                "bundle": adapter.bundle,
                "labels": len(adapter.labels),
                **{f"right_on_{part}": share for part, share in shares.items()},
            }
            for adapter, shares in found
        ]
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    width = max((len(adapter.folder.as_posix()) for adapter, _ in found), default=0)
    for adapter, shares in found:
        told = ", ".join(f"{part} {100 * share:.1f} %" for part, share in shares.items())
        path = f"{adapter.folder.as_posix():{width}}"
        print(f"{path}  {adapter.head:7} {adapter.bundle:10} {len(adapter.labels):>4} labels  {told}".rstrip())


@app.command(epilog="Example: bimors adapters show coast")
def show(folder: Folder, json_output: Json = False, quiet: Quiet = False, verbose: Verbose = 0) -> None:
    """Show what an adapter is, how it was trained and what it is worth."""
    set_verbosity(verbose, quiet)
    from bimors_cli.bundle.adapter import read_adapter
    from bimors_cli.bundle.adapter_listing import accuracies, read_metrics

    adapter = read_adapter(folder)
    facts = {
        "name": adapter.name,
        "bundle": adapter.bundle,
        "bundle_sha256": adapter.bundle_sha256,
        "head": adapter.head,
        "cache": adapter.cache,
        "labels": list(adapter.labels),
        "temperature": adapter.temperature,
        "training": dict(adapter.training),
    }
    if json_output:
        print(json.dumps(facts | {"metrics": dict(read_metrics(adapter))}, indent=1, ensure_ascii=False))
        return
    told = {key: value for key, value in facts.items() if key not in ("labels", "training")}
    told |= {"labels": ", ".join(adapter.labels), **adapter.training}
    told |= {f"right on {part}": f"{100 * share:.1f} %" for part, share in accuracies(adapter).items()}
    width = max(map(len, told))
    for name, value in told.items():
        print(f"{name.replace('_', ' '):{width}}  {value}")


@app.command(epilog="Example: bimors adapters diff coast inland")
def diff(
    first: Folder,
    second: Folder,
    json_output: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Show what two adapters differ in; nothing if in nothing."""
    set_verbosity(verbose, quiet)
    from bimors_cli.bundle.adapter import read_adapter
    from bimors_cli.bundle.adapter_listing import differences

    found = differences(read_adapter(first), read_adapter(second))
    if json_output:
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return
    for name, (one, other) in found.items():
        print(f"{name}\n  {one}\n  {other}")


@app.command(epilog="Example: bimors adapters export coast -o coast.zip")
def export(
    folder: Folder,
    output: Zip = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Write an adapter as one zip file, to be unpacked on another machine."""
    set_verbosity(verbose, quiet)
    from bimors_cli.bundle.adapter import read_adapter
    from bimors_cli.bundle.adapter_listing import export_adapter
    from bimors_cli.output.atomic import replacing

    adapter = read_adapter(folder)
    target = Path(f"{adapter.name}.zip") if output is None else output
    with replacing(target, overwrite=overwrite) as built:
        export_adapter(adapter, built)
    print(target)
