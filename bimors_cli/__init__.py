"""bimors: label a georeferenced raster tile by tile with your own words.

Every command is a function of the same name here, with the same options: a frozen dataclass, whose fields are
documented by ``bimors COMMAND --help``.

    import bimors_cli
    from bimors_cli import ClassifyOptions

    bimors_cli.classify("scene.tif", "labels.txt", "out.gpkg", ClassifyOptions(tile_size="500m", top_k=3))

`transductive` and `spatial` refine arrays of any other classifier.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bimors_cli.api.accuracy import assess, assess_sample, evaluate, sample
from bimors_cli.api.arrays import spatial, transductive
from bimors_cli.api.learning import finetune, suggest, try_model
from bimors_cli.api.maps import caption, classify, info, merge, tiles
from bimors_cli.api.results import change, preview, report, restore, search
from bimors_cli.version import __version__

if TYPE_CHECKING:
    from bimors_cli.evaluation.options import EvaluateOptions
    from bimors_cli.labels import Labels
    from bimors_cli.options.accuracy import AssessOptions
    from bimors_cli.options.change import ChangeOptions
    from bimors_cli.options.classify import ClassifyOptions
    from bimors_cli.options.inference import CaptionOptions
    from bimors_cli.options.layer import TilesOptions
    from bimors_cli.options.merge import MergeOptions
    from bimors_cli.options.restore import RestoreOptions
    from bimors_cli.options.sample import SampleOptions
    from bimors_cli.options.scene import InfoOptions
    from bimors_cli.options.search import SearchOptions
    from bimors_cli.options.suggest import SuggestOptions
    from bimors_cli.options.try_model import TryOptions
    from bimors_cli.options.view import PreviewOptions, ReportOptions
    from bimors_cli.training.options import FinetuneOptions

__all__ = [
    "AssessOptions",
    "CaptionOptions",
    "ChangeOptions",
    "ClassifyOptions",
    "EvaluateOptions",
    "FinetuneOptions",
    "InfoOptions",
    "Labels",
    "MergeOptions",
    "PreviewOptions",
    "ReportOptions",
    "RestoreOptions",
    "SampleOptions",
    "SearchOptions",
    "SuggestOptions",
    "TilesOptions",
    "TryOptions",
    "__version__",
    "assess",
    "assess_sample",
    "caption",
    "change",
    "classify",
    "compare",
    "evaluate",
    "finetune",
    "info",
    "merge",
    "preview",
    "report",
    "restore",
    "sample",
    "search",
    "spatial",
    "suggest",
    "tiles",
    "transductive",
    "try_model",
]

# Where the classes of options are: they are imported when they are asked for, so that `import bimors_cli` stays quick.
_WHERE = {
    "EvaluateOptions": "bimors_cli.evaluation.options",
    "Labels": "bimors_cli.labels",
    "AssessOptions": "bimors_cli.options.accuracy",
    "ChangeOptions": "bimors_cli.options.change",
    "ClassifyOptions": "bimors_cli.options.classify",
    "CaptionOptions": "bimors_cli.options.inference",
    "TilesOptions": "bimors_cli.options.layer",
    "MergeOptions": "bimors_cli.options.merge",
    "RestoreOptions": "bimors_cli.options.restore",
    "SampleOptions": "bimors_cli.options.sample",
    "InfoOptions": "bimors_cli.options.scene",
    "SearchOptions": "bimors_cli.options.search",
    "SuggestOptions": "bimors_cli.options.suggest",
    "TryOptions": "bimors_cli.options.try_model",
    "PreviewOptions": "bimors_cli.options.view",
    "ReportOptions": "bimors_cli.options.view",
    "FinetuneOptions": "bimors_cli.training.options",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


compare = evaluate  # its name in 0.1
