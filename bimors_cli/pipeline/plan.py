"""The plan of a run: its scenes with their grids, bands and stretch, and the key of its rows."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS

from bimors_cli.bundle.adapter import Adapter
from bimors_cli.bundle.manifest import CAPTION_ENCODER, CAPTIONER, Bundle
from bimors_cli.fewshot.label_sets import LabelSets
from bimors_cli.labels import new_labels
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.options.inference import InferenceOptions
from bimors_cli.options.layer import LayerOptions
from bimors_cli.output.formats import Format
from bimors_cli.pipeline.caption_use import CaptionUse
from bimors_cli.pipeline.training_domain import EXAMPLES, DomainWarning, domain_message
from bimors_cli.provenance import grid_key, pixels_key
from bimors_cli.scene.bands import Bands
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.mask import Nodata
from bimors_cli.scene.raster import SceneInfo
from bimors_cli.scene.stretch import Stretch
from bimors_cli.scene.tile_views import ViewInputs


@dataclass(frozen=True)
class GriddedScene:
    """A scene and its grid of tiles. ``inside`` bool [tiles] marks the tiles in the AOI; None without an AOI."""

    info: SceneInfo
    grid: Grid
    inside: npt.NDArray[np.bool_] | None = None
    aoi_sha256: str | None = None

    def __len__(self) -> int:
        """Count the tiles to process."""
        return len(self.grid) if self.inside is None else int(self.inside.sum())

    def is_inside(self, index: int) -> bool:
        """Tell whether a tile is in the AOI."""
        return self.inside is None or bool(self.inside[index])

    def line(self) -> str:
        """Describe the grid in a line."""
        grid = self.grid
        return (
            f"{self.info.name}: {grid.rows} rows x {grid.cols} columns of tiles, each {grid.tile_width} x "
            f"{grid.tile_height} px" + (f", {len(self):,} in the AOI" if self.inside is not None else "")
        )

    def identity(self) -> dict[str, Any]:
        """Return what decides its tiles."""
        return grid_key(self.info, self.grid, self.aoi_sha256)


@dataclass(frozen=True, kw_only=True)
class ScenePlan(GriddedScene):
    """A scene of a run: its grid, and how its pixels become images.

    ``view_inputs`` is what an adapter needs of each tile besides the image, if it does.
    """

    bands: Bands
    stretch: Stretch
    nodata: Nodata
    view_inputs: ViewInputs | None = None

    def identity(self) -> dict[str, Any]:
        """Return what decides its tiles and their images."""
        key = {**super().identity(), **pixels_key(self.bands, self.stretch, self.nodata)}
        # The views follow from the adapter, which band of the scene is which does not.
        return key if self.view_inputs is None else {**key, "views": self.view_inputs.key()}


@dataclass(frozen=True)
class LayerPlan:
    """A layer of tiles to write: ``output`` is a file, or `STDOUT`; ``crs`` is that of the layer."""

    options: LayerOptions
    scenes: tuple[GriddedScene, ...]
    output: Path
    format: Format
    crs: CRS

    def __len__(self) -> int:
        return sum(map(len, self.scenes))

    def run_key(self) -> dict[str, Any]:
        """Everything that decides the rows of the layer, as JSON values: two runs that share it have equal rows."""
        # As they come back from a journal or a layer: tuples become lists.
        return dict(json.loads(json.dumps(self._run_key())))

    def _run_key(self) -> dict[str, Any]:
        return {
            **self.options.row_key(),
            "scenes": [scene.identity() for scene in self.scenes],
            "format": self.format.name,
            "crs": self.crs.to_string(),
        }


@dataclass(frozen=True)
class InferencePlan(LayerPlan):
    """A run over tiles with the models of a bundle.

    ``outside`` has for each scene what is outside the training domain of the bundle.
    """

    options: InferenceOptions
    scenes: tuple[ScenePlan, ...]
    bundle: Bundle
    outside: tuple[tuple[DomainWarning, ...], ...] = field(kw_only=True)

    @property
    def votes(self) -> bool:
        """Whether overlapping tiles vote on the cells that they share."""
        return False

    @property
    def output_plan(self) -> InferencePlan:
        """The plan whose grid gives the rows."""
        return self

    def domain_warning(self) -> str | None:
        """Return one line about the scenes outside the training domain; None if there is none."""
        return self._domain_warning("poor captions")

    def _domain_warning(self, expect: str, examples: str = "") -> str | None:
        scenes = {scene.info.name: found for scene, found in zip(self.scenes, self.outside, strict=True)}
        return domain_message(scenes, self.bundle.name, expect, examples)

    def _run_key(self) -> dict[str, Any]:
        return {**super()._run_key(), "model": {"name": self.bundle.name, "sha256": self.bundle.sha256}}


@dataclass(frozen=True)
class Plan(InferencePlan):
    """A run of classify.

    ``captions`` is what ``--captions`` comes to. ``cells`` are the scenes with the grids of the cells that tiles vote
    on, restricted to the AOI; None without ``--vote``. ``priors`` are those of the labels; empty for equal ones.
    ``label_sets`` makes the sets of labels; None without ``--coverage``.
    """

    options: ClassifyOptions
    adapter: Adapter | None
    captions: CaptionUse = field(kw_only=True)
    cells: tuple[ScenePlan, ...] | None = None
    priors: tuple[float, ...] = ()
    label_sets: LabelSets | None = None

    @property
    def votes(self) -> bool:
        """Whether overlapping tiles vote on the cells that they share."""
        return self.options.vote

    @property
    def unlike_rate(self) -> float | None:
        """Largest fraction of tiles like the examples that get no label as unlike ones; None if all get one."""
        if self.label_sets is not None:
            return self.label_sets.empty_rate or None
        return self.options.unlike_examples

    @property
    def output_plan(self) -> Plan:
        """The plan whose grid gives the rows: that of the cells where tiles vote."""
        return self if self.cells is None else replace(self, scenes=self.cells)

    def domain_warning(self) -> str | None:
        """Return one line about the scenes outside the training domain; None if there is none.

        An adapter that the user gave has learned from examples of its own, most often from scenes like these.
        """
        return None if self.options.adapter is not None else self._domain_warning("poor labels", EXAMPLES)

    @property
    def unused_parts(self) -> frozenset[str]:
        """Parts of the bundle that the run does not need: plain CLIP needs no caption encoder where captions are not
        made before the labels, and an adapter that classifies by views only what these are made of.
        """
        if self.adapter is None and not self.captions.first:
            return frozenset({CAPTION_ENCODER})
        views = None if self.adapter is None else self.adapter.views
        return frozenset() if views is None else views.unused_parts

    @property
    def caches_features(self) -> bool:
        """Whether image features are cached even without captions: if there is no captioner, and by views."""
        by_views = self.adapter is not None and self.adapter.views is not None
        return by_views or not self.bundle.has_part(CAPTIONER)

    def unknown_words(self) -> dict[str, tuple[str, ...]]:
        """Return by label the words, of synonyms too, that the bundle was not trained on; other labels are left out.

        An adapter of views has learned its labels from examples, whatever their names mean.
        """
        if self.adapter is not None and self.adapter.views is not None:
            return {}
        found = {label.name: self.bundle.unknown_words(" ".join(label.names)) for label in self.options.labels.items}
        return {name: words for name, words in found.items() if words}

    def new_labels(self) -> tuple[str, ...]:
        """Return the labels that the adapter was not trained on; empty without an adapter."""
        return () if self.adapter is None else new_labels(self.options.labels, self.adapter.labels)

    @property
    def templates(self) -> tuple[str, ...]:
        """The templates of the zero-shot head; empty with an adapter."""
        return () if self.adapter is not None else tuple(self.options.templates) or self.bundle.templates

    def _run_key(self) -> dict[str, Any]:
        o = self.options
        return {
            **super()._run_key(),
            "labels": list(o.labels.names),
            **({"synonyms": o.labels.synonyms} if o.labels.synonyms else {}),
            "adapter": None if self.adapter is None else {"name": self.adapter.name, "sha256": self.adapter.sha256},
            "captions": self.captions.row_key,
            "head": "zero-shot" if self.adapter is None else self.adapter.head,
            # Which of them the features of --keep-features are follows from the views.
            **({"views": self.adapter.views.names} if self.adapter is not None and self.adapter.views else {}),
            **({"priors": self.priors} if self.priors else {}),
            # What ran before there were templates had this one, and did not say so.
            **({"templates": self.templates} if self.templates not in ((), (self.bundle.one_template,)) else {}),
        }


# For each scene of a run the indices of tiles in its grid, int64, ascending: 8 bytes per tile.
TileIndices = tuple[npt.NDArray[np.int64], ...]


def all_tiles(plan: InferencePlan) -> TileIndices:
    """Return all tiles of a run: those in the AOI, and with --keep-empty the others as well."""
    return tuple(
        np.arange(len(scene.grid))
        if scene.inside is None or plan.options.keep_empty
        else np.flatnonzero(scene.inside).astype(np.int64)
        for scene in plan.scenes
    )


def num_tiles(tiles: TileIndices) -> int:
    """Count the tiles."""
    return sum(map(len, tiles))
