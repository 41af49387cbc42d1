"""The engines that can compute the tiles of a run: one row each. Importing this table imports no engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LOCAL: Final = "local"
RAY: Final = "ray"


@dataclass(frozen=True)
class EngineEntry:
    """A value of ``--engine``.

    ``where`` is ``module:class``, a subclass of `bimors_cli.pipeline.engines.engine.Engine`; ``help`` says in a few
    words where the tiles are computed.
    """

    name: str
    where: str
    help: str


# Another package may add a row at run time.
ENGINES: Final[dict[str, EngineEntry]] = {
    entry.name: entry
    for entry in (
        EngineEntry(LOCAL, "bimors_cli.pipeline.engines.local:LocalEngine", "this machine"),
        EngineEntry(RAY, "bimors_cli.pipeline.engines.ray:RayEngine", "a Ray cluster"),
    )
}
