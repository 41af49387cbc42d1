"""`bimors adapters`: list, show and compare trained adapters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bimors_cli.cli import completion
from bimors_cli.cli.console import set_verbosity
from bimors_cli.cli.parameters import Json, Overwrite, Quiet, Verbose

app = typer.Typer(no_args_is_help=True, help="List, show, compare and export trained adapters.")
EXAMPLE = "Example: bimors adapters show coast"

Folder = Annotated[
    Path, typer.Argument(metavar="DIR", autocompletion=completion.adapters, help="Folder of an adapter.")
]
Zip = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Output file. Default: NAME.zip, in the current folder."),
]


@app.command("list", epilog="Example: bimors adapters list adapters")
def list_(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that contains them.")] = Path("adapters"),
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
                **{f"right_on_{part}": score for part, score in scores.items()},
            }
            for adapter, scores in found
        ]
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    width = max((len(adapter.folder.as_posix()) for adapter, _ in found), default=0)
    for adapter, scores in found:
        shown = ", ".join(f"{part} {100 * score:.1f} %" for part, score in scores.items())
        path = f"{adapter.folder.as_posix():{width}}"
        print(f"{path}  {adapter.head:7} {adapter.bundle:10} {len(adapter.labels):>4} labels  {shown}".rstrip())


@app.command(epilog="Example: bimors adapters show coast")
def show(folder: Folder, json_output: Json = False, quiet: Quiet = False, verbose: Verbose = 0) -> None:
    """Show head, labels, training and accuracy of an adapter, and the views that were tried."""
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
        "warnings": list(adapter.warnings),
    }
    if json_output:
        print(json.dumps(facts | {"metrics": dict(read_metrics(adapter))}, indent=1, ensure_ascii=False))
        return
    lines = {key: value for key, value in facts.items() if key not in ("labels", "training", "warnings")}
    lines |= {"labels": ", ".join(adapter.labels), **adapter.training}
    # The training of an adapter of views tells the expected accuracy with its interval.
    measured = {part: score for part, score in accuracies(adapter).items() if part != "expected"}
    lines |= {f"accuracy on {part}": f"{100 * score:.1f} %" for part, score in measured.items()}
    width = max(map(len, lines))
    for name, value in lines.items():
        print(f"{name.replace('_', ' '):{width}}  {value}")
    for text in adapter.warnings:
        print(f"{'warning':{width}}  {text}")
    metrics = read_metrics(adapter)
    if "candidates" in metrics:
        from bimors_cli.bundle.views_table import carrier_lines, table_lines

        print()
        for line in table_lines(metrics["candidates"], "views"):
            print(line)
        print()
        for line in carrier_lines(metrics["carriers"]):
            print(line)


@app.command(epilog="Example: bimors adapters diff coast inland")
def diff(
    first: Folder,
    second: Folder,
    json_output: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Show the differences of two adapters; nothing if there are none."""
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
    """Write an adapter to a zip file, to transfer it to another machine."""
    set_verbosity(verbose, quiet)
    from bimors_cli.bundle.adapter import read_adapter
    from bimors_cli.bundle.adapter_listing import export_adapter
    from bimors_cli.output.atomic import replacing

    adapter = read_adapter(folder)
    target = Path(f"{adapter.name}.zip") if output is None else output
    with replacing(target, overwrite=overwrite) as built:
        export_adapter(adapter, built)
    print(target)
