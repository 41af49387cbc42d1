"""Writes the folder of an adapter that classifies by views."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.numpy import save_file

from bimors_cli.bundle.adapter import MANIFEST, WEIGHTS, write_adapter_manifest
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.fewshot.storage import ensemble_arrays, left_out_arrays
from bimors_cli.options.heads import VIEWS_HEAD
from bimors_cli.output.atomic import replacing_folder
from bimors_cli.pipeline.adapter_ensemble import LEFT_OUT
from bimors_cli.pipeline.label_sets import possible_coverage
from bimors_cli.training.examples.base import Examples
from bimors_cli.training.examples.places import tile_sets
from bimors_cli.training.options import FinetuneOptions
from bimors_cli.training.views.summary import ViewsRun, expected_text, figures_of


def save_views_adapter(
    output: Path, bundle: Bundle, examples: Examples, used: Examples, options: FinetuneOptions, run: ViewsRun
) -> None:
    """Write the folder atomically: weights, manifest, metrics.json, and a README.md.

    ``examples`` are all of the source, ``used`` those that the adapter learned from.

    Raises
    ------
    OutputExistsError, InputError
        As `check_folder`.
    OutputError
        The folder cannot be written.
    """
    learned = run.learned
    description = {
        **examples.description,
        "shots": "all" if options.shots == 0 else str(options.shots),
        "examples": str(sum(run.counts.values())),
        "views": ", ".join(learned.selection.chosen.views),
        "seed": str(options.seed),
    }
    if learned.expected is not None:
        description["expected accuracy"] = expected_text(learned.expected)
        if learned.together:
            description["expected accuracy"] += "; too optimistic, as classes were drawn in one place each"
    if run.short:
        description["fewer examples than asked"] = ", ".join(f"{name} {n}" for name, n in sorted(run.short.items()))
    possible = possible_coverage(learned.left_out, examples.labels.names)
    if possible is not None:
        description["label sets"] = possible
    figures = figures_of(run)
    places = tile_sets(used)
    left_out = {LEFT_OUT + name: array for name, array in left_out_arrays(learned.left_out).items()}
    with replacing_folder(output, marker=MANIFEST, overwrite=options.overwrite) as folder:
        save_file(
            {**ensemble_arrays(learned.ensemble, learned.unlikeness), **left_out, **run.prompts}, folder / WEIGHTS
        )
        write_adapter_manifest(
            folder,
            bundle,
            name=output.name,
            head=VIEWS_HEAD,
            labels=examples.labels.names,
            temperature=1.0,
            training=description,
            views=run.views,
            examples=None if places is None else [one.to_json() for one in places],
        )
        text = json.dumps(figures, indent=1, ensure_ascii=False)
        (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
        (folder / "README.md").write_text(_card(output.name, examples, bundle, description), encoding="utf-8")
        for file in folder.iterdir():
            file.chmod(0o644)  # safetensors writes files that only their owner can read


def _card(name: str, examples: Examples, bundle: Bundle, description: dict[str, str]) -> str:
    return "\n".join(
        (
            f"# {name}",
            "",
            f"Adapter for bimors: it classifies by views of a tile, with the bundle {bundle.name}.",
            "It answers only its own classes.",
            "",
            f"    bimors classify scene.tif --labels labels.txt --adapter {name} -o out.gpkg",
            "",
            "## Classes",
            "",
            ", ".join(examples.labels.names),
            "",
            "## Training",
            "",
            *(f"- {key}: {value}" for key, value in description.items()),
            "",
            f"What else was tried, and what carries each class: `bimors adapters show {name}`.",
            "",
        )
    )
