"""What a layer records of the run that wrote it: written and read here only."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError

from bimors_cli.errors import InputError, SceneError
from bimors_cli.options.views import IMAGE_FEATURES, compared_view
from bimors_cli.output.geopackage import read_provenance
from bimors_cli.redact import redact
from bimors_cli.scene.bands import Bands, choose_bands
from bimors_cli.scene.gdal import display_name, is_local
from bimors_cli.scene.grid import Grid
from bimors_cli.scene.mask import Nodata, recorded_nodata
from bimors_cli.scene.raster import Scene, SceneInfo
from bimors_cli.scene.stac_scene import file_of, lasting_name
from bimors_cli.scene.stretch import Stretch, compute_stretch, parse_stretch
from bimors_cli.scene.vote_cells import cells_of
from bimors_cli.version import __version__

_HINT: Final = "give the .gpkg that bimors classify wrote; an exported copy has no provenance"
_TOLERANCE: Final = 0.5  # pixels between corners: formats round a transform

_Json = TypeVar("_Json", dict[str, Any], list[Any])


@dataclass(frozen=True, kw_only=True)
class RunProvenance:
    """What a layer records of the run that wrote it; None for what it does not record.

    Attributes
    ----------
    version, created, command : str or None
        Version of bimors, time (ISO 8601, UTC) and command line, without secrets.
    run_key : mapping or None
        Everything that decides the rows, see `Plan.run_key`.
    scene_paths : tuple of str or None
        Paths of the scenes at the time of the run, in the order of ``run_key["scenes"]``.
    labels : mapping of str to (str or None), or None
        Colour of each label, ``#rrggbb``; None for a label without a colour of its own.
    query : str or None
        The text that `search` was asked for.
    like, unlike : tuple of str or None
        The tiles that `search` was asked for the like of, and those of another kind, by their ids.
    accepted_as : str or None
        The class of the tiles of a search that are accepted, if it was named.
    warnings : tuple of str, or None
        What the run warned of, such as a scene unlike the training images of the bundle.
    query_bundle : mapping or None
        Name and SHA-256 of the bundle that encoded the query, or the tiles.
    sample : mapping or None
        The design of the probability sample that the layer holds, see `SampleDesign.to_json`.
    examples : tuple of mapping, or None
        The tiles that the adapter of the run learned from, see `TileSet.to_json`; empty for the adapter of a bundle,
        whose examples are images from elsewhere.
    change : mapping or None
        The two layers that the layer compares, see `bimors_cli.results.change.run`. Its labels say whether a tile
        changed, its run and scenes are those of the layer before.
    """

    version: str | None = None
    created: str | None = None
    command: str | None = None
    run_key: Mapping[str, Any] | None = None
    scene_paths: tuple[str, ...] | None = None
    labels: Mapping[str, str | None] | None = None
    warnings: tuple[str, ...] | None = None
    query: str | None = None
    like: tuple[str, ...] | None = None
    unlike: tuple[str, ...] | None = None
    accepted_as: str | None = None
    query_bundle: Mapping[str, Any] | None = None
    sample: Mapping[str, Any] | None = None
    examples: tuple[Mapping[str, Any], ...] | None = None
    change: Mapping[str, Any] | None = None

    @classmethod
    def of_command(cls, command: Sequence[str]) -> RunProvenance:
        """Record this version of bimors, the time and a command line."""
        return cls(
            version=__version__,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            command=redact(shlex.join(command)),
        )

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> RunProvenance:
        """Parse what `to_metadata` returned; keys that are missing are None.

        Raises
        ------
        ValueError
            A value is not JSON or has the wrong type.
        """
        return cls(
            **{name: metadata.get(name) for name in ("version", "created", "command", "query")},
            run_key=_parse(metadata, "run", dict),
            scene_paths=None if (paths := _parse(metadata, "scenes", list)) is None else tuple(map(str, paths)),
            labels=_parse(metadata, "labels", dict),
            warnings=None if (texts := _parse(metadata, "warnings", list)) is None else tuple(map(str, texts)),
            like=None if (ids := _parse(metadata, "like", list)) is None else tuple(map(str, ids)),
            unlike=None if (ids := _parse(metadata, "unlike", list)) is None else tuple(map(str, ids)),
            accepted_as=metadata.get("accepted_as"),
            query_bundle=_parse(metadata, "model", dict),
            sample=_parse(metadata, "sample", dict),
            examples=None if (sets := _parse(metadata, "examples", list)) is None else tuple(sets),
            change=_parse(metadata, "change", dict),
        )

    def to_metadata(self) -> dict[str, str]:
        """Return the strings that are written as metadata of a layer."""
        values: dict[str, Any] = {
            "version": self.version,
            "created": self.created,
            "command": self.command,
            "run": self.run_key,
            "scenes": self.scene_paths,
            "labels": self.labels,
            "warnings": self.warnings or None,
            "query": self.query,
            "like": self.like,
            "unlike": self.unlike,
            "accepted_as": self.accepted_as,
            "model": self.query_bundle,
            "sample": self.sample,
            "examples": self.examples,
            "change": self.change,
        }
        return {
            key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for key, value in values.items()
            if value is not None
        }

    @property
    def bundle(self) -> Mapping[str, Any]:
        """Name and SHA-256 of the bundle that classified the tiles, under ``name`` and ``sha256``."""
        bundle: Mapping[str, Any] = (self.run_key or {})["model"]
        return bundle

    @property
    def is_search(self) -> bool:
        """Whether the layer holds the tiles that a search found."""
        return self.query is not None or self.like is not None

    @property
    def compares_texts(self) -> bool:
        """Whether the features of the tiles can be compared with a text: those of views need not be CLIP's."""
        views = (self.run_key or {}).get("views")
        return views is None or compared_view(views) in IMAGE_FEATURES

    @property
    def synonyms(self) -> Mapping[str, Sequence[str]]:
        """The synonyms of each label that has some."""
        synonyms: Mapping[str, Sequence[str]] = (self.run_key or {}).get("synonyms", {})
        return synonyms

    def recorded_scenes(self) -> tuple[RecordedScene, ...]:
        """Return the scenes of the run.

        Raises
        ------
        KeyError, TypeError, ValueError
            The run was not one of `classify`, or the record is damaged.
        """
        run = self.run_key or {}
        return tuple(
            RecordedScene.from_key(run, key, path)
            for key, path in zip(run["scenes"], self.scene_paths or (), strict=True)
        )


