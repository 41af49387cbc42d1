"""The classifier of an adapter that classifies by views, for the user's labels."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bimors_cli.bundle.adapter import Adapter
from bimors_cli.errors import LabelsError
from bimors_cli.fewshot.ensemble import Ensemble
from bimors_cli.fewshot.probabilities import Array, merged
from bimors_cli.fewshot.unlikeness import Unlikeness
from bimors_cli.labels import Labels, match_labels
from bimors_cli.model.batching import HEAD, IMAGE_TOWER
from bimors_cli.model.frozen_models import FrozenModels
from bimors_cli.model.priors import apply_priors
from bimors_cli.options.views import IMAGE_FEATURES, PROMPTS, VIEWS, compared_view
from bimors_cli.pipeline.adapter_ensemble import read_adapter_ensemble
from bimors_cli.pipeline.inference.tile_batch import TileBatch
from bimors_cli.pipeline.inference.view_encoder import Values, ViewEncoder
from bimors_cli.pipeline.inference.view_prompts import load_prompts


@dataclass(frozen=True)
class ViewFeatures:
    """The views of B tiles, float32 [B, d] by name; rows that are not finite are tiles that no model could process."""

    views: dict[str, Values]

    def __len__(self) -> int:
        return len(next(iter(self.views.values())))


@dataclass(frozen=True)
class ViewTileClassifier:
    """Classifies tiles by their views.

    Attributes
    ----------
    encoder : ViewEncoder
        Computes the views.
    ensemble : Ensemble
        Classifies into the labels of the training.
    unlikeness : mapping of str to Unlikeness
        By view, how unlike the examples a tile is.
    columns : tuple of tuple of int
        For each of the user's labels, its labels of the training.
    priors : sequence of float
        Expected fractions of the user's labels; empty for equal ones.
    """

    encoder: ViewEncoder
    ensemble: Ensemble
    unlikeness: dict[str, Unlikeness]
    columns: tuple[tuple[int, ...], ...]
    priors: Sequence[float] = ()

    @property
    def models(self) -> FrozenModels:
        """The models of the bundle."""
        return self.encoder.models

    def encode_batch(self, batch: TileBatch) -> tuple[list[str | None], ViewFeatures]:
        """Compute the views of the tiles of a batch that were read.

        Returns
        -------
        tuple
            B captions, empty or None where there are none, and the views.

        Raises
        ------
        DeviceError
            Out of memory with a batch of one image.
        """
        models, views = self.models, tuple(self.ensemble.views)
        captions: list[str | None] = [""] * len(batch.indices)
        if models.captions:
            captions = models.caption(batch.images, batch.cache_keys)
        clock = time.perf_counter()
        found = self.encoder.encode(views, {"image": batch.images, **batch.view_images}, batch.numbers, captions)
        models.count(IMAGE_TOWER, clock)
        return captions, ViewFeatures(found)

    def probabilities(self, features: ViewFeatures) -> npt.NDArray[np.float32]:
        """Return probabilities of the user's K labels, float32 [B, K]; NaN for a tile without finite features."""
        clock = time.perf_counter()
        log_p = self.ensemble.log_probabilities(features.views)
        # A label without examples is never the answer; the summary of the run says which these are.
        found: Values = merged(log_p, self.columns)
        for name, values in features.views.items():
            # Statistics of a band without data are NaN, and stand for the median; a network's are failures.
            if VIEWS[name].kind != "statistics":
                found[~np.isfinite(values).all(axis=1)] = np.nan
        found = apply_priors(found, self.priors)
        self.models.count(HEAD, clock)
        return found

    def unlike(self, features: ViewFeatures) -> tuple[Array, Array]:
        """Return how unlike the examples tiles are, 0 to 1, and the p-value of that: float64 [B] each.

        With several views, those of the view that finds a tile most unlike; its p-value is multiplied by the number of
        views (Bonferroni), so that the rate of false alarms holds for all of them together.
        """
        variances, p_values = [], []
        for name, unlike in self.unlikeness.items():
            variance = unlike.of(self.ensemble.views[name].scaled(features.views[name]))
            variances.append(variance)
            p_values.append(unlike.p_values(variance))
        least, rows = np.argmin(p_values, axis=0), np.arange(len(features))
        both = np.array((variances, p_values))
        return both[0, least, rows], np.minimum(both[1, least, rows] * len(p_values), 1.0)

    def vectors(self, features: ViewFeatures) -> npt.NDArray[np.float32]:
        """Return one vector for each tile, float32 [B, d], by which tiles are compared, see `compared_vectors`."""
        return compared_vectors(self.ensemble, features.views)


def compared_vectors(ensemble: Ensemble, views: Mapping[str, Values]) -> npt.NDArray[np.float32]:
    """Return the vectors of B tiles by which they are compared, float32 [B, d], from the views of an adapter.

    CLIP's feature of an image if there is one; else the statistics of all views, scaled as the classifiers take them
    and divided by the square root of their number in a view, so that every view weighs the same.
    """
    statistics = [name for name in sorted(ensemble.views) if VIEWS[name].kind == "statistics"]
    name = compared_view(views)
    if name in IMAGE_FEATURES or not statistics:
        return np.asarray(views[name], np.float32)
    scaled = [ensemble.views[name].scaled(views[name]) for name in statistics]
    return np.concatenate([values / np.sqrt(values.shape[1]) for values in scaled], axis=1).astype(np.float32)


def make_view_classifier(models: FrozenModels, adapter: Adapter, labels: Labels) -> ViewTileClassifier:
    """Make the classifier of an adapter for the user's labels.

    Raises
    ------
    LabelsError
        The adapter was trained on none of the labels.
    BundleError
        The weights are damaged.
    """
    columns = match_labels(labels, adapter.labels)
    if not any(columns):
        raise LabelsError(
            f"{labels.source}: the adapter {adapter.name} was trained on none of the labels",
            f"its labels are {', '.join(adapter.labels[:20])}; one of --head bimors finds labels by their names too",
        )
    ensemble, unlikeness = read_adapter_ensemble(adapter)
    trained = Labels.literal(adapter.labels)
    assert adapter.views is not None  # its head is made of views
    templates = adapter.views.templates_with(models.bundle.own_templates)
    encoder = ViewEncoder.create(models, tuple(ensemble.views), trained, templates)
    if PROMPTS in ensemble.views:
        encoder = replace(encoder, prompts=load_prompts(adapter, models, trained))
    return ViewTileClassifier(encoder, ensemble, unlikeness, tuple(map(tuple, columns)))
