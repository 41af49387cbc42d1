"""What an engine does, and the engine of a name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from bimors_cli.errors import InputError
from bimors_cli.options.engines import ENGINES

if TYPE_CHECKING:
    from bimors_cli.options.inference import InferenceOptions
    from bimors_cli.pipeline.checkpoint.store import TileStore
    from bimors_cli.pipeline.job import Job
    from bimors_cli.pipeline.plan import TileIndices
    from bimors_cli.pipeline.progress import Progress, StopRequest
    from bimors_cli.pipeline.tile_result import TileResult


class Engine(ABC):
    """Computes the tiles of a job; a row of `bimors_cli.options.engines.ENGINES` names its class."""

    @abstractmethod
    def check(self, options: InferenceOptions) -> None:
        """Check the options of a run before any scene or model is opened.

        Raises
        ------
        InputError
            An option is not supported by this engine.
        """

    @abstractmethod
    def checkpoint_path(self, job: Job) -> Path:
        """Return where finished tiles are stored until the layer holds them."""

    @abstractmethod
    def run(self, job: Job, progress: Progress, stop: StopRequest) -> AbstractContextManager[TileStore]:
        """Compute all tiles of a job that are not finished; the context holds the store with the results.

        Raises
        ------
        Interrupted
            ``stop`` was requested; finished tiles are in the store.
        BimorsError
            Models, workers or the store fail.
        """

    def stream(self, job: Job, tiles: TileIndices) -> Iterator[list[TileResult]]:
        """Compute tiles in grid order, for rows that go to standard output.

        Raises
        ------
        InputError
            The engine finishes tiles in no order.
        """
        name = job.plan.options.engine
        raise InputError(f"--engine {name} does not support standard output: tiles finish in no order", "use -o FILE")


def get_engine(name: str) -> Engine:
    """Return the engine of a name.

    Raises
    ------
    InputError
        No engine has that name.
    """
    if name not in ENGINES:
        raise InputError(f"--engine {name}: unknown", f"use one of {', '.join(ENGINES)}")
    engine: Engine = resolve_name(ENGINES[name].where)()
    return engine
