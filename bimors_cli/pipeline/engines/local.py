"""The local engine: this process looks at the tiles, with the threads of `bimors_cli.pipeline.inference.predict`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from bimors_cli.pipeline.checkpoint.journal import Journal
from bimors_cli.pipeline.inference.caption_cache import open_caption_cache
from bimors_cli.pipeline.job import Batches, Job
from bimors_cli.pipeline.plan import TileIndices, count
from bimors_cli.pipeline.progress import Progress, StopRequest
from bimors_cli.pipeline.write_layer import raise_if_stopped


@contextmanager
def look(job: Job, progress: Progress, stop: StopRequest) -> Iterator[Journal]:
    """Look at all tiles of a job that are not done, into its journal, which is held until the end of the context.

    Raises
    ------
    Interrupted
        ``stop`` asked for it; finished tiles are in the journal.
    BimorsError
        Models or journal fail.
    """
    with take_up(job, progress) as (journal, todo):
        for batch in batches(job, todo):
            journal.append(batch)
            progress.advance(len(batch))
            raise_if_stopped(stop, journal)
        yield journal


@contextmanager
def take_up(job: Job, progress: Progress) -> Iterator[tuple[Journal, TileIndices]]:
    """Begin a job's journal, or go on with it; gives the journal, and the tiles that are still to be looked at."""
    plan = job.plan
    sizes = [len(scene.grid) for scene in plan.scenes]
    with Journal(
        job.checkpoint_path, plan.run_key(), sizes, resume=plan.options.resume, shard_header=job.origin()
    ) as journal:
        total = job.todo()
        todo = journal.pending(total)
        job.summary.resumed = count(total) - count(todo)
        progress.begin(count(total), job.summary.resumed)
        yield journal, todo


def batches(job: Job, todo: TileIndices) -> Batches:
    """Load a job's models, look at tiles, and yield their records, batch by batch."""
    # A resumed run that lacks only its layer needs no model; torch takes seconds to import.
    if not count(todo):
        return
    clock = time.perf_counter()
    from bimors_cli.pipeline.inference.load import load_models

    plan, options, summary = job.plan, job.plan.options, job.summary
    with open_caption_cache(keep=options.caption_cache and job.captions) as cache:
        models = load_models(plan.bundle, options.device, captions=job.captions, caption_cache=cache)
        work = job.start(models)
        summary.seconds["loading the model"] = time.perf_counter() - clock
        models.seconds = summary.seconds
        for records in work(todo, summary.seconds):
            summary.caption_hits, summary.caption_misses = cache.hits, cache.misses
            yield records
