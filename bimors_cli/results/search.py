"""Tiles by what somebody asks for: cosines of a text with the image features that a run kept."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS

from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import CLIP, Bundle, open_bundle
from bimors_cli.errors import InputError
from bimors_cli.output.classified_schema import INTEGER, REAL, TEXT, make_frame
from bimors_cli.output.formats import STDOUT, WGS84, Format, check_layer, guess_format, write_layer
from bimors_cli.output.geopackage import read_layer
from bimors_cli.output.image_features import read_features
from bimors_cli.output.layer_schema import TILE_COLUMNS, TileSchema
from bimors_cli.output.sequence import write_sequence
from bimors_cli.output.style import Style, score_qml
from bimors_cli.provenance import origin
from bimors_cli.results.classified_layer import ClassifiedLayer, read_classified_layer
from bimors_cli.scene.polygons import Polygons, reproject, tile_polygons

if TYPE_CHECKING:
    import geopandas

MOST: Final = 10_000
SCORE_DECIMALS: Final = 4
# SQLite's own bound on a statement's length is far above what so many ids take.
IDS_AT_ONCE: Final = 500

log = logging.getLogger("bimors")


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """The options of `bimors search`.

    ``layer`` is that of the file to search in, ``into`` the name of the layer of the best tiles. ``output`` None writes
    none, ``-`` writes it to standard output. ``model`` None is the bundle that made the features, by its name.
    """

    file: Path
    query: str
    top: int = 50
    layer: str | None = None
    model: str | None = None
    output: str | None = None
    format: str | None = None
    into: str = "found"
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not self.query.strip():
            raise InputError("nothing to search for", 'say what the tiles should show: "a bridge over a river"')
        if not 1 <= self.top <= MOST:
            raise InputError(f"--top {self.top}: between 1 and {MOST:,}")
        if self.format is not None and self.output is None:
            raise InputError("--format is about --output, which is not given", "add -o FILE")
        if self.output not in (None, "-") and Path(str(self.output)).resolve() == self.file.resolve():
            raise InputError(f"{self.output} is the file that is searched", "use another -o")


@dataclass(frozen=True, slots=True)
class Hit:
    """A tile that was found: ``rank`` from 1, ``score`` the cosine of query and tile; the rest as the layer has it."""

    rank: int
    score: float
    tile_id: str
    scene: str
    row: int
    col: int
    label: str | None
    caption: str | None

    def to_json(self) -> dict[str, Any]:
        """Make a JSON object."""
        return asdict(self)


def search(options: SearchOptions, command: Sequence[str] = ("bimors_cli.search",)) -> list[Hit]:
    """Find the tiles of a layer that are most like a text, and write them as a layer if an output is given.

    The score is the cosine of CLIP's text feature of "a photo of a QUERY." (the bundle's own words before a label) with
    the tile's image feature. Of equal scores the earlier tile wins. Tiles that were deleted from the layer since are
    left out.

    Returns
    -------
    list of Hit
        At most ``options.top``, best first.

    Raises
    ------
    InputError
        The file is not of classify, holds no features, or the bundle that made them is not to be found; the query is
        too long; the output is there already.
    BundleError
        The bundle is damaged.
    OutputError
        The output cannot be written.
    """
    result = read_classified_layer(options.file, options.layer)
    output = None if options.output is None else Path(options.output)
    form = None if output is None else guess_format(output, options.format)
    if output is not None and form is not None and output != STDOUT:
        check_layer(output, form, _spec(result, options, form, [], command), overwrite=options.overwrite)
    blocks = read_features(options.file, result.layer)
    first = next(blocks)  # refuses a layer without any before a model is loaded
    bundle = _bundle(result, options.model)
    text = _text_feature(bundle, options.query)
    if first[1].shape[1] != len(text):
        raise InputError(f"{options.file}: its image features are not of {bundle.name}", "run bimors classify again")
    ids, scores = best_tiles(chain([first], blocks), text, options.top)
    told = _rows(result, ids)
    kept = [(score, name) for score, name in zip(scores.tolist(), ids, strict=True) if name in told]
    hits = [
        Hit(rank, round(score, SCORE_DECIMALS), name, **told[name]) for rank, (score, name) in enumerate(kept, start=1)
    ]
    if output is not None and form is not None:
        spec = _spec(result, options, form, hits, command)
        chunks = [_frame(result, hits, spec)]
        if output == STDOUT:
            write_sequence(sys.stdout, chunks, spec, rs=form.rs)
        else:
            write_layer(output, chunks, form, spec, overwrite=options.overwrite)
    return hits


def best_tiles(
    blocks: Iterable[tuple[list[str], npt.NDArray[Any]]], text: npt.NDArray[np.float32], count: int
) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Find the tiles whose features have the largest products with a text's, one block in memory at a time.

    Parameters
    ----------
    blocks : iterable of (ids, features)
        Features are any float [n, E].
    text : float32 array [E]
        That of the text.
    count : int
        How many.

    Returns
    -------
    ids, scores : list of str, float32 array
        Best first; of equal scores the earlier tile is first.
    """
    best: list[str] = []
    scores = np.empty(0, np.float32)
    for ids, features in blocks:
        names = [*best, *ids]
        together = np.concatenate([scores, features.astype(np.float32) @ text])
        order = np.argsort(-together, kind="stable")[:count]
        best, scores = [names[place] for place in order.tolist()], together[order]
    return best, scores


