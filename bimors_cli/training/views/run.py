"""A run of finetune --head auto: examples, their views, the choice, the adapter."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from bimors_cli.bundle.adapter_views import AdapterViews
from bimors_cli.bundle.manifest import CAPTION_ENCODER, CAPTIONER, Bundle
from bimors_cli.errors import InputError, Interrupted
from bimors_cli.labels import Labels
from bimors_cli.metrics.scores import Scores, score
from bimors_cli.options.views import CAPTION, IMAGE_START, PROMPTS, SCENE_START
from bimors_cli.pipeline.added_offsets import warn_of_added_offset
from bimors_cli.pipeline.inference.caption_cache import CaptionCacheFile, open_caption_cache
from bimors_cli.pipeline.inference.load import load_models
from bimors_cli.pipeline.inference.view_encoder import ViewEncoder
from bimors_cli.pipeline.progress import NullProgress, Progress, StopRequest
from bimors_cli.pipeline.scene_views import adapter_views, statistics_spec
from bimors_cli.pipeline.training_domain import check_domain
from bimors_cli.run_warnings import warnings_so_far
from bimors_cli.scene.size import ground_pixel_size
from bimors_cli.training.examples.base import TEST, Examples
from bimors_cli.training.examples.scene_tiles import TileImages, tiles_of
from bimors_cli.training.options import FinetuneOptions
from bimors_cli.training.views.collect import Collected, collect_views, sample_statistics
from bimors_cli.training.views.learn import Learned, learn
from bimors_cli.training.views.prepare import PreparedViews
from bimors_cli.training.views.prompts import prompts_may_help, train_prompts
from bimors_cli.training.views.save import save_views_adapter
from bimors_cli.training.views.summary import ViewsRun, ViewsSummary

log = logging.getLogger("bimors")


def finetune_views(
    options: FinetuneOptions,
    bundle: Bundle,
    prepared: PreparedViews,
    output: Path,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
) -> ViewsSummary:
    """Learn an adapter that classifies by views, and write its folder.

    Parameters
    ----------
    options : FinetuneOptions
        Options of the command.
    bundle : Bundle
        The frozen models.
    prepared : PreparedViews
        The examples, and the names of their views.
    output : Path
        The adapter's folder.
    progress, stop : Progress, StopRequest
        Progress, and the request of an early end, which is noticed between the stages.

    Raises
    ------
    InputError
        The images of one class only can be read.
    BimorsError
        The models cannot be loaded, or the output cannot be written.
    """
    progress, stop = progress or NullProgress(), stop or NullProgress()
    clock = time.perf_counter()
    examples, drawn, train, tiles, names = (
        prepared.examples, prepared.drawn, prepared.train, prepared.tiles, prepared.names,
    )  # fmt: skip
    views = _describe(names, tiles)
    if tiles is not None:
        infos = [scene.info for scene in tiles.scenes]
        warn_of_added_offset(infos, views.added_offset, infos[0].name)
    trained = Labels.literal(examples.labels.names)
    seconds: dict[str, float] = {}
    with open_caption_cache(keep=options.caption_cache) as cache:
        asked, with_prompts = PROMPTS in options.views, _describe((*names, PROMPTS), tiles)
        encoder = _make_encoder(options, bundle, with_prompts if asked else views, trained, cache)
        seconds["loading the model"] = time.perf_counter() - clock
        clock = time.perf_counter()
        progress.begin(len(train), stage="examples")
        collected = collect_views(train, tiles, views, encoder, progress.advance, options.stretch)
        usual = {} if tiles is None else sample_statistics(tiles, views, options.min_valid)
        seconds["views"] = time.perf_counter() - clock
        stop_requested(stop)
        clock = time.perf_counter()
        kept = train.take(collected.rows)
        _check_classes(kept)
        learn_from = partial(
            learn,
            examples=kept.examples,
            classes=len(trained),
            start=_start(names),
            usual=usual,
            band_of_number=_band_of_number(tiles, views),
            seed=options.seed,
        )
        learned, arrays = learn_from(collected.views), {}
        seconds["learning"] = time.perf_counter() - clock
        if asked or (
            not options.views
            and _can_caption(options, bundle, tiles)
            and prompts_may_help(learned, len(kept), len(trained))
        ):
            clock = time.perf_counter()
            if not encoder.models.captions:
                encoder = _make_encoder(options, bundle, with_prompts, trained, cache)
            prompts = train_prompts(encoder, kept, learned.folds, options.seed, progress, lambda: stop_requested(stop))
            learned = learn_from({**collected.views, PROMPTS: prompts.left_out})
            if PROMPTS in learned.selection.chosen.views:
                encoder, arrays = prompts.encoder, dict(prompts.arrays)
            seconds["prompts"] = time.perf_counter() - clock
        test = _test(options, examples, views, encoder, learned, progress)
    chosen = learned.selection.chosen.views
    run = ViewsRun(
        learned,
        replace(_describe(chosen, tiles), templates=bundle.templates if "names" in chosen else ()),
        {name: sum(e.label == label for e in kept.examples) for label, name in enumerate(examples.labels.names)},
        dict(drawn.short),
        len(train) - len(kept),
        test,
        seconds,
        "such images" if tiles is None else "this scene",
        arrays,
    )
    save_views_adapter(output, bundle, examples, kept, options, run)
    return ViewsSummary(str(output), run, warnings_so_far())


def _make_encoder(
    options: FinetuneOptions, bundle: Bundle, views: AdapterViews, labels: Labels, cache: CaptionCacheFile | None
) -> ViewEncoder:
    models = load_models(
        bundle, options.device, captions=CAPTION in views.inputs, caption_cache=cache, unused=views.unused_parts
    )
    return ViewEncoder.create(models, views.names, labels)


def stop_requested(stop: StopRequest) -> None:
    """Raise Interrupted if an early end was requested: nothing was written."""
    if stop.signal_number is not None:
        raise Interrupted(stop.signal_number, "interrupted", "run the same command again")


def _can_caption(options: FinetuneOptions, bundle: Bundle, tiles: TileImages | None) -> bool:
    """Whether captions would describe the examples: of scenes that the captioner was not trained for they do not."""
    if not (options.captions and bundle.has_part(CAPTIONER) and bundle.has_part(CAPTION_ENCODER)):
        return False
    domain = bundle.training_domain
    if tiles is None or domain is None:
        return True
    return not any(check_domain(scene.info, scene.grid, domain, bundle.image_size) for scene in tiles.scenes)


def _start(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the views that a choice starts from: those of bands if there are any, else of the image."""
    wanted = SCENE_START if set(SCENE_START) & set(names) else IMAGE_START
    return tuple(name for name in wanted if name in names) or names[:1]


