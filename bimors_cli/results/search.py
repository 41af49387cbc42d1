"""Search for tiles by text or by tiles like them: cosine similarity of a query and the features that a run saved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bimors_cli.errors import InputError
from bimors_cli.options.search import SearchOptions
from bimors_cli.output.geopackage import read_layer
from bimors_cli.results.classified_layer import ClassifiedLayer, read_classified_layer
from bimors_cli.results.found_layer import FoundLayer, FoundLayerWriter, Hit, read_found_layer
from bimors_cli.results.search_query import Block, Given, Query, like_tiles, match_text
from bimors_cli.run_warnings import keeps_warnings
from bimors_cli.steps import step

SCORE_DECIMALS: Final = 4
# So many ids stay far below SQLite's limit on the length of a statement.
IDS_PER_STATEMENT: Final = 500


@keeps_warnings
def search(options: SearchOptions, command: Sequence[str] = ("bimors_cli.search",)) -> list[Hit]:
    """Find the tiles of a layer most similar to a text or to tiles, and write them as a layer if an output is given.

    The score is the cosine similarity of a query and the tile's feature. The query of a text is CLIP's text feature of
    "a photo of a QUERY." (with the bundle's own context words); that of tiles is made of their features, see
    `like_tiles`, and these tiles are left out. Of equal scores the earlier tile comes first. Tiles that were deleted
    from the layer are left out. Scenes are not opened: polygons come from the recorded grid and transform.

    Returns
    -------
    list of Hit
        At most ``options.top``, best first.

    Raises
    ------
    InputError
        The file was not written by `classify`, or holds no features (of the given tiles); its features cannot be
        compared with a text, or the bundle that encoded them is not found; the query is too long; a layer of an earlier
        search is not one, has no accepted tile or is of other tiles; a tile is given as of the wanted kind and as of
        another; the output exists.
    BundleError
        The bundle is damaged.
    OutputError
        The output cannot be written.
    """
    options.check_required()
    layer = read_classified_layer(options.file, options.layer)
    judged = [read_found_layer(Path(name)) for name in options.judged]
    given = _given(layer, options, judged)
    writer = None
    if options.output is not None:
        writer = FoundLayerWriter(layer, options, given, _class_name(options, judged), command)
        writer.check()
    hits = _find_hits(layer, options, given)
    if writer is not None:
        writer.write(hits)
    return hits


def _given(layer: ClassifiedLayer, options: SearchOptions, judged: Sequence[FoundLayer]) -> Given:
    """Collect the tiles of the options and those of earlier searches."""
    tiles = {scene.name: (scene.grid, scene.transform, scene.crs_wkt) for scene in layer.scenes}
    for found in judged:
        for scene in found.scenes:
            if tiles.get(scene.name) != (scene.grid, scene.transform, scene.crs_wkt):
                raise InputError(
                    f"{found.path} and {layer.path} have different tiles of the scene {scene.name}",
                    "search in the layer that was searched before",
                )
    like = tuple(dict.fromkeys(chain(options.like, *(found.given.like for found in judged))))
    unlike = tuple(dict.fromkeys(chain(options.unlike, *(found.given.unlike for found in judged))))
    files = ", ".join(str(found.path) for found in judged)
    if judged and not like:
        raise InputError(f"{files}: no tile is accepted", "accept tiles in QGIS: set the column accept to yes, or 1")
    for tile_id in like:
        if tile_id in unlike:
            raise InputError(
                f"the tile {tile_id} is both of the wanted kind and of another, by {files}, --like or --unlike",
                "accept or reject it in all layers alike",
            )
    return Given(like, unlike)


def _class_name(options: SearchOptions, judged: Sequence[FoundLayer]) -> str | None:
    """Return the class of the tiles that will be accepted, if it is known."""
    if options.accepted_as is not None:
        return options.accepted_as.strip()
    before = {found.run.accepted_as for found in judged} - {None}
    if len(before) > 1:
        names = ", ".join(sorted(map(str, before)))
        raise InputError(f"the layers of --from are of several classes: {names}", "name the class with --as NAME")
    text = None if options.query is None else " ".join(options.query.split())
    return before.pop() if before else text


def _find_hits(layer: ClassifiedLayer, options: SearchOptions, given: Given) -> list[Hit]:
    """Rank the tiles of a layer by their features."""
    query = _query(layer, options, given)
    with step(f"comparing the tiles of {layer.path.name}"):
        ids, scores = best_tiles(query.blocks, query.vector, options.top)
        rows = _read_rows(layer, ids)
    found = [(score, tile_id) for score, tile_id in zip(scores.tolist(), ids, strict=True) if tile_id in rows]
    return [
        Hit(rank, round(score, SCORE_DECIMALS), tile_id, **rows[tile_id])
        for rank, (score, tile_id) in enumerate(found, start=1)
    ]


def _query(layer: ClassifiedLayer, options: SearchOptions, given: Given) -> Query:
    if given.like:
        return like_tiles(layer, given, options.query, options.model)
    return match_text(layer, str(options.query), options.model)


def best_tiles(
    blocks: Iterable[Block], query: npt.NDArray[np.float32], count: int
) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Find the tiles whose features have the largest dot product with a query, one block in memory at a time.

    Parameters
    ----------
    blocks : iterable of (ids, features)
        Features are any float [n, E].
    query : float32 array [E]
        Feature of the query.
    count : int
        How many tiles to return.

    Returns
    -------
    ids, scores : list of str, float32 array
        Best first; of equal scores the earlier tile comes first.
    """
    best: list[str] = []
    scores = np.empty(0, np.float32)
    for ids, features in blocks:
        candidates = [*best, *ids]
        products = np.concatenate([scores, features.astype(np.float32) @ query])
        order = np.argsort(-products, kind="stable")[:count]
        best, scores = [candidates[index] for index in order.tolist()], products[order]
    return best, scores


def _read_rows(layer: ClassifiedLayer, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read scene, row, col, label and caption of tiles, by their ids; deleted tiles are missing."""
    rows: dict[str, dict[str, Any]] = {}
    names = ["scene", "row", "col", "label", "caption"]
    for start in range(0, len(ids), IDS_PER_STATEMENT):
        listed = ", ".join("'" + tile_id.replace("'", "''") + "'" for tile_id in ids[start : start + IDS_PER_STATEMENT])
        frame = read_layer(layer.path, layer.name, ["tile_id", *names], where=f"tile_id IN ({listed})")
        for tile_id, *values in zip(*(frame[column].tolist() for column in ["tile_id", *names]), strict=True):
            rows[tile_id] = {
                name: None if value != value else value  # a null text is read as NaN
                for name, value in zip(names, values, strict=True)
            }
    return rows
