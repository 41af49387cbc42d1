"""`bimors info`: what a scene is, and how it would be read and divided into tiles."""

from __future__ import annotations

import json

from bimors_cli.cli.command import command
from bimors_cli.cli.parameters import Json
from bimors_cli.options.scene import InfoOptions

EXAMPLE = "Example: bimors info scene.tif --tile-size 500m"


@command(InfoOptions)
def info(options: InfoOptions, json_output: Json = False) -> None:
    """Show size, CRS, pixel size, chosen bands, stretch, fraction of valid pixels and number of tiles of a scene."""
    from bimors_cli.scene.describe import describe

    facts = describe(options)
    if json_output:
        print(json.dumps(facts, indent=1, ensure_ascii=False))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name.replace('_', ' '):{width}}  {_shown(value)}")


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None else str(value)
