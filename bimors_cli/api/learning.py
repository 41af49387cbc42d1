"""Learning from examples, and trying models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bimors_cli.api.arguments import StrPath, StrPaths, as_path, as_paths

if TYPE_CHECKING:
    from bimors_cli.options.suggest import SuggestOptions
    from bimors_cli.options.try_model import TryOptions
    from bimors_cli.pipeline.bundles.tried import Tried
    from bimors_cli.results.suggest import SuggestSummary
    from bimors_cli.training.options import FinetuneOptions
    from bimors_cli.training.summary import FinetuneSummary
    from bimors_cli.training.views.summary import ViewsSummary


def finetune(
    sources: StrPaths, output: StrPath | None = None, options: FinetuneOptions | None = None
) -> FinetuneSummary | ViewsSummary:
    """Train an adapter from a folder of classes, vector features on scenes, a corrected layer, or a judged search.

    Parameters
    ----------
    sources : path or sequence of paths
        One folder, split file or layer; with ``polygons``, scenes.
    output : path, optional
        As ``-o``.
    options : FinetuneOptions, optional
        The other options of the command.

    Returns
    -------
    FinetuneSummary
        Counts and scores.

    Raises
    ------
    bimors_cli.errors.BimorsError
        As the command.
    """
    from bimors_cli.training.finetune import finetune as run
    from bimors_cli.training.options import FinetuneOptions

    chosen = options or FinetuneOptions()
    paths = as_paths(sources)
    return run(replace(chosen, sources=paths, output=as_path(output)))


def suggest(
    layer_file: StrPath, output: StrPath | None = None, options: SuggestOptions | None = None
) -> SuggestSummary:
    """Suggest which tiles of a layer written with ``keep_features`` to label next, and write a layer to correct.

    Raises
    ------
    bimors_cli.errors.BimorsError
        As the command.
    """
    from bimors_cli.options.suggest import SuggestOptions
    from bimors_cli.results.suggest import suggest as run

    target = None if output is None else Path(output)
    return run(replace(options or SuggestOptions(), file=Path(layer_file), output=target))


def try_model(model: StrPath, options: TryOptions | None = None) -> Tried:
    """Fetch a bundle unless it is installed, verify it, and run it on an example, as ``bimors models try``.

    Parameters
    ----------
    model : str or path
        A bundle of the catalog, a CLIP of open_clip or of the hub, or the folder of a bundle.
    options : TryOptions, optional
        The other options of the command.

    Returns
    -------
    Tried
        Its steps, with their times, and the answers; ``passed`` is False if a step failed.

    Raises
    ------
    bimors_cli.errors.InputError
        There is no such bundle or device.
    """
    from bimors_cli.options.try_model import TryOptions
    from bimors_cli.pipeline.bundles.try_bundle import try_bundle

    return try_bundle(replace(options or TryOptions(), model=str(model)))
