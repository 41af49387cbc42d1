# ruff: noqa: E402 (the clock starts before the imports)
"""bimors beside the official procedure, in one run: same weights, scene and labels. See README.md here.

    python -m tests.benchmarks.against_official

Says what it does on standard error; the last line, on standard output, is a JSON object. Ends with 1 if rows differ.
"""

from __future__ import annotations

import time

_BEGAN = time.perf_counter()  # both programs wait for these imports, as their users would

import argparse
import gc
import json
import logging
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import rasterio
import torch

from bimors_cli.bundle.locate import embedded_bundle
from bimors_cli.bundle.manifest import ADAPTER, CAPTIONER, open_bundle
from bimors_cli.labels import Labels
from bimors_cli.options.classify import ClassifyOptions
from bimors_cli.pipeline.bundles.make import Sources, new_bundle
from bimors_cli.pipeline.inference import load as models  # noqa: F401 (run imports them when it needs them)
from bimors_cli.pipeline.make_plan import make_plan
from bimors_cli.pipeline.run import run
from tests.benchmarks.reference import Reference, Row, spread

IMPORTS = time.perf_counter() - _BEGAN

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("captioner", "caption encoder", "image tower", "head")
TOLERANCE = 1e-3
# Class names of RSICD and of RESISC45, of one to three words.
FIRST = """airport, bare land, baseball field, beach, bridge, center, church, commercial, dense residential, desert,
farmland, forest, industrial, meadow, medium residential, mountain, park, parking, playground, pond, port,
railway station, resort, river, school, sparse residential, square, stadium, storage tanks, viaduct"""
SECOND = """grass, water, trees, field, town, village, road, railway, lake, sea, island, hill, valley, garden, farm,
factory, warehouse, harbour, dock, runway, terminal, tennis court, football field, basketball court, roundabout,
crossroads, green land, dry land, buildings, residential area"""
RESISC45 = """airplane, airport, baseball diamond, basketball court, beach, bridge, chaparral, church, circular
farmland, cloud, commercial area, dense residential, desert, forest, freeway, golf course, ground track field,
harbor, industrial area, intersection, island, lake, meadow, medium residential, mobile home park, mountain,
overpass, palace, parking lot, railway, railway station, rectangular farmland, river, roundabout, runway, sea ice,
ship, snowberg, sparse residential, stadium, storage tank, tennis court, terrace, thermal power station, wetland"""


@dataclass(frozen=True)
class Ours:
    """A run of bimors: ``wall`` without imports and loading, ``start`` these two; ``seconds`` of each stage."""

    layer: geopandas.GeoDataFrame
    wall: float
    start: float
    seconds: dict[str, float]

    @property
    def overlap(self) -> float:
        """Wall time over the time of the model's stages."""
        return self.wall / sum(self.seconds.get(stage, 0.0) for stage in STAGES)


@dataclass(frozen=True)
class Comparison:
    """The reference over ours: the whole command, the same without start, and the text stage alone."""

    whole: float
    running: float
    text: float
    agree: bool


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _arguments(arguments)
    logging.basicConfig(level=logging.ERROR)
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    say(f"{torch.get_num_threads()} threads, torch {torch.__version__}; imports {IMPORTS:.1f} s, counted for both")
    result: dict[str, Any] = dict.fromkeys(
        ("ratio", "ratio_cached", "ratio_full_size", "ratio_text_stage", "overlap", "agree")
    )
    agree = []
    with _folder(chosen.work) as work:
        os.environ["BIMORS_CACHE"] = str(work / "cache")  # not the user's
        os.environ.pop("BIMORS_CACHE_SIZE", None)
        if "mini" in chosen.parts:
            first, second, overlap = mini(work, chosen)
            result |= {"ratio": first.whole, "ratio_cached": second.whole, "overlap": overlap}
            agree += [first.agree, second.agree]
        if "full" in chosen.parts:
            full = full_size(work, chosen)
            result |= {"ratio_full_size": full.whole, "ratio_text_stage": full.text}
            agree.append(full.agree)
    result["agree"] = all(agree)
    print(json.dumps({key: round(v, 3) if isinstance(v, float) else v for key, v in result.items()}))
    return 0 if result["agree"] else 1


