"""A worker of the engine Ray: it computes tasks of tiles, and writes their results to the store of the run.

Ray creates it, calls it, and starts another one when its process dies; nothing in this module imports Ray.
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
from bimors_cli.pipeline.job import Job, TileFn
from bimors_cli.pipeline.plan import InferencePlan, Plan
from bimors_cli.pipeline.tile_result import TileResult
from bimors_cli.redact import redact
from bimors_cli.run_warnings import KeptWarnings, keep_warnings
from bimors_cli.scene.raster import open_scene
from bimors_cli.version import __version__

# Finished tiles are written this often, so that a kill costs little, however slow the model is.
WRITE_SECONDS: Final = 20.0
NODE: Final = platform.node()
# Fields of a scene that determine its grid.
_GRID_FIELDS: Final = ("width", "height", "count", "dtypes", "transform", "size_bytes")

log = logging.getLogger("bimors")


class Worker:
    """Computes tasks. It returns every error as an update and raises none, as Ray would log it with its secrets."""

    def __init__(self, spec: WorkerSpec) -> None:
        _log_redacted()
        self._spec = spec
        self._node: NodeContext | None = None
        self._kept = KeptWarnings()

    def __repr__(self) -> str:
        return "Worker(...)"

    def __call__(self, batch: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Compute the tasks of a batch, and yield a column of `WorkerUpdate` as JSON after each file."""
        for text in batch["task"]:
            updates = self._updates(TileTask.from_json(str(text)))
            while (update := self._next(updates)) is not None:
                yield {"update": np.array([update.to_json()], dtype=object)}

    def _next(self, updates: Iterator[WorkerUpdate]) -> WorkerUpdate | None:
        """Return the next update with the warnings of this worker; None at the end."""
        with keep_warnings(self._kept):
            update = next(updates, None)
        return None if update is None else replace(update, warnings=self._kept.texts())

    def _updates(self, task: TileTask) -> Iterator[WorkerUpdate]:
        try:
            if self._node is None:
                self._node = NodeContext(self._spec)
            yield from self._node.run(task)
        except BimorsError as error:
            kind, hint = type(error).__name__, error.hint and redact(error.hint)
            yield WorkerUpdate(error=kind, message=redact(f"{error.message} (on {NODE})"), hint=hint)
        except Exception as error:  # a bug: it leaves the process here, without the secrets it may contain
            log.error("%s", traceback.format_exc())
            yield WorkerUpdate(error="", message=redact(f"{type(error).__name__}: {error} (on {NODE})"))


class NodeContext:
    """What a worker opens on its node: the bundle, the caption cache, the scenes."""

    def __init__(self, spec: WorkerSpec) -> None:
        if spec.version != __version__:
            raise InputError(
                f"this node has bimors {__version__}, but the run was started with {spec.version}",
                "install the same version on all nodes",
            )
        os.environ.update(spec.environment)
        with suppress(OSError):  # a node without that folder may still have all scenes by their full paths
            os.chdir(spec.folder)
        self._spec = spec
        plan = spec.job.plan
        self._plan: InferencePlan = replace(plan, bundle=_find_same_bundle(plan))
        self._writer = ParquetWriter(blocks_store(plan), plan, spec.session)
        self._model: _Model | None = None
        self._checked: set[int] = set()

    def run(self, task: TileTask) -> Iterator[WorkerUpdate]:
        """Compute the tiles of a task that are in no file yet."""
        missing = self._writer.begin(task)  # before anything that may kill this process
        left = len(missing)
        done = len(task.indices()) - left
        if done:
            yield WorkerUpdate(task=task.number, done=done)
        self._check_scene(task.scene)
        if self._model is None:
            clock = time.perf_counter()
            self._model = _Model(self._spec, self._plan)
            yield WorkerUpdate(seconds={"loading the model": time.perf_counter() - clock})
        unwritten: list[TileResult] = []
        clock = time.monotonic()
        for results in self._model.predict(task.scene, missing):
            unwritten += results
            if time.monotonic() - clock >= WRITE_SECONDS or len(unwritten) == left:
                self._writer.append(task, unwritten)
                done, left = done + len(unwritten), left - len(unwritten)
                yield self._model.report(task.number, done)
                unwritten, clock = [], time.monotonic()

    def _check_scene(self, number: int) -> None:
        """Compare a scene with the one of the plan, once: a path may be another file on this node."""
        if number in self._checked:
            return
        planned, options = self._plan.scenes[number].info, self._plan.options
        with open_scene(planned.path, assume_crs=options.assume_crs, allow_drivers=options.allow_drivers) as scene:
            if any(getattr(scene.info, name) != getattr(planned, name) for name in _GRID_FIELDS):
                raise InputError(
                    f"{planned.name} differs from the file that the run was started with",
                    "use a path or an address that is the same file on all nodes",
                )
        self._checked.add(number)


