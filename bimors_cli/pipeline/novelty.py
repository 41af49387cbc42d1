"""Whether a run can tell how unlike its examples or training images a tile is."""

from __future__ import annotations

import math
from typing import Final

from bimors_cli.bundle.adapter import Adapter
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.errors import InputError
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.pipeline.adapter_ensemble import read_adapter_ensemble
from bimors_cli.pipeline.plan import Plan

# Tiles with more novelty than this are unlike: of the training images a tenth has more. For examples it is a variance,
# and next to 1 far from all of them.
UNLIKE_TRAINING: Final = 0.9
UNLIKE_EXAMPLES: Final = 0.99


def check_novelty(options: ClassifyOptions, bundle: Bundle, adapter: Adapter | None) -> None:
    """Refuse the options where nothing is known to compare a tile with.

    Raises
    ------
    InputError
        The adapter does not classify by views, it has too few facts about its examples, or the bundle has none about
        its training images.
    BundleError
        The weights of the adapter are damaged.
    """
    if options.unlike_examples is not None and (adapter is None or adapter.views is None):
        who = "without an adapter there are no examples" if adapter is None else f"the adapter {adapter.name} has none"
        raise InputError(
            f"--unlike-examples compares tiles with examples: {who}",
            "add --adapter DIR, of an adapter that bimors finetune --head auto wrote",
        )
    if not options.novelty and options.unlike_examples is None:
        return
    if adapter is not None and adapter.views is not None:
        if not read_adapter_ensemble(adapter)[1]:
            option = "--novelty" if options.novelty else "--unlike-examples"
            raise InputError(
                f"{option}: the adapter {adapter.name} does not store how unlike each other its examples are",
                "run bimors finetune again",
            )
    elif bundle.training_domain is None or bundle.training_domain.image_feature is None:
        raise InputError(
            f"--novelty: the manifest of {bundle.name} does not state the image features of its training images",
            "use --model mini, or an adapter that bimors finetune --head auto wrote",
        )


def unlike_above(plan: Plan) -> tuple[str, float] | None:
    """Return what tiles are compared with, and the novelty above which they are unlike; None without ``--novelty``."""
    if not plan.options.novelty:
        return None
    if plan.adapter is not None and plan.adapter.views is not None:
        return "examples", UNLIKE_EXAMPLES
    return "training images", UNLIKE_TRAINING


def rate_warning(plan: Plan) -> str | None:
    """Return a line if the adapter has too few examples for the rate of ``--unlike-examples``."""
    rate, adapter = plan.options.unlike_examples, plan.adapter
    if rate is None or adapter is None:
        return None
    views = read_adapter_ensemble(adapter)[1].values()
    # Each of several views may give a false alarm, see `ViewTileClassifier.unlike`.
    if any(view.least_rate * len(views) <= rate for view in views):
        return None
    groups, needed = max(view.groups for view in views), math.ceil(len(views) / rate) - 1
    return (
        f"--unlike-examples {rate:g}: no tile can be left without a label at this rate: the adapter {adapter.name} has "
        f"{groups:,} groups of examples (polygons, or blocks of tiles), and {needed:,} are needed"
    )