def mini(work: Path, chosen: argparse.Namespace) -> tuple[Comparison, Comparison, float]:
    """The embedded bundle with 30 labels: everything new, then other labels over the filled cache."""
    shutil.rmtree(work / "cache", ignore_errors=True)
    bundle = embedded_bundle()
    found = []
    overlaps = []
    for name, labels in (("mini, 30 labels, empty cache", FIRST), ("mini, 30 other labels, filled cache", SECOND)):
        options = _options(chosen.scene, labels, work / "mini.gpkg", bundle, chosen.tiles)
        ours = run_ours(options)
        overlaps.append(ours.overlap)
        found.append(compare(name, options, ours, chosen.reference_tiles, work, captioned=True))
    return found[0], found[1], overlaps[0]


def full_size(work: Path, chosen: argparse.Namespace) -> Comparison:
    """ViT-B/16 and BERT-base in their real shapes with random weights, 45 labels, captions from the cache."""
    folder = work / "full-size"
    if not (folder / ADAPTER).is_dir():
        shutil.rmtree(folder, ignore_errors=True)
        say("writing a bundle of full size")
        write_full_size(folder, work / "parts")
    options = _options(chosen.scene, RESISC45, work / "full.gpkg", folder, chosen.full_tiles)
    # Fills the cache; the captioner is mini's and no part of what is timed.
    run_ours(_options(chosen.scene, RESISC45, work / "full.gpkg", folder, chosen.full_tiles, head="zero-shot"))
    ours = run_ours(options)
    name = "ViT-B/16 and BERT-base, 45 labels, captions given"
    return compare(name, options, ours, chosen.full_reference_tiles, work, captioned=False)


def run_ours(options: ClassifyOptions) -> Ours:
    gc.collect()
    clock = time.perf_counter()
    summary = run(options)
    wall = time.perf_counter() - clock
    loading = summary.seconds.pop("loading the model")
    layer = geopandas.read_file(options.output, layer="tiles")
    return Ours(layer, wall - loading, loading + IMPORTS, summary.seconds)


def compare(name: str, options: ClassifyOptions, ours: Ours, wanted: int, work: Path, *, captioned: bool) -> Comparison:
    """Let the reference answer for some of the tiles, scale its time to all, and compare the rows."""
    gc.collect()
    labelled = ours.layer[ours.layer["label"].notna()]
    picked = labelled.iloc[spread(len(labelled), wanted)]
    clock = time.perf_counter()
    plan = make_plan(options)
    planning = time.perf_counter() - clock
    (scene,) = plan.scenes
    places = [row * scene.grid.cols + col for row, col in zip(picked["row"], picked["col"], strict=True)]
    captions = [None] * len(picked) if captioned else picked["caption"].tolist()
    reference = Reference(plan, captioned)
    reference.classify(places[:1], captions[:1])  # the first tile loads code and memory
    reference.seconds.clear()
    rows = reference.classify(places, captions)
    reference.write(rows, work / "reference.gpkg")
    agree = rows_agree(picked, rows)

    count, tiles_ours = len(rows), len(labelled)
    each = sum(reference.seconds.values()) / count
    running = planning + each * tiles_ours
    start = reference.start + IMPORTS
    text = reference.seconds["text"] / count / (ours.seconds["head"] / tiles_ours)
    result = Comparison((start + running) / (ours.start + ours.wall), running / ours.wall, text, agree)
    say(f"{name}: {tiles_ours} tiles by bimors, {count} of them by the reference, scaled to {tiles_ours}")
    say(f"  reference  start {start:6.1f} s, then {running:8.1f} s; a tile: {_told(reference.seconds, count)}")
    say(f"  bimors     start {ours.start:6.1f} s, then {ours.wall:8.1f} s; a tile: {_told(ours.seconds, tiles_ours)}")
    say(
        f"  ratio {result.whole:.2f} with start, {result.running:.2f} without; text stage alone {text:.2f}; "
        f"wall time over the model's stages {ours.overlap:.3f}; rows {'agree' if agree else 'DIFFER'}"
    )
    return result


