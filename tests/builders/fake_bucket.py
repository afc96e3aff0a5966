"""A bucket in this process, with faults: what listing, getting and putting need of Cloud Storage's JSON interface."""

import base64
import json
import os
import re
import socket
import struct
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c

from graftline.storage.gcs import client

What = Literal["list", "about", "media", "upload"]
How = int | Literal["cut", "corrupt", "stall", "reset", "lost"]
"""A status, or: half a body, one bit flipped, half a body and then nothing, a reset, done but never answered."""
ALWAYS = 10**9


@dataclass
class Fault:
    what: What
    how: How
    times: int
    name: str | None


@dataclass
class Bucket:
    """An HTTP server's only bucket, named `bucket`."""

    objects: dict[str, bytes] = field(default_factory=dict)
    generations: dict[str, int] = field(default_factory=dict)
    url: str = ""
    page: int = 1000
    asked: list[tuple[What, str, str]] = field(default_factory=list)
    """Every request: of what kind, of which object or prefix, and with which range."""
    before: Callable[[What, str], None] = lambda what, name: None
    """Called before a request is answered."""
    connections: int = 0
    faults: list[Fault] = field(default_factory=list)
    uploads: dict[str, bytearray] = field(default_factory=dict)
    lock: Any = field(default_factory=Lock)

    def fail(self, what: What, how: How, times: int = 1, name: str | None = None) -> None:
        """Lets the next requests of a kind fail."""
        self.faults.append(Fault(what, how, times, name))

    def replace(self, name: str, content: bytes) -> None:
        """Puts a new generation where an object is; the old one is gone."""
        self.objects[name] = content
        self.generations[name] = self.generations.get(name, 1) + 1

    def fetched(self) -> list[str]:
        """Names of the objects whose bytes were asked for, one each time."""
        return [name for what, name, _ in self.asked if what == "media"]

    def about(self, name: str) -> dict[str, Any]:
        content = self.objects[name]
        return {
            "kind": "storage#object",
            "name": name,
            "bucket": "bucket",
            "size": str(len(content)),
            "crc32c": _crc32c(content),
            "generation": str(self.generations.get(name, 1)),
            "metageneration": "1",
        }

    def due(self, what: What, name: str, asked_range: str) -> How | None:
        """Notes a request, and takes the fault that is meant for it."""
        with self.lock:
            self.asked.append((what, name, asked_range))
            for fault in self.faults:
                if fault.what == what and fault.times and fault.name in (None, name):
                    fault.times -= 1
                    return fault.how
        return None


@lru_cache(64)
def _crc32c(content: bytes) -> str:
    return base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode()


