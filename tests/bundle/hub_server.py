"""A server on this machine that speaks as much of the hub's protocol as fetching needs, and misbehaves on request."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "a" * 40


@dataclass
class Hub:
    """What it serves: repository to files; ``plain`` are addresses outside repositories.

    ``refuse`` answers every request with this status; ``gated`` and so on go into its header. ``cut_after`` closes the
    connection after so many bytes of a file, once. ``lie`` serves other bytes than the listing promises.
    ``elsewhere`` is the address of another server to which large files are redirected, as the hub does. ``former`` are
    commits that can be had besides ``commit``, where the branch is. ``always_cut`` cuts every time. ``answers`` are
    fixed: path to status, headers and content; a content of None is never sent, nor anything else.
    """

    repositories: dict[str, dict[str, bytes]]
    plain: dict[str, bytes] = field(default_factory=dict)
    commit: str = COMMIT
    refuse: int | None = None
    error_code: str | None = None
    cut_after: int | None = None
    lie: set[str] = field(default_factory=set)
    elsewhere: str | None = None
    former: set[str] = field(default_factory=set)
    always_cut: bool = False
    answers: dict[str, tuple[int, dict[str, str], bytes | None]] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    url: str = ""
    released: threading.Event = field(default_factory=threading.Event)

    def downloads(self) -> list[tuple[str, str | None]]:
        """Path and Range of every GET of a file."""
        return [(path, span) for verb, path, span in self.requests if verb == "GET" and "/api/" not in path]


def listing(hub: Hub, repository: str, commit: str) -> bytes:
    siblings = []
    for path, content in hub.repositories[repository].items():
        one: dict[str, object] = {"rfilename": path, "size": len(content)}
        if path.endswith((".safetensors", ".bin", ".pt")):
            one["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
        one["blobId"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        siblings.append(one)
    return json.dumps({"id": repository, "sha": commit, "siblings": siblings, "tags": []}).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        span = self.headers.get("Range")
        hub.requests.append((self.command, path, span))
        hub.tokens.add(self.headers.get("Authorization"))
        if path in hub.answers:
            status, headers, content = hub.answers[path]
            if content is None:
                hub.released.wait(30)
                self.close_connection = True
                return
            return self.send(status, content, headers, body)
        if hub.refuse is not None:
            return self.send(hub.refuse, b"{}", {"X-Error-Code": hub.error_code} if hub.error_code else {}, body)
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            if found[1] not in hub.repositories:
                return self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, body)
            if found[2] not in (None, "main", hub.commit, *hub.former):
                return self.send(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, body)
            commit = found[2] if found[2] in hub.former else hub.commit
            return self.send(200, listing(hub, found[1], commit), {"Content-Type": "application/json"}, body)
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        content = hub.repositories.get(found[1], {}).get(found[3]) if found else hub.plain.get(path)
        if content is None:
            return self.send(404, b"{}", {"X-Error-Code": "EntryNotFound"}, body)
        if hub.elsewhere and path.endswith(".safetensors"):
            return self.send(302, b"", {"Location": hub.elsewhere + path}, body)
        if path.rpartition("/")[2] in hub.lie:
            content = content[:-1] + bytes([content[-1] ^ 1])
        # Of other servers, an etag that looks like a hash is none of the content.
        etag = hashlib.sha256(content if found else b"opaque" + content).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": hub.commit, "Accept-Ranges": "bytes"}
        if span and (begin := int(span.removeprefix("bytes=").rstrip("-"))):
            if begin >= len(content):
                return self.send(416, b"", {}, body)
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
            return self.send(206, content[begin:], headers, body)
        return self.send(200, content, headers, body)

    def send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if not body:
            return
        cut = self.hub.cut_after
        if cut is not None and "/api/" not in self.path and len(content) > cut:
            self.hub.cut_after = cut if self.hub.always_cut else None
            self.wfile.write(content[:cut])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(2)
            return
        self.wfile.write(content)


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        hub.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
