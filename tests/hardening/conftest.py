"""`bimors classify` on files that want to break it, in this process, with a tiny bundle."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import geopandas
import pytest
from typer.testing import CliRunner, Result

from bimors_cli.bundle.manifest import Bundle
from bimors_cli.cli.main import app

Bimors = Callable[..., Result]
SERVER = Path(__file__).with_name("http_server.py")


@pytest.fixture
def bimors(tiny_bundle: Bundle, tmp_path: Path) -> Bimors:
    """Classify scenes into ``out.gpkg`` and check what holds for every outcome: our words, one line and a hint."""
    usual = tmp_path / "labels.txt"
    usual.write_text("forest\nriver\nport\n")

    def run(
        *args: object,
        tile: str = "64",
        code: int | tuple[int, ...] = 0,
        output: bool = True,
        labels: Path = usual,
    ) -> Result:
        common = ["-l", labels, "--model", tiny_bundle.folder, "--tile-size", tile]
        common += ["-o", tmp_path / "out.gpkg"] if output else []
        result = CliRunner().invoke(app, [*map(str, ["classify", *args, *common])])
        allowed = (code,) if isinstance(code, int) else code
        assert result.exit_code in allowed, (result.exit_code, result.stderr, result.exception)
        assert "Traceback" not in result.stderr and "should not have happened" not in result.stderr, result.stderr
        if result.exit_code in (1, 2):
            lines = result.stderr.strip().splitlines()
            assert [line for line in lines if line.startswith("error: ")] == [
                lines[-2] if len(lines) > 1 else lines[-1]
            ]
            assert not (tmp_path / "out.gpkg").exists() and result.stdout == ""
        return result

    return run


@pytest.fixture
def rows(tmp_path: Path) -> Callable[[], geopandas.GeoDataFrame]:
    """Read what was written."""
    return lambda: geopandas.read_file(tmp_path / "out.gpkg", layer="tiles")


class Server:
    """A running file server, see `tests.hardening.http_server`."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.log = log
        self._count = 0
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, str(SERVER), str(folder)], stdout=file, stderr=subprocess.DEVNULL
            )
        while not (lines := log.read_text().splitlines()):
            assert self.process.poll() is None
        self.port = int(lines[0])

    def url(self, rule: str, name: str) -> str:
        """Return the address of a file that behaves as a rule says, with a count of its own."""
        self._count += 1
        return f"http://127.0.0.1:{self.port}/{rule}/{self._count}/{name}"

    def requests(self) -> list[str]:
        """Return the requests so far."""
        return self.log.read_text().splitlines()[1:]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serve the test's folder from 127.0.0.1; GDAL tries twice again, at once."""
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "2")
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.02")
    monkeypatch.setenv("GDAL_HTTP_CONNECTTIMEOUT", "5")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = Server(tmp_path, tmp_path / "requests.txt")
    yield running
    running.process.terminate()
    running.process.wait()
