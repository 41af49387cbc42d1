"""What a worker on another machine is sent with, and what it brings back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final

from bimors_cli.bundle.adapter import MANIFEST, WEIGHTS, Adapter
from bimors_cli.errors import BundleError
from bimors_cli.pipeline.job import Job

# What GDAL and the stores of objects go by, and bimors itself.
_CARRIED: Final = (
    "GDAL_", "CPL_", "VSI_", "AWS_", "AZURE_", "GS_", "GOOGLE_", "OSS_", "SWIFT_", "OS_",
    "BIMORS_", "HF_HUB_", "TRANSFORMERS_", "TOKENIZERS_",
)  # fmt: skip
# Paths of this machine's GDAL, and what would write requests, with their signatures, into logs.
_LEFT_HERE: Final = frozenset(
    {"GDAL_DATA", "GDAL_DRIVER_PATH", "GDAL_PYTHON_DRIVER_PATH", "CPL_DEBUG", "CPL_LOG", "CPL_CURL_VERBOSE"}
)


@dataclass(frozen=True, kw_only=True, repr=False)
class WorkerSpec:
    """All that a worker needs to look at tiles.

    Its repr says nothing: it holds addresses and keys, and Ray writes what it is given into its logs.

    Attributes
    ----------
    version : str
        Of bimors, which the worker's must be.
    job : Job
        Its plan and options; the worker opens the bundle of that name on its own machine.
    adapter : mapping of str to bytes, or None
        The adapter's files.
    environment : mapping
        Variables that the worker sets.
    folder : str
        Where relative paths begin.
    session : int
        See `bimors_cli.pipeline.checkpoint.parquet_store.ParquetStore`.
    device : str
        ``cpu`` or ``cuda``.
    threads : int
        Of a worker on CPUs.
    """

    version: str
    job: Job
    adapter: Mapping[str, bytes] | None
    environment: Mapping[str, str]
    folder: str
    session: int
    device: str
    threads: int

    def __repr__(self) -> str:
        return "Errand(...)"


@dataclass(frozen=True, kw_only=True)
class WorkerUpdate:
    """What a worker tells: what it has done since it told last, or why it cannot go on.

    ``done`` counts all tiles of the block of this number that are in files by now. ``error`` is the name of a class of
    `bimors_cli.errors`, empty where something happened that should not have.
    """

    block: int = 0
    done: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    caption_hits: int = 0
    caption_misses: int = 0
    error: str | None = None
    message: str = ""
    hint: str | None = None

    def to_json(self) -> str:
        """Write it as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> WorkerUpdate:
        """Undo `to_json`."""
        return cls(**json.loads(text))


def forwarded_environment() -> dict[str, str]:
    """Return the variables of this process that a worker must have as well."""
    return {k: v for k, v in os.environ.items() if k.startswith(_CARRIED) and k not in _LEFT_HERE}


def adapter_files(adapter: Adapter) -> dict[str, bytes]:
    """Return the files of an adapter by their names. Raises BundleError where they are not there any more."""
    try:
        return {name: (adapter.folder / name).read_bytes() for name in (MANIFEST, WEIGHTS)}
    except OSError as error:
        raise BundleError(
            f"{adapter.folder}: {error.strerror or error}", "give --adapter a folder that stays"
        ) from error
