"""What a plan is: the scenes of a run, how each is cut and shown, and what decides the rows of its layer."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS

from bimors_cli.bundle.adapter import Adapter
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.labels import new_labels
from bimors_cli.options.classify import ClassifyOptions, InferenceOptions, LayerOptions
from bimors_cli.output.formats import Format
from bimors_cli.provenance import grid_key, pixels_key
from bimors_cli.scene.bands import Bands
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.mask import Nodata
from bimors_cli.scene.raster import SceneInfo
from bimors_cli.scene.stretch import Stretch


@dataclass(frozen=True)
class GriddedScene:
    """A scene, cut into tiles. ``inside`` bool [tiles] tells which tiles the AOI holds; None without an AOI."""

    info: SceneInfo
    grid: Grid
    inside: npt.NDArray[np.bool_] | None = None
    aoi_sha256: str | None = None

    def __len__(self) -> int:
        """Count the tiles to look at."""
        return len(self.grid) if self.inside is None else int(self.inside.sum())

    def is_inside(self, index: int) -> bool:
        """Tell whether the AOI holds a tile."""
        return self.inside is None or bool(self.inside[index])

    def line(self) -> str:
        """Say how it is cut."""
        grid = self.grid
        return (
            f"{self.info.name}: {grid.rows} rows x {grid.cols} columns of tiles, each {grid.tile_width} x "
            f"{grid.tile_height} px" + (f", {len(self):,} in the AOI" if self.inside is not None else "")
        )

    def identity(self) -> dict[str, Any]:
        """What decides its tiles."""
        return grid_key(self.info, self.grid, self.aoi_sha256)


@dataclass(frozen=True, kw_only=True)
class ScenePlan(GriddedScene):
    """One scene of a run: how it is cut, and how its pixels become pictures."""

    bands: Bands
    stretch: Stretch
    nodata: Nodata

    def identity(self) -> dict[str, Any]:
        """What decides its tiles and their pictures."""
        return {**super().identity(), **pixels_key(self.bands, self.stretch, self.nodata)}


@dataclass(frozen=True)
class LayerPlan:
    """A layer of tiles that can be written: ``output`` is the file, `STDOUT` the stream; ``crs`` that of the layer."""

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
        o = self.options
        return {
            "scenes": [scene.identity() for scene in self.scenes],
            "tile size": o.tile_size,
            "overlap": o.overlap,
            "aoi rule": o.aoi_rule,
            "format": self.format.name,
            "layer": o.layer,
            "crs": self.crs.to_string(),
        }


@dataclass(frozen=True)
class InferencePlan(LayerPlan):
    """A run that can start: the models of a bundle look at the tiles."""

    options: InferenceOptions
    scenes: tuple[ScenePlan, ...]
    bundle: Bundle

    @property
    def votes(self) -> bool:
        """Whether overlapping tiles vote on the cells that they share."""
        return False

    def _run_key(self) -> dict[str, Any]:
        return {
            **super()._run_key(),
            "model": {"name": self.bundle.name, "sha256": self.bundle.sha256},
            "min valid": self.options.min_valid,
            "keep empty": self.options.keep_empty,
        }


@dataclass(frozen=True)
class Plan(InferencePlan):
    """A run of classify that can start.

    ``cells`` are the scenes cut into what rows are of where tiles vote, with what the AOI holds of that; else None.
    """

    options: ClassifyOptions
    adapter: Adapter | None
    cells: tuple[ScenePlan, ...] | None = None

    @property
    def votes(self) -> bool:
        """Whether overlapping tiles vote on the cells that they share."""
        return self.options.vote

    @property
    def layer(self) -> Plan:
        """The plan whose grid the rows are of."""
        return self if self.cells is None else replace(self, scenes=self.cells)

    def unknown_words(self) -> dict[str, tuple[str, ...]]:
        """Return the words that the bundle never saw, of synonyms too, by label; labels without any are left out."""
        found = {label.name: self.bundle.unknown_words(" ".join(label.names)) for label in self.options.labels.items}
        return {name: words for name, words in found.items() if words}

    def new_labels(self) -> tuple[str, ...]:
        """Return the labels that the adapter was not trained on; none without an adapter."""
        return () if self.adapter is None else new_labels(self.options.labels, self.adapter.labels)

    @property
    def templates(self) -> tuple[str, ...]:
        """Those of the zero-shot head; none where an adapter answers."""
        return () if self.adapter is not None else tuple(self.options.templates) or self.bundle.templates

    def _run_key(self) -> dict[str, Any]:
        o = self.options
        return {
            **super()._run_key(),
            "labels": list(o.labels.names),
            **({"synonyms": o.labels.synonyms} if o.labels.synonyms else {}),
            "adapter": None if self.adapter is None else {"name": self.adapter.name, "sha256": self.adapter.sha256},
            "head": "zero-shot" if self.adapter is None else self.adapter.head,
            # What ran before there were templates had this one, and did not say so.
            **({"templates": self.templates} if self.templates not in ((), (self.bundle.one_template,)) else {}),
            "captions": o.captions,
            "min confidence": o.min_confidence,
            "top k": o.top_k,
            "probabilities": o.probabilities,
            **({"features": True} if o.keep_features else {}),
            **({"refine": o.refine} if o.refine else {}),
            **({"vote": True} if o.vote else {}),
        }


# For each scene of a run the places of tiles in its grid, int64, ascending: 8 bytes a tile.
TileIndices = tuple[npt.NDArray[np.int64], ...]


def all_tiles(plan: InferencePlan) -> TileIndices:
    """Return all tiles of a run: those of the AOI, and with --keep-empty the others as well."""
    return tuple(
        np.arange(len(scene.grid))
        if scene.inside is None or plan.options.keep_empty
        else np.flatnonzero(scene.inside).astype(np.int64)
        for scene in plan.scenes
    )


def count(todo: TileIndices) -> int:
    """Count the tiles."""
    return sum(map(len, todo))
