"""A Ray cluster, quietly: nothing on standard output, no dashboard, no usage statistics, and no secrets in its logs."""

from __future__ import annotations

import io
import logging
import os
import re
import secrets
import shlex
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, redirect_stdout
from functools import cache
from importlib.util import find_spec
from typing import Any, Final

from bimors_cli.errors import InputError, WorkerError
from bimors_cli.redact import redact

# Blocks and what workers tell are small; what is large is written by the workers themselves.
OBJECT_STORE_BYTES: Final = 128 * 1024**2
CONNECT_SECONDS: Final = 10
# Ray reads these when it is imported or started; what the user has set stays.
_QUIET: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # a thread that outlives the cluster would start another
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}
# Of a cluster of our own: its helpers look for it for so long when it has ended, a minute otherwise.
_OWN: Final = {
    "RAY_gcs_rpc_server_reconnect_timeout_s": "3",
    "RAY_gcs_server_request_timeout_seconds": "3",
}

_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")

log = logging.getLogger("bimors")


@contextmanager
def cluster(address: str | None) -> Iterator[Any]:
    """Start a cluster on this machine, or connect to one, and end that at the end; see `check_installed`.

    Parameters
    ----------
    address : str or None
        ``auto`` or ``HOST:PORT`` of a cluster that runs; None starts one.

    Yields
    ------
    module
        Ray.

    Raises
    ------
    InputError
        There is no such cluster, or this process has one already.
    WorkerError
        It cannot be started.
    """
    with ExitStack() as stack:
        own = _own_environment() if address is None else {}
        stack.enter_context(_environment({**_QUIET, **own}))
        ray = _import_ray()
        stack.enter_context(redirect_stdout(_ToLog()))
        stack.enter_context(_named_without_secrets(ray))
        if address is None:
            # Not /tmp/ray: this one leaves nothing behind.
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bimors-ray-", ignore_cleanup_errors=True))
            settings: dict[str, Any] = {
                "address": "local",
                "num_cpus": _processors(),
                "include_dashboard": False,
                "object_store_memory": OBJECT_STORE_BYTES,
                "_temp_dir": folder,
            }
        else:
            _check_address(address)
            settings = {"address": address}
        # In the main thread Ray would take SIGTERM for itself. Its processes end with the thread that started them.
        starter = stack.enter_context(ThreadPoolExecutor(1, "ray-start"))
        stack.callback(ray.shutdown)
        stack.callback(_listen, logging.NullHandler())  # what is cut off complains
        with _errors_of_c():
            try:
                starter.submit(ray.init, **settings, log_to_driver=False, configure_logging=False).result()
            except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
                raise _refusal(address, error) from error
        yield ray


def check_installed() -> None:
    """Raise InputError where Ray Data is not installed."""
    for name in ("ray", "pyarrow"):
        if find_spec(name) is None:
            raise InputError(
                f"--engine ray needs Ray Data, which is not installed (no {name})", "pip install 'bimors-cli[ray]'"
            )


def _import_ray() -> Any:
    import ray
    import ray.data

    if ray.is_initialized():
        raise InputError("this process has a Ray of its own", "call ray.shutdown() before, or start another process")
    _listen(_Passed())
    return ray


def _listen(handler: logging.Handler) -> None:
    """Let a handler have what Ray logs, and no other."""
    for name in ("ray", "ray.data"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False


def _refusal(address: str | None, error: Exception) -> InputError | WorkerError:
    why = redact(" ".join(str(error).split()))[:300]
    if address is not None:
        return InputError(f"--ray-address {address}: {why}", "start a cluster: ray start --head; or leave it out")
    if "path length" in why:
        return InputError(f"Ray cannot be started: {why}", "set TMPDIR to a folder with a shorter name, such as /tmp")
    return WorkerError(f"Ray cannot be started: {why}", "see whether `ray start --head` starts")


def _check_address(address: str) -> None:
    """Refuse what Ray would wait for, or end the program for."""
    if "://" in address:
        raise InputError(
            f"--ray-address {address}: Ray Client cannot be used",
            "run bimors on a node of the cluster (ray job submit does), with --ray-address auto",
        )
    host, found, port = address.rpartition(":")
    if not found:
        if address == "auto":
            return
        raise InputError(f"--ray-address {address}: not an address", "use auto or HOST:PORT")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise InputError(
            f"--ray-address {address}: no cluster there: {error}", "ray status says where one is; or leave it out"
        ) from error


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """Set variables that are not set, and take them away again."""
    new = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


@cache
def _token() -> str:
    """Return a password: who else is on this machine must not have code run in our workers. Ray keeps the first."""
    return secrets.token_hex(32)


def _own_environment() -> dict[str, str]:
    return {**_OWN, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _token()}


@contextmanager
def _named_without_secrets(ray: Any) -> Iterator[None]:
    """Give Ray, which keeps the command line of whoever connects, one without what addresses hold of secrets."""
    told, utils = redact(shlex.join(sys.argv)), ray._private.utils
    real, utils.get_entrypoint_name = utils.get_entrypoint_name, lambda: told
    try:
        yield
    finally:
        utils.get_entrypoint_name = real


@contextmanager
def _errors_of_c() -> Iterator[None]:
    """Drop what the part of Ray that is not Python writes to standard error while it starts."""
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


class _ToLog(io.TextIOBase):
    """Standard output while Ray is there, which tells in it what happens to workers."""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if lines := _COLOUR.sub("", text).strip().splitlines():
            log.info("Ray: %s", redact(lines[0].removeprefix("(raylet)").strip())[:300])
        return len(text)


class _Passed(logging.Handler):
    """Passes on, with -v, what Ray warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        log.info("Ray: %s", redact(" ".join(record.getMessage().split()))[:300])


def _processors() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