def rows_agree(picked: geopandas.GeoDataFrame, rows: Sequence[Row]) -> bool:
    """Whether captions and labels are equal and confidences within `TOLERANCE`; says where not."""
    agree = True
    for (_, mine), theirs in zip(picked.iterrows(), rows, strict=True):
        assert (mine["row"], mine["col"]) == (theirs.row, theirs.col)
        same = mine["label"] == theirs.label and mine["caption"] == theirs.caption
        if not same or abs(mine["confidence"] - theirs.confidence) > TOLERANCE:
            agree = False
            say(
                f"  {mine['tile_id']}: {mine['label']} {mine['confidence']:.4f} {mine['caption']!r}, reference {theirs}"
            )
    return agree


def write_full_size(folder: Path, parts: Path) -> None:
    """Write a bundle with mini's captioner, so that captions are sentences, and a random adapter that heeds them."""
    from transformers import BertTokenizer  # none of these is a part of what a user waits for
    from transformers.utils import logging as transformers_logging

    from tests.bundles import write_adapter
    from tests.model.full_size import bert_words, write_bert, write_clip

    transformers_logging.disable_progress_bar()
    shutil.rmtree(parts, ignore_errors=True)
    torch.manual_seed(0)
    own = open_bundle(embedded_bundle())
    write_clip(parts / "clip", "ViT-B-16")
    write_bert(parts / "bert")
    # BERT's own vocabulary has these words whole: a caption is as many tokens as with the real one.
    words = bert_words().get_vocab()
    new = sorted((own.vocabulary or frozenset()) - words.keys())
    for place, word in enumerate(new, start=2000):
        del words[f"word{place}"]
        words[word] = place
    BertTokenizer(words).save_pretrained(parts / "bert")
    sources = Sources(parts / "clip", None, own.part(CAPTIONER), parts / "bert")
    licences = {"weights": "none: random numbers"}
    bundle = new_bundle(
        folder,
        sources,
        name="full-size",
        description="random weights",
        context=own.context,
        licences=licences,
        link=True,
    )
    write_adapter(folder / ADAPTER, bundle, spread=0.02)
    shutil.rmtree(parts)


def _options(scene: Path, labels: str, output: Path, bundle: Path, wanted: int, head: str = "auto") -> ClassifyOptions:
    side = open_bundle(bundle).image_size
    return ClassifyOptions(
        scenes=(str(scene),),
        labels=Labels.of([" ".join(name.split()) for name in labels.split(",")]),
        output=str(output),
        model=str(bundle),
        head=head,
        tile_size=str(side),
        overlap=str(side - _stride(scene, side, wanted)),
        device="cpu",
        overwrite=True,
    )


def _stride(scene: Path, side: int, wanted: int) -> int:
    """The largest step, in pixels, by which a scene has at least the wanted number of tiles; no two are equal."""
    with rasterio.open(scene) as dataset:
        sides = dataset.width, dataset.height
    for stride in range(side, 0, -1):
        if math.prod(max(1, -(-(length - side) // stride) + 1) for length in sides) >= wanted:
            return stride
    raise SystemExit(f"{scene} has no {wanted} tiles of {side} pixels")


def _told(seconds: dict[str, float], count: int) -> str:
    return ", ".join(f"{stage} {1000 * s / count:.1f} ms" for stage, s in seconds.items())


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="against_official", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--parts", nargs="+", choices=("mini", "full"), default=("mini", "full"))
    parser.add_argument("--scene", type=Path, default=ROOT / "examples" / "scene.tif")
    parser.add_argument("--tiles", type=int, default=1000, help="by bimors, with the mini bundle")
    parser.add_argument("--reference-tiles", type=int, default=40, help="of them by the reference")
    parser.add_argument("--full-tiles", type=int, default=250, help="by bimors, at full size")
    parser.add_argument("--full-reference-tiles", type=int, default=20, help="of them by the reference")
    parser.add_argument("--threads", type=int, help="of torch; else as many as there are processors")
    parser.add_argument("--work", type=Path, help="folder to keep the bundle of full size in; else a temporary one")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