def _parse(metadata: Mapping[str, str], key: str, expected: type[_Json]) -> _Json | None:
    if key not in metadata:
        return None
    value = json.loads(metadata[key])
    if not isinstance(value, expected):
        raise ValueError(f"{key!r} is not a JSON {'object' if expected is dict else 'array'}")
    return value


def read_run(path: Path, layer: str) -> RunProvenance:
    """Read the provenance of a layer; nothing is recorded in a layer of another program.

    Raises
    ------
    InputError
        The file cannot be read, or the provenance is invalid.
    """
    metadata = read_provenance(path, layer)
    try:
        return RunProvenance.from_metadata(metadata)
    except ValueError as error:
        raise _invalid(path, layer, error) from error


def read_classify_run(path: Path, layer: str) -> tuple[RunProvenance, tuple[RecordedScene, ...]]:
    """Read the provenance of a layer of `classify`, and the scenes in it.

    Raises
    ------
    InputError
        The file cannot be read, the layer was not written by `classify`, or its provenance is invalid.
    """
    run = read_run(path, layer)
    if run.run_key is None or run.scene_paths is None or run.labels is None:
        raise InputError(f"{path}: layer {layer!r} has no provenance of bimors classify", _HINT)
    try:
        scenes = run.recorded_scenes()
        if not {"name", "sha256"} <= set(run.bundle):
            raise ValueError("no bundle")
        for words in run.synonyms.values():
            list(words)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _invalid(path, layer, error) from error
    return run, scenes


def with_warnings(metadata: Mapping[str, str], warnings: Sequence[str]) -> dict[str, str]:
    """Return the strings of `RunProvenance.to_metadata` with what the run has warned of until its layer is written."""
    return replace(RunProvenance.from_metadata(metadata), warnings=tuple(warnings) or None).to_metadata()


def warnings_of_layer(path: Path, run: RunProvenance) -> tuple[str, ...]:
    """Return what the run that made a layer has warned of, as warnings about its file."""
    return tuple(f"{path.name} was made with a warning: {text}" for text in run.warnings or ())


def _invalid(path: Path, layer: str, error: Exception) -> InputError:
    return InputError(f"{path}: invalid provenance in layer {layer!r}: {error!r}", "write the layer again")


def lasting_path(path: str) -> str:
    """Return the absolute path of a local file; the address of another source without its secrets."""
    return os.path.abspath(path) if is_local(path) else display_name(lasting_name(path))


def grid_key(info: SceneInfo, grid: Grid, aoi_sha256: str | None) -> dict[str, Any]:
    """Return what decides the tiles of a scene, as it is recorded."""
    return {
        "name": info.name,
        "size": info.size_bytes,
        "modified": info.mtime_ns,
        "pixels": [info.width, info.height],
        "crs": info.crs.to_wkt(),
        "transform": list(info.transform)[:6],
        "tile": [grid.tile_width, grid.tile_height],
        "stride": [grid.stride_x, grid.stride_y],
        "aoi": aoi_sha256,
    }


