"""Starts or connects to a Ray cluster: no output, no dashboard, no usage statistics, and no secrets in its logs."""

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

# Tasks and updates are small; the workers write the results themselves.
OBJECT_STORE_BYTES: Final = 128 * 1024**2
CONNECT_SECONDS: Final = 10
# Ray reads these when it is imported or started; variables that the user has set stay.
_QUIET: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # a thread that outlives the cluster would start another
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}
# For our own cluster: its helpers wait so long for it after it has ended; the default is a minute.
_OWN_CLUSTER: Final = {
    "RAY_gcs_rpc_server_reconnect_timeout_s": "3",
    "RAY_gcs_server_request_timeout_seconds": "3",
}

_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")

log = logging.getLogger("bimors")


@contextmanager
def cluster(address: str | None) -> Iterator[Any]:
    """Start a cluster on this machine or connect to one; it is shut down when the context ends. See `check_installed`.

    Parameters
    ----------
    address : str or None
        ``auto`` or ``HOST:PORT`` of a running cluster; None starts one.

    Yields
    ------
    module
        The module ``ray``.

    Raises
    ------
    InputError
        The cluster was not found, or this process is connected to one already.
    WorkerError
        Ray cannot be started.
    """
    with ExitStack() as stack:
        own = _own_environment() if address is None else {}
        stack.enter_context(_environment({**_QUIET, **own}))
        ray = _import_ray()
        stack.enter_context(redirect_stdout(_ToLog()))
        stack.enter_context(_redacted_command_line(ray))
        if address is None:
            # Not /tmp/ray, which would stay.
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
        # In the main thread Ray would handle SIGTERM. Its processes end with the thread that started them.
        starter = stack.enter_context(ThreadPoolExecutor(1, "ray-start"))
        stack.callback(ray.shutdown)
        stack.callback(_set_log_handler, logging.NullHandler())  # Ray logs lost connections
        with _native_stderr_dropped():
            try:
                starter.submit(ray.init, **settings, log_to_driver=False, configure_logging=False).result()
            except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
                raise _start_error(address, error) from error
        yield ray


def check_installed() -> None:
    """Raise InputError if Ray Data is not installed."""
    for name in ("ray", "pyarrow"):
        if find_spec(name) is None:
            raise InputError(
                f"--engine ray needs Ray Data, but the package {name} is not installed", "pip install 'bimors-cli[ray]'"
            )


def _import_ray() -> Any:
    import ray
    import ray.data

    if ray.is_initialized():
        raise InputError(
            "this process is already connected to Ray", "call ray.shutdown() first, or use another process"
        )
    _set_log_handler(_ToInfo())
    return ray


def _set_log_handler(handler: logging.Handler) -> None:
    """Send the log of Ray to one handler only."""
    for name in ("ray", "ray.data"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False


def _start_error(address: str | None, error: Exception) -> InputError | WorkerError:
    reason = redact(" ".join(str(error).split()))[:300]
    if address is not None:
        return InputError(
            f"--ray-address {address}: {reason}", "start a cluster with ray start --head, or leave out --ray-address"
        )
    if "path length" in reason:
        return InputError(
            f"Ray cannot be started: {reason}", "set TMPDIR to a folder with a shorter path, such as /tmp"
        )
    return WorkerError(f"Ray cannot be started: {reason}", "check that `ray start --head` works")


def _check_address(address: str) -> None:
    """Refuse an address that Ray would wait for, or exit the process for."""
    if "://" in address:
        raise InputError(
            f"--ray-address {address}: Ray Client is not supported",
            "run bimors on a node of the cluster (ray job submit does), with --ray-address auto",
        )
    host, found, port = address.rpartition(":")
    if not found:
        if address == "auto":
            return
        raise InputError(f"--ray-address {address}: invalid address", "use auto or HOST:PORT")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise InputError(
            f"--ray-address {address}: no cluster found: {error}",
            "ray status prints the address; or leave out --ray-address",
        ) from error


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables that are not set, and unset them afterwards."""
    new = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


@cache
def _token() -> str:
    """Return a password, so that other users of this machine cannot run code in our workers. Ray keeps the first."""
    return secrets.token_hex(32)


def _own_environment() -> dict[str, str]:
    return {**_OWN_CLUSTER, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _token()}


@contextmanager
def _redacted_command_line(ray: Any) -> Iterator[None]:
    """Hide the secrets of addresses in the command line, which Ray stores."""
    command, utils = redact(shlex.join(sys.argv)), ray._private.utils
    real, utils.get_entrypoint_name = utils.get_entrypoint_name, lambda: command
    try:
        yield
    finally:
        utils.get_entrypoint_name = real


@contextmanager
def _native_stderr_dropped() -> Iterator[None]:
    """Drop what the native code of Ray writes to standard error while it starts."""
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
    """Standard output while Ray runs: it reports there on its workers."""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if lines := _COLOUR.sub("", text).strip().splitlines():
            log.info("Ray: %s", redact(lines[0].removeprefix("(raylet)").strip())[:300])
        return len(text)


class _ToInfo(logging.Handler):
    """Logs the warnings of Ray as information, shown with -v."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        log.info("Ray: %s", redact(" ".join(record.getMessage().split()))[:300])


def _processors() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
