"""`bimors info`: what a scene is, and how it would be read and divided into tiles."""

from __future__ import annotations

import json
import logging

from bimors_cli.cli.command import command
from bimors_cli.cli.parameters import Json
from bimors_cli.options.scene import InfoOptions

log = logging.getLogger("bimors")

EXAMPLE = "Example: bimors info scene.tif --tile-size 500m"


@command(InfoOptions)
def info(options: InfoOptions, json_output: Json = False) -> None:
    """Show size, CRS, pixel size, chosen bands, stretch, fraction of valid pixels and number of tiles of a scene.

    It also shows whether pixels and tiles have the sizes that the model was trained on, and warns if not.
    """
    from bimors_cli.bundle.locate import find_bundle
    from bimors_cli.bundle.manifest import read_bundle
    from bimors_cli.pipeline.scene_pixels import choose_pixels
    from bimors_cli.pipeline.training_domain import domain_facts
    from bimors_cli.scene.describe import describe

    bundle = read_bundle(find_bundle(options.model))
    info, grid, facts, suspect = describe(options, lambda scene: choose_pixels(scene, options, bundle))
    of_domain, warning = domain_facts(info, grid, bundle)
    warnings = [f"{info.name}: {one.text}; {one.advice}" for one in suspect]
    if warning is not None:
        warnings.append(warning)
    facts |= {**of_domain, "warnings": warnings}
    for line in warnings:
        log.warning("%s", line)
    if json_output:
        print(json.dumps(facts, indent=1, ensure_ascii=False))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        if name == "warnings":  # written to standard error
            continue
        print(f"{name.replace('_', ' '):{width}}  {_shown(value)}")


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None else str(value)
