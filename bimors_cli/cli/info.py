"""`bimors info`: what a scene is, and how it would be read and divided into tiles."""

from __future__ import annotations

import json
import sys

from bimors_cli.cli.command import command
from bimors_cli.cli.console import say
from bimors_cli.cli.parameters import Json
from bimors_cli.options.scene import InfoOptions
from bimors_cli.run_warnings import warn

EXAMPLE = "Example: bimors info scene.tif --tile-size 500m"


@command(InfoOptions)
def info(options: InfoOptions, json_output: Json = False) -> None:
    """Show a scene: CRS, position, pixel size, bands with statistics, mask, tiles, and what a model makes of it.

    It also shows whether pixels and tiles have the sizes that the model was trained on, and warns if not. On a terminal
    with colours it draws a small image of the scene.
    """
    from bimors_cli.pipeline.info import info as report_on

    report = report_on(options)
    for line in report.warnings:
        warn("%s", line)
    if json_output:
        print(json.dumps(report.to_dict(), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        from bimors_cli.cli.info_page import print_page
        from bimors_cli.cli.terminal_image import draw_scene, page_console

        console = page_console(sys.stdout)
        print_page(report, console)
        draw_scene(report.scene, console)
    if options.png is not None:
        say(f"wrote {options.png}")