def _describe(names: tuple[str, ...], tiles: TileImages | None) -> AdapterViews:
    if tiles is None:
        return AdapterViews(names)
    ground = ground_pixel_size(tiles.scenes[0].info)
    return adapter_views(names, tiles.scenes, None if ground is None else (ground[0] * ground[1]) ** 0.5)


def _band_of_number(tiles: TileImages | None, views: AdapterViews) -> tuple[str, ...]:
    if tiles is None or not views.bands or "bands" not in views.names:
        return ()
    info = tiles.scenes[0].info
    return statistics_spec(info, views, info.name).band_of_number()


def _check_classes(examples: Examples) -> None:
    present = {example.label for example in examples.examples}
    if len(present) < 2:
        raise InputError(
            f"{examples.name}: examples of one class only can be read", "check the files, or draw another class"
        )


def _test(
    options: FinetuneOptions,
    examples: Examples,
    views: AdapterViews,
    encoder: ViewEncoder,
    learned: Learned,
    progress: Progress,
) -> Scores | None:
    rows = [row for row, example in enumerate(examples.examples) if example.split == TEST]
    if not rows:
        return None
    tested = examples.take(rows)
    progress.begin(len(tested), stage="test images")
    chosen = AdapterViews(learned.selection.chosen.views, views.bands, views.false_colour)
    found: Collected = collect_views(tested, tiles_of(tested), chosen, encoder, progress.advance, options.stretch)
    log_p = learned.ensemble.log_probabilities(found.views)
    target = torch.tensor([tested.examples[row].label for row in found.rows])
    return score(torch.from_numpy(log_p).exp().float(), target, examples.labels.names)
