"""One of many workers: it looks at blocks of tiles, and writes their records where all of them do.

Ray makes it, calls it, and starts another when its process dies; nothing here knows of Ray.
"""

from __future__ import annotations

import logging
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bimors_cli.bundle.adapter import Adapter, open_adapter
from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import Bundle, open_bundle
from bimors_cli.errors import BimorsError, BundleError, InputError
from bimors_cli.pipeline.checkpoint.parquet_part import TileTask
from bimors_cli.pipeline.checkpoint.parquet_store import ParquetWriter, blocks_store
from bimors_cli.pipeline.engines.worker_spec import WorkerSpec, WorkerUpdate
from bimors_cli.pipeline.inference.caption_cache import open_caption_cache
from bimors_cli.pipeline.job import Batches, Work
from bimors_cli.pipeline.plan import InferencePlan, Plan
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.redact import redact
from bimors_cli.scene.raster import open_scene
from bimors_cli.version import __version__

# What is finished is written after so long, so that a kill costs little, however slow the model is.
WRITE_SECONDS: Final = 20.0
NODE: Final = platform.node()
# What all the rows and columns of a scene follow from.
_SHAPE: Final = ("width", "height", "count", "dtypes", "transform", "size_bytes")

log = logging.getLogger("bimors")


class Worker:
    """Looks at blocks; whatever is wrong, it says so in what it returns, and never to Ray, which would log it all."""

    def __init__(self, errand: WorkerSpec) -> None:
        _speak_without_secrets()
        self._errand = errand
        self._site: _Site | None = None

    def __repr__(self) -> str:
        return "Worker(...)"

    def __call__(self, batch: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Look at the blocks of a batch, and tell after each file what was done: a column of `WorkerUpdate` as JSON."""
        for text in batch["block"]:
            for told in self._tell(TileTask.from_json(str(text))):
                yield {"told": np.array([told.to_json()], dtype=object)}

    def _tell(self, block: TileTask) -> Iterator[WorkerUpdate]:
        try:
            if self._site is None:
                self._site = _Site(self._errand)
            yield from self._site.look(block)
        except BimorsError as error:
            kind, hint = type(error).__name__, error.hint and redact(error.hint)
            yield WorkerUpdate(error=kind, message=redact(f"{error.message} (on {NODE})"), hint=hint)
        except Exception as error:  # the program's own fault: here it leaves the process, without what it may tell
            log.error("%s", traceback.format_exc())
            yield WorkerUpdate(error="", message=redact(f"{type(error).__name__}: {error} (on {NODE})"))


class _Site:
    """The machine that a worker is on: its bundle, its caption cache, and what it sees of the scenes."""

    def __init__(self, errand: WorkerSpec) -> None:
        if errand.version != __version__:
            raise InputError(
                f"bimors is {__version__} here, and {errand.version} where the run was started",
                "install the same version on all nodes",
            )
        os.environ.update(errand.environment)
        with suppress(OSError):  # a node without that folder may still have all scenes by their full paths
            os.chdir(errand.folder)
        self._errand = errand
        plan = errand.job.plan
        self._plan: InferencePlan = replace(plan, bundle=_same_bundle(plan))
        self._writer = ParquetWriter(blocks_store(plan), plan, errand.session)
        self._model: _Model | None = None
        self._checked: set[int] = set()

    def look(self, block: TileTask) -> Iterator[WorkerUpdate]:
        """Look at the tiles of a block that no file has yet."""
        missing = self._writer.begin(block)  # before anything that may kill this process
        left = len(missing)
        done = len(block.indices()) - left
        if done:
            yield WorkerUpdate(block=block.number, done=done)
        self._check_scene(block.scene)
        if self._model is None:
            clock = time.perf_counter()
            self._model = _Model(self._errand, self._plan)
            yield WorkerUpdate(seconds={"loading the model": time.perf_counter() - clock})
        fresh: list[TileResult] = []
        clock = time.monotonic()
        for records in self._model.look(block.scene, missing):
            fresh += records
            if time.monotonic() - clock >= WRITE_SECONDS or len(fresh) == left:
                self._writer.append(block, fresh)
                done, left = done + len(fresh), left - len(fresh)
                yield self._model.told(block.number, done)
                fresh, clock = [], time.monotonic()

    def _check_scene(self, number: int) -> None:
        """Compare a scene with the one that the run was planned with, once: a path may mean another file here."""
        if number in self._checked:
            return
        planned, options = self._plan.scenes[number].info, self._plan.options
        with open_scene(planned.path, assume_crs=options.assume_crs, allow_drivers=options.allow_drivers) as scene:
            if any(getattr(scene.info, name) != getattr(planned, name) for name in _SHAPE):
                raise InputError(
                    f"{planned.name} is another file than where the run was started",
                    "give a path or an address that means the same on all nodes",
                )
        self._checked.add(number)


class _Model:
    """The models of a worker, ready to look at tiles, and what it has counted since it told last."""

    def __init__(self, errand: WorkerSpec, plan: InferencePlan) -> None:
        from bimors_cli.pipeline.inference.load import load_models

        job, options = errand.job, plan.options
        self._scenes, self._threads = len(plan.scenes), errand.threads if errand.device == "cpu" else None
        self._known = self._described = 0
        self._seconds: dict[str, float] = {}
        self._cache = open_caption_cache(keep=options.caption_cache and job.captions)
        models = load_models(plan.bundle, errand.device, captions=job.captions, caption_cache=self._cache)
        models.seconds = self._seconds
        with tempfile.TemporaryDirectory(prefix="bimors-") as folder:
            job.plan = plan
            if errand.adapter is not None:
                assert isinstance(plan, Plan)
                job.plan = replace(plan, adapter=_unpack(errand.adapter, Path(folder), plan.bundle))
            self._work: Work = job.start(models)

    def look(self, scene: int, places: npt.NDArray[np.int64]) -> Batches:
        """Look at tiles of one scene."""
        import torch

        if self._threads is not None:
            torch.set_num_threads(self._threads)
        none = np.empty(0, dtype=np.int64)
        return self._work(tuple(places if n == scene else none for n in range(self._scenes)), self._seconds)

    def told(self, block: int, done: int) -> WorkerUpdate:
        """Say what was done since this was asked last."""
        known, described = self._cache.hits, self._cache.misses
        told = WorkerUpdate(
            block=block,
            done=done,
            seconds=dict(self._seconds),
            caption_hits=known - self._known,
            caption_misses=described - self._described,
        )
        self._known, self._described = known, described
        self._seconds.clear()
        return told


def _same_bundle(plan: InferencePlan) -> Bundle:
    """Open the bundle of that name on this machine. Raises BundleError where it is not there, or another."""
    try:
        bundle = open_bundle(find_bundle(plan.options.model))
    except InputError as error:
        raise BundleError(error.message, error.hint) from error
    if bundle.sha256 != plan.bundle.sha256:
        raise BundleError(
            f"the bundle {plan.options.model} is another than where the run was started: {bundle.sha256[:12]}, not "
            f"{plan.bundle.sha256[:12]}",
            "put the same bundle on all nodes: bimors models pack, bimors models unpack",
        )
    return bundle


def _unpack(files: Mapping[str, bytes], folder: Path, bundle: Bundle) -> Adapter:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return open_adapter(folder, bundle)


class _Redacted(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def _speak_without_secrets() -> None:
    """Let libraries log to standard error, which Ray keeps in a file, without what addresses may hold of secrets."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Redacted("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(True)