def _bundle(result: ClassifiedLayer, model: str | None) -> Bundle:
    """Open the bundle that made the features."""
    made_by = result.run["model"]
    try:
        bundle = open_bundle(find_bundle(model or str(made_by["name"])))
    except InputError as error:
        raise InputError(
            f"{result.path}: its image features are of the bundle {made_by['name']}: {error.message}",
            "say where that bundle is with --model DIR",
        ) from error
    if bundle.sha256 != made_by["sha256"]:
        raise InputError(
            f"{result.path}: its image features are of a bundle {made_by['name']} "
            f"({str(made_by['sha256'])[:12]}), not of {bundle.folder} ({bundle.sha256[:12]})",
            "say where that bundle is with --model DIR, or run bimors classify with --keep-features again",
        )
    return bundle


def _text_feature(bundle: Bundle, query: str) -> npt.NDArray[np.float32]:
    """Return CLIP's normalised feature of a query, float32 [E], as a zero-shot label is read."""
    from bimors_cli.labels import Label, Labels
    from bimors_cli.model.clip import Clip

    words = " ".join(query.split()).rstrip(".")
    unknown = bundle.unknown_words(words)
    if unknown:
        log.warning("the query is not to be trusted: this model never saw %s", ", ".join(map(repr, unknown)))
    clip = Clip.load(bundle.part(CLIP))
    try:
        clip.name_tokens(Labels((Label(words),)), clip.embed_words(bundle.context).shape[0])
    except InputError as error:
        raise InputError("the query is longer than this model reads", "use fewer words") from error
    feature: npt.NDArray[np.float32] = clip.encode_text([f"{bundle.context} {words}."])[0].numpy()
    return feature


def _rows(result: ClassifiedLayer, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return what the layer has now of tiles, by their ids."""
    found: dict[str, dict[str, Any]] = {}
    names = ["scene", "row", "col", "label", "caption"]
    for begin in range(0, len(ids), IDS_AT_ONCE):
        listed = ", ".join("'" + name.replace("'", "''") + "'" for name in ids[begin : begin + IDS_AT_ONCE])
        frame = read_layer(result.path, result.layer, ["tile_id", *names], where=f"tile_id IN ({listed})")
        for tile_id, *values in zip(*(frame[column].tolist() for column in ["tile_id", *names]), strict=True):
            found[tile_id] = {
                name: None if value != value else value  # a text that is not there comes back as NaN
                for name, value in zip(names, values, strict=True)
            }
    return found


def _spec(
    result: ClassifiedLayer, options: SearchOptions, form: Format, hits: Sequence[Hit], command: Sequence[str]
) -> TileSchema:
    crs = _crs(result, form)
    scores = [hit.score for hit in hits] or [0.0]
    return TileSchema(
        options.into,
        crs.to_wkt(),
        {**TILE_COLUMNS, "rank": INTEGER, "score": REAL, "label": TEXT, "caption": TEXT},
        Style("score", score_qml(min(scores), max(scores)), "how much like the query, by bimors"),
        {**origin(command), "query": options.query, "model": json.dumps(result.run["model"], ensure_ascii=False)},
        crs.is_geographic,
    )


def _crs(result: ClassifiedLayer, form: Format) -> CRS:
    return CRS.from_user_input(WGS84 if form.wgs84 else result.run["crs"])


def _frame(result: ClassifiedLayer, hits: Sequence[Hit], spec: TileSchema) -> geopandas.GeoDataFrame:
    scenes = {used.name: used for used in result.scenes}
    crs = CRS.from_wkt(spec.crs_wkt)
    polygons: Polygons = np.full(len(hits), None, object)
    for place, hit in enumerate(hits):
        used = scenes[hit.scene]
        tile = used.grid.tile(hit.row, hit.col)
        polygons[place] = reproject(tile_polygons([tile], used.transform), CRS.from_wkt(used.crs_wkt), crs)[0]
    return make_frame({name: [getattr(hit, name) for hit in hits] for name in spec.columns()}, polygons, spec)
