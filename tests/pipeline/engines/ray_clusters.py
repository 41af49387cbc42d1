"""A cluster of one machine that tests share, and what of it is left when it has ended."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

WORKER = "ray::MapWorker"
# Without: a helper of Ray looks for a minute for what has ended.
SOON = {"RAY_gcs_rpc_server_reconnect_timeout_s": "3", "RAY_gcs_server_request_timeout_seconds": "3"}


@dataclass(frozen=True)
class Cluster:
    """A running cluster; ``folder`` has Ray's logs."""

    address: str
    folder: Path
    env: dict[str, str]
    session: int


def processes(title: str = "ray::", *, cluster: Cluster | None = None, folder: Path | None = None) -> list[int]:
    """List the processes of Ray with such a title, of one cluster, or of clusters that were started in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdigit() or not (entry / "cmdline").read_bytes().startswith(title.encode()):
                continue
            of_cluster = cluster is None or os.getsid(int(entry.name)) == cluster.session
            if of_cluster and (folder is None or (entry / "cwd").readlink() == folder):
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended
    return sorted(found)


@contextmanager
def running_cluster(processors: int) -> Iterator[Cluster]:
    """Start a cluster and end it; no other one is touched, as `ray stop` would."""
    # Short: the names of Ray's sockets are below it, and at most 107 bytes long.
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": os.urandom(16).hex(), "RAY_USAGE_STATS_ENABLED": "0"}
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", f"--port={port}"]
    command += [f"--num-cpus={processors}", "--include-dashboard=false", f"--temp-dir={folder}"]
    command += ["--object-store-memory=100000000", "--disable-usage-stats"]
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GDAL_", "BIMORS_"))}
    with (folder / "said").open("w") as said:
        head = subprocess.Popen(command, stdout=said, stderr=said, env={**bare, **env, **SOON}, start_new_session=True)
    cluster = Cluster(f"127.0.0.1:{port}", folder, env, head.pid)
    try:
        end = time.monotonic() + 60
        while "Ray runtime started" not in (folder / "said").read_text():
            assert head.poll() is None and time.monotonic() < end, (folder / "said").read_text()
            time.sleep(0.1)
        yield cluster
    finally:
        for pid in [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]:
            with suppress(ProcessLookupError):
                if os.getsid(pid) == head.pid:
                    os.kill(pid, signal.SIGKILL)
        head.wait()
        wait_for_none(cluster)
        shutil.rmtree(folder, ignore_errors=True)


def wait_for_none(cluster: Cluster | None = None, seconds: float = 30) -> None:
    """Wait until no process of Ray is there any more."""
    end = time.monotonic() + seconds
    while left := processes(cluster=cluster):
        assert time.monotonic() < end, [Path(f"/proc/{pid}/cmdline").read_bytes()[:80] for pid in left]
        time.sleep(0.1)
