"""Maps of scenes: from pixels to layers of tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bimors_cli.api.arguments import StrPath, StrPaths, as_labels, as_path, as_paths
from bimors_cli.run_warnings import keeps_warnings

if TYPE_CHECKING:
    from bimors_cli.labels import Labels
    from bimors_cli.options.classify import ClassifyOptions
    from bimors_cli.options.inference import CaptionOptions
    from bimors_cli.options.layer import TilesOptions
    from bimors_cli.options.merge import MergeOptions
    from bimors_cli.options.scene import InfoOptions
    from bimors_cli.pipeline.info import SceneReport
    from bimors_cli.pipeline.plan import LayerPlan
    from bimors_cli.pipeline.summary import RunSummary, Summary


@keeps_warnings
def classify(
    scenes: StrPaths,
    labels: StrPath | Sequence[str] | Labels,
    output: StrPath | None = None,
    options: ClassifyOptions | None = None,
) -> Summary:
    """Label every tile of one or more scenes, and write a layer that opens coloured in QGIS.

    Parameters
    ----------
    scenes : path or sequence of paths
        Rasters that GDAL can open.
    labels : path, sequence of str, or Labels
        A labels file, or the class names themselves.
    output : path, optional
        As ``-o``.
    options : ClassifyOptions, optional
        The other options of the command.

    Returns
    -------
    Summary
        Counts by label and reason, seconds by stage.

    Raises
    ------
    bimors_cli.errors.BimorsError
        As the command.
    """
    from bimors_cli.options.classify import ClassifyOptions
    from bimors_cli.pipeline.run import run

    chosen = options or ClassifyOptions()
    return run(replace(chosen, scenes=as_paths(scenes), labels=as_labels(labels), output=as_path(output)))


def caption(scenes: StrPaths, output: StrPath, options: CaptionOptions | None = None) -> RunSummary:
    """Caption every tile of one or more scenes, and write a layer with the captions; parameters as `classify`."""
    from bimors_cli.options.inference import CaptionOptions
    from bimors_cli.pipeline.caption import caption as run

    return run(replace(options or CaptionOptions(), scenes=as_paths(scenes), output=str(output)))


def tiles(scenes: StrPaths, output: StrPath, options: TilesOptions | None = None) -> LayerPlan:
    """Write the tiles of one or more scenes as polygons; the length of what is returned is the number of tiles."""
    from bimors_cli.options.layer import TilesOptions
    from bimors_cli.pipeline.grid import write_grid

    return write_grid(replace(options or TilesOptions(), scenes=as_paths(scenes), output=str(output)))


def merge(output: StrPath, journals: StrPaths, options: MergeOptions | None = None) -> Summary:
    """Write the layer of a run that was done in shards (``ClassifyOptions(shard="3/16")``), and delete their journals.

    Parameters
    ----------
    output : path
        The layer's file.
    journals : path or sequence of paths
        Those of all shards.
    options : MergeOptions, optional
        The other options of the command.

    Returns
    -------
    Summary
        As `classify`.

    Raises
    ------
    bimors_cli.errors.BimorsError
        As the command.
    """
    from bimors_cli.options.merge import MergeOptions
    from bimors_cli.pipeline.merge import merge as run

    return run(replace(options or MergeOptions(), output=str(output), journals=as_paths(journals)))


def info(scene: StrPath, options: InfoOptions | None = None) -> SceneReport:
    """Describe a scene: position, bands with statistics, masks, tiles, and what a model makes of it.

    Parameters
    ----------
    scene : path
        A raster that GDAL can open.
    options : InfoOptions, optional
        The other options of the command.

    Returns
    -------
    SceneReport
        Its ``to_dict`` returns the object of ``bimors info --json``.

    Raises
    ------
    bimors_cli.errors.BimorsError
        As the command.
    """
    from bimors_cli.options.scene import InfoOptions
    from bimors_cli.pipeline.info import info as run

    return run(replace(options or InfoOptions(), scene=str(scene)))
