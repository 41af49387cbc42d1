"""A file server on 127.0.0.1 that fails on demand, in a process of its own: GDAL may hold Python's lock while it waits.

The first part of an address says how it behaves, the second names this behaviour's own count of requests, the rest is
the file: ``http://127.0.0.1:PORT/fail-2-503/a/scene.tif``. Every request is a line on standard output.
"""

from __future__ import annotations

import functools
import re
import sys
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
# What GDAL reads first: the header of the file. Later requests are for pixels.
HEADER = 16_384


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"
    counts: ClassVar[Counter[str]] = Counter()

    def __init__(self, folder: Path, *args: object) -> None:
        self.folder = folder
        super().__init__(*args)  # type: ignore[arg-type]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path, _, query = self.path.partition("?")
        rule, key, name = (*path.strip("/").split("/", 2), "", "")[:3]
        print(self.command, self.path, self.headers.get("Range", "-"), flush=True)
        file = self.folder / name
        if not name or not file.is_file():
            return self._send(404, b"", body=body)
        data = file.read_bytes()
        match = _RANGE.match(self.headers.get("Range", ""))
        start = int(match[1]) if match else 0
        end = min(int(match[2]) + 1 if match and match[2] else len(data), len(data))
        pixels = start >= HEADER
        kind, *numbers = rule.split("-")
        if kind == "after":  # gone for good after so many requests
            self.counts[key] += 1
            if self.counts[key] > int(numbers[0]):
                return self._send(404, b"", body=body)
        if pixels and kind in ("fail", "stall", "short", "drop"):
            times, *code = map(int, numbers)
            self.counts[key] += 1
            if self.counts[key] <= times:
                if kind == "fail":
                    return self._send(code[0], b"busy", body=body)
                if kind == "stall":
                    time.sleep(30)
                if kind == "drop":
                    self.close_connection = True
                    return None
                if kind == "short":  # promises all, sends half, hangs up
                    part = data[start:end]
                    self.close_connection = True
                    return self._send(
                        206, part[: len(part) // 2], body=body, length=len(part), span=(start, end, len(data))
                    )
        if kind == "whole" or match is None:
            return self._send(200, data, body=body)
        if kind == "token" and query != "sig=hush":
            return self._send(403, b"no", body=body)
        return self._send(206, data[start:end], body=body, span=(start, end, len(data)))

    def _send(
        self,
        code: int,
        content: bytes,
        *,
        body: bool,
        length: int | None = None,
        span: tuple[int, int, int] | None = None,
    ) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        if span is not None:
            self.send_header("Content-Range", f"bytes {span[0]}-{span[1] - 1}/{span[2]}")
            self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing more."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, Path(sys.argv[1])))
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()
