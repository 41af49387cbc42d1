"""What is sent to a worker on another node, and what it reports."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final

from bimors_cli.bundle.adapter import MANIFEST, WEIGHTS, Adapter
from bimors_cli.errors import BundleError
from bimors_cli.pipeline.job import Job

# Variables of GDAL, of object stores, and of bimors.
_FORWARDED: Final = (
    "GDAL_", "CPL_", "VSI_", "AWS_", "AZURE_", "GS_", "GOOGLE_", "OSS_", "SWIFT_", "OS_",
    "BIMORS_", "HF_HUB_", "TRANSFORMERS_", "TOKENIZERS_",
)  # fmt: skip
# Paths of this machine's GDAL, and variables that would write signed requests into logs.
_NOT_FORWARDED: Final = frozenset(
    {"GDAL_DATA", "GDAL_DRIVER_PATH", "GDAL_PYTHON_DRIVER_PATH", "CPL_DEBUG", "CPL_LOG", "CPL_CURL_VERBOSE"}
)


@dataclass(frozen=True, kw_only=True, repr=False)
class WorkerSpec:
    """All that a worker needs to compute tiles.

    Its repr is empty: it holds addresses and keys, and Ray writes its arguments to logs.

    Attributes
    ----------
    version : str
        Version of bimors; the worker must have the same.
    job : Job
        Plan and options, with the worker's device; the worker opens the bundle of that name on its own node.
    adapter : mapping of str to bytes, or None
        Files of the adapter by name.
    environment : mapping
        Variables that the worker sets.
    folder : str
        Folder that relative paths start from.
    session : int
        As `bimors_cli.pipeline.checkpoint.parquet_store.ParquetStore`.
    threads : int
        Number of threads of a worker on CPUs.
    """

    version: str
    job: Job
    adapter: Mapping[str, bytes] | None
    environment: Mapping[str, str]
    folder: str
    session: int
    threads: int

    def __repr__(self) -> str:
        return "WorkerSpec(...)"


@dataclass(frozen=True, kw_only=True)
class WorkerUpdate:
    """What a worker has done since its last update, or why it failed.

    ``done`` counts all tiles of the task number ``task`` that are in files by now. ``error`` is the name of a class of
    `bimors_cli.errors`, empty for an internal error. ``warnings`` are all that the worker has warned of until now.
    """

    task: int = 0
    done: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    caption_hits: int = 0
    caption_misses: int = 0
    error: str | None = None
    message: str = ""
    hint: str | None = None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Return the update as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> WorkerUpdate:
        """Parse the result of `to_json`."""
        content = json.loads(text)
        return cls(**{**content, "warnings": tuple(content["warnings"])})


def forwarded_environment() -> dict[str, str]:
    """Return the environment variables of this process that a worker needs."""
    return {k: v for k, v in os.environ.items() if k.startswith(_FORWARDED) and k not in _NOT_FORWARDED}


def adapter_files(adapter: Adapter) -> dict[str, bytes]:
    """Return the files of an adapter by name. Raises BundleError if they cannot be read."""
    try:
        return {name: (adapter.folder / name).read_bytes() for name in (MANIFEST, WEIGHTS)}
    except OSError as error:
        raise BundleError(
            f"{adapter.folder}: {error.strerror or error}", "give --adapter a folder that is not removed during the run"
        ) from error