def pixels_key(bands: Bands, stretch: Stretch, nodata: Nodata) -> dict[str, Any]:
    """Return what decides the images of the tiles of a scene, as it is recorded."""
    return {
        "bands": bands.indexes,
        "stretch": [stretch.kind, stretch.low, stretch.high],
        "nodata": str(nodata),
    }


@dataclass(frozen=True)
class RecordedScene:
    """A scene as it was when the layer was written.

    Attributes
    ----------
    name, path : str
        File name, and path at the time of the run.
    grid : Grid
        The grid of the rows: tiles, or with --vote the cells.
    crs_wkt : str
        CRS of the scene, or the assumed one.
    transform : Affine
        Pixel corner (column, row) to map coordinates.
    bands : tuple of int
        From 1.
    stretch, nodata : Stretch, Nodata
        How pixel values became images.
    size_bytes : int or None
        Size of a local file.
    aoi_sha256 : str or None
        Hash of the area of interest.
    """

    name: str
    path: str
    grid: Grid
    crs_wkt: str
    transform: Affine
    bands: tuple[int, ...]
    stretch: Stretch
    nodata: Nodata
    size_bytes: int | None = None
    aoi_sha256: str | None = None

    @classmethod
    def from_key(cls, run: Mapping[str, Any], key: Mapping[str, Any], path: str) -> RecordedScene:
        """Parse what `grid_key` and `pixels_key` returned for a scene.

        Parameters
        ----------
        run : mapping
            The run key.
        key : mapping
            The entry of the scene in it.
        path : str
            Path at the time of the run.

        Raises
        ------
        KeyError, TypeError, ValueError
            A value is missing or invalid.
        """
        kind, low, high = key["stretch"]
        if kind not in ("none", "range", "percentile", "raw"):
            raise ValueError(f"{kind!r} is not a stretch")
        grid = Grid(*(int(number) for name in ("pixels", "tile", "stride") for number in key[name]))
        return cls(
            name=str(key["name"]),
            path=path,
            grid=cells_of(grid) if run.get("vote") else grid,
            crs_wkt=str(key["crs"]),
            transform=Affine(*map(float, key["transform"])),
            bands=tuple(map(int, key["bands"])),
            stretch=Stretch(kind, tuple(map(float, low)), tuple(map(float, high))),
            nodata=recorded_nodata(str(key["nodata"])),
            size_bytes=key.get("size"),
            aoi_sha256=key.get("aoi"),
        )

    def bands_of(self, info: SceneInfo) -> Bands:
        """Return the bands that were read from a scene."""
        return Bands(self.bands) if self.stretch.kind == "raw" else choose_bands(info, self.bands)

    def shown(self, scene: Scene) -> tuple[Bands, Stretch]:
        """Return bands and stretch of an image for display: those of the run, or the colours of a run with more bands.

        Raises
        ------
        ReadError
            The pixels for the stretch cannot be read.
        """
        if self.stretch.kind != "raw":
            return self.bands_of(scene.info), self.stretch
        bands = choose_bands(scene.info)
        return bands, compute_stretch(scene.dataset, bands, parse_stretch("auto"), self.nodata)

    def find(self, layer_file: Path) -> str | None:
        """Return the path of a local scene: the recorded one, or the file of that name next to the layer, or None."""
        for candidate in (self.path, str(layer_file.parent / self.name)):
            if os.path.exists(file_of(candidate)):
                return candidate
        return None


def check_same_raster(info: SceneInfo, recorded: RecordedScene, layer_file: Path, hint: str) -> None:
    """Check that a scene is the raster that a layer was made from: size, position to half a pixel, CRS.

    Parameters
    ----------
    info : SceneInfo
        The scene as it is now.
    recorded : RecordedScene
        The scene of the layer.
    layer_file : Path
        File of the layer, for messages.
    hint : str
        How to give the right scene.

    Raises
    ------
    SceneError
        The size, the position or the CRS differs.
    InputError
        The recorded CRS is invalid.
    """
    width, height = recorded.grid.scene_width, recorded.grid.scene_height
    if (info.width, info.height) != (width, height):
        raise SceneError(
            f"{info.path} has {info.width} x {info.height} pixels, the scene of {layer_file} has {width} x {height}",
            hint,
        )
    moved = ~info.transform @ recorded.transform
    corners = [(0, 0), (width, 0), (0, height), (width, height)]
    if not np.allclose([moved @ corner for corner in corners], corners, rtol=0, atol=_TOLERANCE):
        raise SceneError(f"{info.path} has another position than the scene of {layer_file}", hint)
    try:
        is_same = info.crs == CRS.from_wkt(recorded.crs_wkt)
    except CRSError as error:
        raise InputError(f"{layer_file}: invalid CRS recorded for scene {recorded.name}", _HINT) from error
    if not is_same:
        raise SceneError(f"{info.path} has another CRS than the scene of {layer_file}", hint)
