"""The beam search as CUDA graphs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

import torch

from bimors_cli.model.t5.beams import Beams
from bimors_cli.model.t5.search import T5Search

_UNGRAPHED: Final = ContextVar("ungraphed", default=False)


@contextmanager
def without_graphs() -> Iterator[None]:
    """Launch each operation inside the block by itself, as counters of operations need it."""
    token = _UNGRAPHED.set(True)
    try:
        yield
    finally:
        _UNGRAPHED.reset(token)


class GraphedSearch:
    """The search as CUDA graphs, one for each step, for one number of images.

    A step on a GPU is some hundreds of short kernels, which take longer to launch than to compute. Graphs are captured
    when the same number of images comes twice in a row. A batch of more than half that number is filled up to it;
    any other is computed without graphs.

    Parameters
    ----------
    search : T5Search
        On a CUDA device.
    """

    def __init__(self, search: T5Search) -> None:
        self._search = search
        self._graphs: _Graphs | None = None
        self._last_count = 0
        # Graphs write into tensors of their own.
        self._lock = threading.Lock()

    def run(self, states: torch.Tensor) -> list[Beams]:
        """Return the search after each step, for the encoder's output [B, S, D]: copies, of B images."""
        if _UNGRAPHED.get():
            return self._search.run(states)
        count = len(states)
        with self._lock:
            if self._graphs is None or not self._graphs.images / 2 < count <= self._graphs.images:
                repeated, self._last_count = count == self._last_count, count
                if not repeated:
                    return self._search.run(states)
                self._graphs = None  # frees its memory before the next takes some
                self._graphs = _Graphs(self._search, states)
            return [beams.copy(count) for beams in self._graphs.replay(states)]


class _Graphs:
    """Captured graphs of the steps, and the tensors from which and into which they compute."""

    def __init__(self, search: T5Search, states: torch.Tensor) -> None:
        self.images = len(states)
        self._search = search
        self._states = states.clone()
        self._caches = search.new_caches(self.images, states.shape[1])
        self._steps: list[Beams] = []
        self._graphs: list[torch.cuda.CUDAGraph] = []
        with torch.cuda.device(states.device):
            self._capture()

    def _capture(self) -> None:
        # Libraries allocate workspaces in their first calls, which must not happen during a capture.
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self._search.run(self._states)
        torch.cuda.current_stream().wait_stream(side)
        pool = torch.cuda.graph_pool_handle()
        progress = None
        for step in range(self._search.settings.steps):
            graph = torch.cuda.CUDAGraph()
            # Other threads pin memory meanwhile, which a capture of all threads would not allow.
            with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
                if progress is None:
                    progress = self._search.start(self._states, self._caches)
                progress = self._search.step(progress, self._caches, step)
            self._graphs.append(graph)
            self._steps.append(progress.beams)

    def replay(self, states: torch.Tensor) -> list[Beams]:
        """Return the search after each step; the next call overwrites it. ``states`` may be of fewer images."""
        self._states[: len(states)].copy_(states)
        done = 0
        while not self._search.is_over(self._steps[:done]):
            with torch.cuda.device(self._states.device):
                self._graphs[done].replay()
            done += 1
        return self._steps[:done]