class Handler(BaseHTTPRequestHandler):
    bucket: Bucket
    _how: How | None = None
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.bucket.connections += 1

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        match = re.fullmatch(r"(?:/download)?/storage/v1/b/([^/]+)/o(?:/(.+))?", parts.path)
        if match is None or match[1] != "bucket":
            self._error(404)
        elif match[2] is None:
            self._faulty("list", asked.get("prefix", ""), lambda: self._json(self._page(asked)))
        else:
            name = unquote(match[2])
            media = asked.get("alt") == "media"
            self._faulty("media" if media else "about", name, lambda: self._get(name, media, asked.get("generation")))

    def do_POST(self) -> None:
        parts = urlsplit(self.path)
        asked = parse_qs(parts.query)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if "/b/bucket/o" not in parts.path:
            self._error(404)
            return
        if asked["uploadType"] == ["resumable"]:
            name = json.loads(body)["name"]
            self.bucket.uploads[name] = bytearray()
            condition = asked.get("ifGenerationMatch", [""])[0]
            self._send(200, b"{}", Location=f"{self.bucket.url}/resume?name={name}&ifGenerationMatch={condition}")
            return
        boundary = re.search('boundary="?([^";]+)', self.headers["Content-Type"])[1]  # type: ignore[index]
        _, about, content, _ = body.split(f"--{boundary}".encode())
        name = json.loads(about.split(b"\r\n\r\n", 1)[1])["name"]
        self._faulty("upload", name, lambda: self._store(name, content.split(b"\r\n\r\n", 1)[1][:-2], asked))

    def do_DELETE(self) -> None:
        name = unquote(urlsplit(self.path).path.rpartition("/o/")[2])
        self._error(404) if self.bucket.objects.pop(name, None) is None else self._send(204, b"")

    def do_PUT(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        name = asked["name"][0]
        start, end, total = map(int, re.findall(r"\d+", self.headers["Content-Range"]))
        content = self.rfile.read(int(self.headers["Content-Length"]))

        def take() -> None:
            self.bucket.uploads[name][start:] = content
            if end + 1 < total:
                self._send(308, b"", Range=f"bytes=0-{end}")
            else:
                self._store(name, bytes(self.bucket.uploads.pop(name)), asked)

        self._faulty("upload", name, take)

    def _faulty(self, what: What, name: str, answer: Callable[[], None]) -> None:
        self.bucket.before(what, name)
        self._how = self.bucket.due(what, name, self.headers.get("Range", ""))
        if isinstance(self._how, int):
            status, self._how = self._how, None
            self._error(status)
        elif self._how == "reset":
            self._reset()
        else:
            answer()

    def _get(self, name: str, media: bool, generation: str | None) -> None:
        if name not in self.bucket.objects or generation not in (None, self.bucket.about(name)["generation"]):
            self._error(404)
        elif not media:
            self._json(self.bucket.about(name))
        elif asked := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")):
            self._send(206, self.bucket.objects[name][int(asked[1]) : int(asked[2]) + 1])
        else:
            self._send(200, self.bucket.objects[name])

    def _page(self, asked: dict[str, str]) -> dict[str, Any]:
        names = sorted(self.bucket.objects)
        prefix = asked.get("prefix", "")
        at = bisect_left(names, max(prefix, asked.get("startOffset", ""), asked.get("pageToken", "")))
        size = min(self.bucket.page, int(asked.get("maxResults", self.bucket.page)))
        inside = [
            name
            for name in names[at : at + size + 1]
            if name.startswith(prefix) and ("endOffset" not in asked or name < asked["endOffset"])
        ]
        more = {"nextPageToken": inside[size]} if len(inside) > size else {}
        return {"items": [self.bucket.about(name) for name in inside[:size]], **more}

    def _store(self, name: str, content: bytes, asked: dict[str, list[str]]) -> None:
        there = self.bucket.about(name)["generation"] if name in self.bucket.objects else "0"
        if asked.get("ifGenerationMatch", [""])[0] not in ("", "None", there):
            self._error(412)
            return
        self.bucket.replace(name, content)
        if self._how == "lost":
            self._how = None
            self._error(503)
        else:
            self._json(self.bucket.about(name))

    def _error(self, status: int) -> None:
        self._send(status, json.dumps({"error": {"code": status, "message": "as asked"}}).encode())

    def _json(self, value: dict[str, Any]) -> None:
        self._send(200, json.dumps(value).encode())

    def _send(self, status: int, content: bytes, **headers: str) -> None:
        how, self._how = self._how, None
        if how == "corrupt":
            content = content[:-1] + bytes([content[-1] ^ 1])
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if how not in ("cut", "stall"):
            self.wfile.write(content)
            return
        self.wfile.write(content[: len(content) // 2])
        self.close_connection = True
        if how == "stall":
            self.connection.settimeout(30)
            self.connection.recv(1)  # until the other side gives up

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def shutdown_request(self, request: Any) -> None:
        self.close_request(request)  # without the polite half-close, so that a reset is one

    def handle_error(self, *_: object) -> None:
        """A client that went away is no news here."""


@contextmanager
def serving() -> Iterator[Bucket]:
    """Serves an empty bucket named `bucket`; STORAGE_EMULATOR_HOST has to be its `url`."""
    bucket = Bucket()
    server = Server(("127.0.0.1", 0), type("BucketHandler", (Handler,), {"bucket": bucket}))
    bucket.url = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield bucket
    finally:
        if os.environ.get(client.EMULATOR) == bucket.url:
            client.client().close()  # its connections are files
        server.shutdown()
        server.server_close()