class _Model:
    """The loaded models of a worker, and the counts since its last report."""

    def __init__(self, spec: WorkerSpec, plan: InferencePlan) -> None:
        from bimors_cli.pipeline.inference.load import load_models

        job, device = spec.job, plan.options.device
        self._num_scenes, self._threads = len(plan.scenes), spec.threads if device == "cpu" else None
        self._known = self._described = 0
        self._seconds: dict[str, float] = {}
        self._cache = open_caption_cache(keep=plan.options.caption_cache and (job.captions or job.caches_features))
        models = load_models(
            plan.bundle, device, captions=job.captions, caption_cache=self._cache, unused=job.unused, reads_bands=True
        )
        models.seconds = self._seconds
        with tempfile.TemporaryDirectory(prefix="bimors-") as folder:
            if spec.adapter is not None:
                assert isinstance(plan, Plan)
                plan = replace(plan, adapter=_write_adapter(spec.adapter, Path(folder), plan.bundle))
            here: Job = replace(job, plan=plan)
            self._predict: TileFn = here.load(models)

    def predict(self, scene: int, indices: npt.NDArray[np.int64]) -> Iterator[list[TileResult]]:
        """Compute tiles of one scene."""
        import torch

        if self._threads is not None:
            torch.set_num_threads(self._threads)
        none = np.empty(0, dtype=np.int64)
        return self._predict(tuple(indices if n == scene else none for n in range(self._num_scenes)), self._seconds)

    def report(self, task: int, done: int) -> WorkerUpdate:
        """Return the counts since the last report."""
        known, described = self._cache.hits, self._cache.misses
        update = WorkerUpdate(
            task=task,
            done=done,
            seconds=dict(self._seconds),
            caption_hits=known - self._known,
            caption_misses=described - self._described,
        )
        self._known, self._described = known, described
        self._seconds.clear()
        return update


def _find_same_bundle(plan: InferencePlan) -> Bundle:
    """Open the bundle of the run on this node. Raises BundleError if it is missing or differs."""
    try:
        folder = find_bundle(plan.options.model, plan.options.captioner)
        bundle = open_bundle(folder, hash_again=plan.options.verify)
    except InputError as error:
        raise BundleError(error.message, error.hint) from error
    if bundle.sha256 != plan.bundle.sha256:
        raise BundleError(
            f"the bundle {plan.options.model} differs from the one that the run was started with: "
            f"{bundle.sha256[:12]}, not {plan.bundle.sha256[:12]}",
            "copy the same bundle to all nodes: bimors models pack, bimors models unpack",
        )
    return bundle


def _write_adapter(files: Mapping[str, bytes], folder: Path, bundle: Bundle) -> Adapter:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return open_adapter(folder, bundle)


class _Redacted(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def _log_redacted() -> None:
    """Send the log of libraries to standard error, which Ray keeps in a file, without the secrets in addresses."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Redacted("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(True)
