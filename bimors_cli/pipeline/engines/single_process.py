"""Computes the tiles of a job in this process, with the threads of `bimors_cli.pipeline.inference.predict`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from bimors_cli.pipeline.checkpoint.journal import Journal
from bimors_cli.pipeline.checkpoint.journal_format import journal_path
from bimors_cli.pipeline.inference.caption_cache import open_caption_cache
from bimors_cli.pipeline.job import Job
from bimors_cli.pipeline.plan import TileIndices, num_tiles
from bimors_cli.pipeline.progress import Progress
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.steps import LIBRARIES, step


@contextmanager
def open_job_journal(job: Job, progress: Progress) -> Iterator[tuple[Journal, TileIndices]]:
    """Create the journal of a job, or resume it; yields the journal and the pending tiles."""
    plan = job.plan
    sizes = [len(scene.grid) for scene in plan.scenes]
    path = journal_path(plan.output, job.shard)
    with Journal(path, plan.run_key(), sizes, resume=plan.options.resume, shard_header=job.shard_header()) as journal:
        tiles = job.tiles()
        pending = journal.pending(tiles)
        job.summary.resumed = num_tiles(tiles) - num_tiles(pending)
        progress.begin(num_tiles(tiles), job.summary.resumed)
        yield journal, pending


def predict_job(job: Job, tiles: TileIndices) -> Iterator[list[TileResult]]:
    """Load the models of a job, and yield the results of tiles batch by batch, in grid order."""
    # A resumed run that lacks only its layer needs no model; torch takes seconds to import.
    if not num_tiles(tiles):
        return
    clock = time.perf_counter()
    with step(LIBRARIES):
        from bimors_cli.pipeline.inference.load import load_models

    plan, options, summary = job.plan, job.plan.options, job.summary
    with open_caption_cache(keep=options.caption_cache and (job.captions or job.caches_features)) as cache:
        models = load_models(
            plan.bundle, options.device, captions=job.captions, caption_cache=cache, unused=job.unused, reads_bands=True
        )
        predict = job.load(models)
        summary.seconds["loading the model"] = time.perf_counter() - clock
        models.seconds = summary.seconds
        for results in predict(tiles, summary.seconds):
            summary.caption_hits, summary.caption_misses = cache.hits, cache.misses
            yield results
