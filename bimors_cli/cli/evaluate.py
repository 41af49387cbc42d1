"""`bimors evaluate`: heads compared on data sets, or a classified layer checked against a reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bimors_cli.cli import completion, options
from bimors_cli.cli.classify import refuse_remote, stay_off_the_network
from bimors_cli.cli.console import CompareProgress, duration, say, set_verbosity, show_table
from bimors_cli.cli.signals import graceful_stop
from bimors_cli.errors import InputError

EXAMPLE = "Example: bimors evaluate out.gpkg --reference train.gpkg --field class"

_COMPARISON, _MAP = "Heads on data sets", "A layer and a reference"

Data = Annotated[
    list[str],
    typer.Argument(
        metavar="DATA",
        help="Folders of classes and split files (.json) to compare heads on; or one layer that classify wrote.",
    ),
]
Protocol = Annotated[
    str,
    typer.Option(
        "--protocol",
        metavar="NAMES",
        rich_help_panel=_COMPARISON,
        autocompletion=completion.protocols,
        help="base-to-new, cross-dataset, domain-generalization or plain; several with commas.",
    ),
]
Heads = Annotated[
    str,
    typer.Option(
        "--heads",
        metavar="NAMES",
        rich_help_panel=_COMPARISON,
        autocompletion=completion.compared_heads,
        help="What is compared, with commas; bimors+cache, bimors:no-captions, bimors:tokens=8, bimors:transductive, "
        "zero-shot:one-template and the like as well.",
    ),
]
ShotsList = Annotated[
    str,
    typer.Option("--shots", metavar="K,…", rich_help_panel=_COMPARISON, help="Examples a class to learn from; 0: all."),
]
Seeds = Annotated[
    str,
    typer.Option("--seeds", metavar="N,…", rich_help_panel=_COMPARISON, help="Each head learns once for each."),
]
ImagesList = Annotated[
    list[str] | None,
    typer.Option(
        "--images",
        metavar="DIR",
        rich_help_panel=_COMPARISON,
        help="Pictures of a split file; else images/ beside it. Repeat it for several, in their order.",
    ),
]
Evidence = Annotated[
    str | None,
    typer.Option(
        "--evidence",
        metavar="DIR",
        rich_help_panel=_COMPARISON,
        help="Keep here what the models saw, captions and features, so that other runs need not look again.",
    ),
]
OfficialQuirks = Annotated[
    bool,
    typer.Option(
        "--official-quirks",
        rich_help_panel=_COMPARISON,
        help="Do as the published code: epoch chosen on test pictures, random frozen projection, float16.",
    ),
]
Reference = Annotated[
    str | None,
    typer.Option("--reference", metavar="FILE", rich_help_panel=_MAP, help="Polygons or points with the true class."),
]
ReferenceField = Annotated[
    str | None,
    typer.Option("--field", metavar="NAME", rich_help_panel=_MAP, help="The field that holds the class."),
]
ReferenceLayer = Annotated[
    str | None,
    typer.Option("--reference-layer", metavar="NAME", rich_help_panel=_MAP, help="Of a reference with several layers."),
]
CheckedLayer = Annotated[
    str | None,
    typer.Option("--layer", metavar="NAME", rich_help_panel=_MAP, help="Of a file with several layers."),
]
ResultsOutput = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="DIR",
        rich_help_panel=options.OUTPUT,
        help="The folder of the results. Default: results, here; of a layer, none.",
    ),
]


def evaluate(
    data: Data,
    protocol: Protocol = "base-to-new",
    heads: Heads = "zero-shot,coop,cocoop,bimors,cache,linear",
    shots: ShotsList = "16",
    seeds: Seeds = "1,2,3",
    images: ImagesList = None,
    epochs: options.Epochs = 10,
    batch_size: options.TrainingBatch = 4,
    official_quirks: OfficialQuirks = False,
    reference: Reference = None,
    field: ReferenceField = None,
    reference_layer: ReferenceLayer = None,
    layer: CheckedLayer = None,
    min_overlap: options.MinOverlap = 0.5,
    json: options.Json = False,
    output: ResultsOutput = None,
    evidence: Evidence = None,
    model: options.Model = "mini",
    bidx: options.Bidx = None,
    stretch: options.StretchOption = "auto",
    nodata: options.Nodata = None,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    offline: options.Offline = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Compare heads on data sets of labelled pictures, or check a classified layer against polygons or points.

    On data sets every head learns from a few examples, once for each seed, and is then asked about test pictures, as
    the protocol has it. Any head may end in :transductive: then its answers to all test pictures of a question are
    refined together. zero-shot reads labels in all templates of the bundle, zero-shot:one-template in one. The tables
    say how often a head is right, and by ECE how far its confidence is from that.

    The results go to a folder, whose path goes to standard output, everything else to standard error. A trial that is
    finished is never repeated: go on with --resume, also with more heads, shots or seeds.
    """
    set_verbosity(verbose, quiet)
    stay_off_the_network()
    if offline:
        refuse_remote(tuple(data))
    if reference is not None:
        if len(data) > 1:
            raise InputError(f"--reference checks one layer, not {len(data)}", "bimors evaluate out.gpkg --reference …")
        if field is None:
            raise InputError("--reference needs --field", "name the field of the reference that holds the class")
        from bimors_cli.cli.evaluate_map import evaluate_map

        evaluate_map(
            data[0],
            reference=reference,
            field=field,
            layer=layer,
            reference_layer=reference_layer,
            min_overlap=min_overlap,
            output=None if output is None else Path(output),
            json=json,
            overwrite=overwrite,
        )
        return
    if any(name.lower().endswith(".gpkg") for name in data):
        raise InputError(
            f"{data[0]}: a layer is checked against a reference", "add --reference truth.gpkg --field class"
        )

    from bimors_cli.evaluation.options import EvaluateOptions
    from bimors_cli.scene.bands import parse_bidx

    chosen = EvaluateOptions(
        sources=tuple(data),
        images=tuple(images or ()),
        protocols=_words(protocol),
        heads=_words(heads),
        shots=_numbers("--shots", shots),
        seeds=_numbers("--seeds", seeds),
        epochs=epochs,
        batch_size=batch_size,
        output=output or "results",
        evidence=evidence,
        model=model,
        bidx=parse_bidx(bidx or []) or (),
        stretch=stretch,
        nodata=nodata,
        device=device,
        official_quirks=official_quirks,
        overwrite=overwrite,
        resume=resume,
    )

    from bimors_cli.evaluation.evaluate import evaluate as run

    with graceful_stop() as stop, CompareProgress() as progress:
        found = run(chosen, progress=progress, stop=stop)
    for table in found.tables:
        show_table(table.name, *table.as_text())
    kept = f", {found.repeated} of them from before" if found.repeated else ""
    say(f"{found.trials} trials{kept}, {duration(found.seconds)}")
    if json:
        print((found.folder / "results.json").read_text(encoding="utf-8"), end="")
    else:
        print(found.folder)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _numbers(name: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in _words(text))
    except ValueError:
        raise InputError(f"{name} {text}: whole numbers with commas between", f"{name} 1,2,3") from None
