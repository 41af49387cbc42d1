"""The command lines of the program. Does not import QGIS.

Options with empty values are omitted: the program has its own defaults.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

# Values of options, as the program spells them.
CLASSIFY_HEADS = ["auto", "zero-shot"]
REFINEMENTS = ["transductive", "spatial"]
FINETUNE_HEADS = ["auto", "bimors", "coop", "cocoop", "tip-adapter", "linear"]
VIEWS = ["bands", "bands-around", "image", "false-colour", "around", "names", "captions", "prompts"]
DESIGNS = ["stratified", "random", "systematic"]


def classify(
    scene: str,
    labels: str,
    output: str,
    *,
    tile_size: str = "",
    overlap: str = "",
    vote: bool = False,
    aoi: str = "",
    min_confidence: float = 0.0,
    captions: bool = True,
    keep_features: bool = False,
    probabilities: bool = False,
    adapter: str = "",
    head: str = "",
    refine: str = "",
    model: str = "",
    bands: str = "",
    stretch: str = "",
    device: str = "",
    resume: bool = False,
    extra: str = "",
) -> list[str]:
    """Return the arguments of `bimors classify`."""
    options = _options(
        tile_size=tile_size,
        overlap=overlap,
        vote=vote,
        aoi=aoi,
        min_confidence=str(min_confidence) if min_confidence else "",
        no_captions=not captions,
        keep_features=keep_features,
        probabilities=probabilities,
        adapter=adapter,
        head=head,
        refine=refine,
        model=model,
        bidx=bands,
        stretch=stretch,
        device=device,
        resume=resume,
        # Processing overwrites existing outputs. Without --overwrite, the program refuses to discard an unfinished run.
        overwrite=not resume and Path(output).exists(),
    )
    return ["classify", scene, "--labels", labels, "--output", output, *options, *shlex.split(extra)]


def finetune(
    source: str,
    output: str,
    *,
    polygons: str = "",
    field: str = "",
    layer: str = "",
    corrected: Sequence[str] = (),
    shots: str = "",
    epochs: str = "",
    tile_size: str = "",
    min_overlap: str = "",
    background: str = "",
    head: str = "",
    views: str = "",
    model: str = "",
    bands: str = "",
    stretch: str = "",
    device: str = "",
    overwrite: bool = False,
    resume: bool = False,
    extra: str = "",
) -> list[str]:
    """Return the arguments of `bimors finetune`: of a scene with polygons, or of a corrected layer."""
    options = _options(
        polygons=polygons,
        field=field,
        layer=layer,
        shots=shots,
        epochs=epochs,
        tile_size=tile_size,
        min_overlap=min_overlap,
        background=background,
        head=head,
        views=views,
        model=model,
        bidx=bands,
        stretch=stretch,
        device=device,
        resume=resume,
        overwrite=overwrite and not resume,
    )
    options += [f"--corrected={path}" for path in corrected]
    return ["finetune", source, "--output", output, *options, *shlex.split(extra)]


def evaluate(
    layer_file: str,
    layer: str,
    reference: str,
    reference_layer: str,
    field: str,
    output: str,
    *,
    min_overlap: str = "",
    extra: str = "",
) -> list[str]:
    """Return the arguments of `bimors evaluate` for a layer; the metrics are written to standard output as JSON."""
    options = _options(layer=layer, reference_layer=reference_layer, min_overlap=min_overlap)
    arguments = ["evaluate", layer_file, "--reference", reference, "--field", field, "--output", output]
    return [*arguments, "--json", "--overwrite", *options, *shlex.split(extra)]


def sample(
    layer_file: str,
    layer: str,
    output: str,
    *,
    design: str = "",
    by: str = "",
    target_se: str = "",
    expect: str = "",
    tiles: str = "",
    per_class: str = "",
    least: str = "",
    min_distance: str = "",
    exclude: str = "",
    seed: str = "",
    show_label: bool = False,
    overwrite: bool = False,
    extra: str = "",
) -> list[str]:
    """Return the arguments of `bimors sample`."""
    options = _options(
        layer=layer,
        design=design,
        by=by,
        target_se=target_se,
        expect=expect,
        tiles=tiles,
        per_class=per_class,
        least=least,
        min_distance=min_distance,
        exclude=exclude,
        seed=seed,
        show_label=show_label,
        overwrite=overwrite,
    )
    return ["sample", layer_file, "--output", output, *options, *shlex.split(extra)]


def assess(sample_file: str, *, output: str = "", extra: str = "") -> list[str]:
    """Return the arguments of `bimors evaluate` for a sample; the estimates are written to standard output as JSON."""
    options = _options(output=output, overwrite=bool(output))
    return ["evaluate", sample_file, "--json", *options, *shlex.split(extra)]


def suggest(
    layer_file: str,
    layer: str,
    output: str,
    *,
    tiles: str = "",
    min_distance: str = "",
    examples: str = "",
    exclude: str = "",
    seed: str = "",
    overwrite: bool = False,
    extra: str = "",
) -> list[str]:
    """Return the arguments of `bimors suggest`."""
    options = _options(
        layer=layer,
        tiles=tiles,
        min_distance=min_distance,
        examples=examples,
        exclude=exclude,
        seed=seed,
        overwrite=overwrite,
    )
    return ["suggest", layer_file, "--output", output, *options, *shlex.split(extra)]


def change(
    before: str,
    after: str,
    output: str,
    *,
    layer_before: str = "",
    layer_after: str = "",
    max_false: str = "",
    matrix: str = "",
    extra: str = "",
) -> list[str]:
    """Return the arguments of `bimors change`."""
    options = _options(
        layer_before=layer_before,
        layer_after=layer_after,
        max_false=max_false,
        matrix=matrix,
        # Processing overwrites existing outputs.
        overwrite=Path(output).exists() or bool(matrix and Path(matrix).exists()),
    )
    return ["change", before, after, "--output", output, *options, *shlex.split(extra)]


def file_and_layer(path: str, layer: str) -> str:
    """Return a layer of a file in the syntax of the program, FILE:LAYER."""
    return f"{path}:{layer}" if layer else path


def _options(**values: str | bool) -> list[str]:
    """Return --name for true values, --name=value for texts; as one argument, so that a value may start with a dash."""
    found = []
    for name, value in values.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            found.append(flag)
        elif isinstance(value, str) and value.strip():
            found.append(f"{flag}={value.strip()}")
    return found
