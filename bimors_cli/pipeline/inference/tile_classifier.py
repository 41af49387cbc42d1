"""The classifier of a run of classify."""

from __future__ import annotations

from dataclasses import replace

from bimors_cli.model.frozen_models import FrozenModels
from bimors_cli.pipeline.inference.load import make_classifier
from bimors_cli.pipeline.inference.predict import TileClassifier
from bimors_cli.pipeline.inference.view_classifier import make_view_classifier
from bimors_cli.pipeline.plan import Plan


def make_tile_classifier(models: FrozenModels, plan: Plan) -> TileClassifier:
    """Make the classifier of a plan: by views, if its adapter has them, else by its head.

    The models caption tiles before they encode them only if the plan says so.

    Raises
    ------
    BimorsError
        As `make_view_classifier` and `make_classifier`.
    """
    models.captions_first = plan.captions.first
    if plan.adapter is not None and plan.adapter.views is not None:
        return replace(make_view_classifier(models, plan.adapter, plan.options.labels), priors=plan.priors)
    classifier = make_classifier(models, plan.adapter, plan.options.labels, plan.templates)
    domain = plan.bundle.training_domain
    return replace(classifier, priors=plan.priors, training_features=None if domain is None else domain.image_feature)
